"""`videopoet embed_text`: stores a frozen encoder's embeddings of the captions.

  videopoet embed_text --tokens data/tokens --encoder t5-v1_1-xl \
    --output data/embedded_tokens

The encoder is a T5 1.1 in files of the transformers' naming, or a checkpoint of
T5X, such as gs://t5-data/pretrained_models/t5x/t5_1_1_xl/checkpoint_1000000.
The result is the same token data set with the embeddings of each text; a run
trains on it with `--gin_file gin/models/text_embeddings.gin`. As with
`videopoet tokenize`, several hosts that are started together share the texts,
and a job that was killed resumes when it is started again.
"""

import argparse
from collections.abc import Sequence
import sys

from videopoet_jax.core import entry
from videopoet_jax.core import progress
from videopoet_jax.preparation import hosts as hosts_lib
from videopoet_jax.preparation import text_embeddings


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='videopoet embed_text',
    description="Stores a frozen T5 encoder's embeddings beside tokens.",
  )
  add = parser.add_argument
  add('--tokens', required=True, help='token data set with texts')
  add('--encoder', required=True, help='T5 1.1: weights, or T5X checkpoint')
  add('--output', required=True, help='data set folder to write')
  add('--config', default='', help='sizes to expect: xl, small or tiny')
  add(
    '--sentencepiece',
    default='',
    help="the encoder's spiece.model, where it is not beside its weights; or "
    'bytes',
  )
  add('--slots', type=int, default=64, help='positions a text (64)')
  add('--batch', type=int, default=64, help='texts encoded at a time (64)')
  add('--dtype', default='float16', help='float16 or float32')
  add('--save_encoder', default='', help='write it to this folder too')
  add(
    '--file_texts',
    type=int,
    default=0,
    help='examples of a file, the unit that hosts share (by size)',
  )
  add('--overwrite', action='store_true', help='replace a data set there')
  return parser


def main(argv: Sequence[str]) -> int:
  """Reads the flags, encodes, and prints a summary."""
  flags = vars(_parser().parse_args(list(argv)))

  def body(hosts: hosts_lib.Hosts) -> int:
    summary = text_embeddings.embed_text(
      **flags, hosts=hosts, meter=progress.shown
    )
    shares = ', '.join(f'{n} {name}' for name, n in summary.clips.items())
    hosts.log(
      f'{flags["output"]}: {shares} texts as {summary.slots} x '
      f'{summary.width} in {summary.seconds:.0f} s'
    )
    return 0

  return hosts_lib.run(body)


if __name__ == '__main__':
  sys.exit(entry.run(main, sys.argv[1:]))
