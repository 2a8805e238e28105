"""`videopoet embed_text`: stores a frozen encoder's embeddings of the captions.

  videopoet embed_text --tokens data/tokens --encoder t5-v1_1-xl \
    --output data/embedded_tokens

The encoder is a T5 1.1 in files of the transformers' naming, or a checkpoint of
T5X, such as gs://t5-data/pretrained_models/t5x/t5_1_1_xl/checkpoint_1000000.
The result is the same token data set with the embeddings of each text; a run
trains on it with `--gin_file gin/models/text_embeddings.gin`. As with
`videopoet tokenize`, several hosts that are started together share the texts,
and a job that was killed goes on when it is started again.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
import dataclasses
import itertools
import sys
import time
from typing import Any

import numpy as np

from videopoet_jax import __version__
from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.data import converter
from videopoet_jax.data import records as records_lib
from videopoet_jax.data import token_pieces
from videopoet_jax.data import tokens as tokens_lib
from videopoet_jax.inference import text_encoder
from videopoet_jax.jobs import cli
from videopoet_jax.jobs import data_hosts
from videopoet_jax.jobs import progress
from videopoet_jax.jobs import token_files

DTYPES = ('float16', 'float32')


@dataclasses.dataclass(frozen=True)
class Summary:
  """What was written.

  Attributes:
    clips: number of clips by split.
    slots: positions a text.
    width: numbers of an embedding.
    seconds: the time it took.
  """

  clips: dict[str, int]
  slots: int
  width: int
  seconds: float


def embed_text(
  *,
  tokens: str,
  encoder: str,
  output: str,
  config: str = '',
  sentencepiece: str = '',
  slots: int = 64,
  batch: int = 64,
  dtype: str = 'float16',
  save_encoder: str = '',
  file_texts: int = 0,
  overwrite: bool = False,
  meter: Callable[[float, str], progress.Meter] = progress.Meter,
  hosts: data_hosts.Hosts | None = None,
) -> Summary:
  """Writes a token data set with embeddings of its texts.

  Args:
    tokens: directory of a token data set with the feature `text`.
    encoder: folder or file of a T5 encoder; see `text_encoder.open_encoder`.
    output: directory to write; it appears when it is complete.
    config: sizes that the encoder must have: xl, small or tiny.
    sentencepiece: its tokenizer's model; see there.
    slots: positions a text (64 in the paper).
    batch: texts encoded at a time.
    dtype: of what is stored.
    save_encoder: folder to write encoder and tokenizer to, as generation opens
      it.
    file_texts: examples of a file, rounded up to whole batches; 0 for a number
      by their size. Files are what hosts share and what is done again after a
      kill.
    overwrite: whether a data set that is there is replaced.
    meter: makes what shows the progress.
    hosts: this one among those that make the data set; alone unless given.

  Returns:
    A summary.

  Raises:
    UserError: the data set or the encoder cannot be read, they do not go
      together, or the output cannot be written.
  """
  started = time.monotonic()
  given = {'--batch': (batch, 1), '--slots': (slots, 1)}
  given['--file_texts'] = (file_texts, 0)
  for name, (value, least) in given.items():
    if value < least:
      raise errors.ConfigError(f'{name} is {value}; expected at least 1.')
  if dtype not in DTYPES:
    hint = errors.near_names(dtype, DTYPES)
    raise errors.ConfigError(f'--dtype is {dtype!r}{hint}.')
  if storage.path(tokens).resolve() == storage.path(output).resolve():
    raise errors.ConfigError(
      f'--output is the data set that is read, {tokens}; choose another folder.'
    )
  info = tokens_lib.read_info(tokens)
  records = records_lib.open_records(tokens)
  if records.shape('text') != ():
    raise errors.DataError(
      f'{tokens}: the feature text has shape {records.shape("text")}; one text '
      'an example is needed.'
    )
  model = text_encoder.open_encoder(encoder, config, sentencepiece)
  model.batch_size = batch
  hosts = hosts or data_hosts.Hosts()
  if save_encoder and hosts.is_first:
    model.save(save_encoder)
  info = dataclasses.replace(
    info,
    text_fingerprint=model.fingerprint,
    text_slots=slots,
    text_width=model.width,
  )
  counts = {split: records.size(split) for split in records.splits}
  split = max(counts, key=lambda name: counts[name])
  stored = len(records.read(split, [0])[0]) if counts[split] else 0
  example_bytes = stored + slots * model.width * np.dtype(dtype).itemsize
  size = token_pieces.examples_a_file(counts, example_bytes, batch, file_texts)
  settings = {
    'job': 'embed_text',
    'version': __version__,
    'given': records.fingerprint,
    'tokens': info.to_json(),
    'batch': batch,
    'file_texts': size,
    'dtype': dtype,
  }

  def examples(piece: token_pieces.Piece) -> Iterator[Mapping[str, Any]]:
    for group in _grouped(records, piece, batch):
      yield from _embedded(group, model, slots, batch, dtype, tokens)

  token_files.make(
    hosts,
    output,
    token_pieces.plan(counts, size),
    examples,
    settings=settings,
    overwrite=overwrite,
    info=info,
    metadata=records.metadata,
    meter=meter,
    unit='texts',
  )
  seconds = time.monotonic() - started
  return Summary(counts, slots, model.width, seconds)


def _grouped(
  records: records_lib.Records, piece: token_pieces.Piece, size: int
) -> Iterator[Sequence[Mapping[str, Any]]]:
  """A piece's examples in the order on disk, so many at a time."""
  examples = records.examples(
    piece.split, first=piece.first, stop=piece.stop
  ).as_numpy_iterator()
  while group := list(itertools.islice(examples, size)):
    yield group


def _embedded(
  examples: Sequence[Mapping[str, Any]],
  model: text_encoder.TextEncoder,
  slots: int,
  batch: int,
  dtype: str,
  directory: str,
) -> Iterator[dict[str, Any]]:
  """The examples with two features more."""
  texts = [bytes(e['text']).decode('utf-8', 'replace') for e in examples]
  # Filled up, so that the last batch does not compile a second program.
  texts += [''] * (batch - len(texts))
  found_BSE, used_B = model.embed(texts, slots)
  with np.errstate(over='ignore'):
    stored_BSE = found_BSE.astype(dtype)
  for row, example in enumerate(examples):
    if not np.isfinite(stored_BSE[row]).all():
      raise errors.DataError(
        f'{directory}: the embeddings of {texts[row]!r} do not fit {dtype}; '
        'give --dtype float32, or sound weights.'
      )
    yield {
      **example,
      converter.TEXT_EMBEDDINGS: stored_BSE[row],
      converter.TEXT_USED: np.int32(used_B[row]),
    }


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

  def body(hosts: data_hosts.Hosts) -> int:
    summary = embed_text(**flags, hosts=hosts)
    shares = ', '.join(f'{n} {name}' for name, n in summary.clips.items())
    hosts.say(
      f'{flags["output"]}: {shares} texts as {summary.slots} x '
      f'{summary.width} in {summary.seconds:.0f} s'
    )
    return 0

  return data_hosts.run(body)


if __name__ == '__main__':
  sys.exit(cli.run(main, sys.argv[1:]))
