"""`videopoet tokenize`: encodes a data set of clips into tokens.

  videopoet tokenize --media DIR --visual_tokenizer DIR \
    --audio_tokenizer DIR --output DIR

Each clip is encoded as it is, with the holes of inpainting and outpainting,
and, where the data set has flow and depth, as its structure; its sound
likewise. Captions and labels are passed on.

`--low_scale 2` adds the same clips at half the height and width: the pairs that
super-resolution is trained on. `--reduce 2` takes the clips themselves at half
of their size, so that one data set gives the pairs of several stages.

Several hosts that are started together, like those of `train`, share the clips;
the files are those that one host writes. A job that was killed resumes
when it is started again.
"""

import argparse
from collections.abc import Sequence
import sys

from videopoet_jax.core import entry
from videopoet_jax.core import progress
from videopoet_jax.preparation import hosts as hosts_lib
from videopoet_jax.preparation import tokenizing


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='videopoet tokenize',
    description='Encodes a data set of clips into tokens.',
  )
  add = parser.add_argument
  add('--media', required=True, help='data set folder of the clips')
  add('--visual_tokenizer', required=True, help='folder of the tokenizer')
  add('--audio_tokenizer', default='', help='folder; without it, no sound')
  add('--output', required=True, help='data set folder')
  add('--splits', nargs='*', default=(), help='of the clips (all)')
  add('--most', type=int, default=0, help='clips of each split (all)')
  add('--batch', type=int, default=64, help='clips encoded at a time (64)')
  add(
    '--conditions',
    nargs='*',
    default=('inpainting', 'outpainting', 'structure'),
    help='inpainting, outpainting and structure (all there are)',
  )
  add(
    '--condition_share',
    type=float,
    default=1.0,
    help='share of the clips whose conditions are encoded (1)',
  )
  add(
    '--reduce',
    type=int,
    default=1,
    help='divide height and width of the clips by this first (1)',
  )
  add(
    '--low_scale',
    type=int,
    default=0,
    help='encode each clip also with height and width divided by this: the '
    'pairs of super-resolution',
  )
  add(
    '--low_tokenizer',
    default='',
    help='folder of the tokenizer of these (the visual tokenizer)',
  )
  add(
    '--file_clips',
    type=int,
    default=0,
    help='clips of a file, the unit that hosts share (by size)',
  )
  add(
    '--frames',
    choices=tokenizing.FRAME_POLICIES,
    default='refuse',
    help='for clips that do not have 1 + (temporal stride) k frames: refuse, '
    'trim to the next lower number, or pad with copies of the last frame '
    '(refuse)',
  )
  add('--overwrite', action='store_true', help='replace a data set there')
  return parser


def main(argv: Sequence[str]) -> int:
  """Reads the flags, encodes, and prints a summary."""
  flags = vars(_parser().parse_args(list(argv)))

  def body(hosts: hosts_lib.Hosts) -> int:
    summary = tokenizing.tokenize(**flags, hosts=hosts, meter=progress.shown)
    shares = ', '.join(f'{n} {name}' for name, n in summary.clips.items())
    hosts.log(
      f'{flags["output"]}: {shares} clips as {", ".join(summary.features)} in '
      f'{summary.seconds:.0f} s'
    )
    return 0

  return hosts_lib.run(body)


if __name__ == '__main__':
  sys.exit(entry.run(main, sys.argv[1:]))
