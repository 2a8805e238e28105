"""`videopoet shapes`: draws shapes in motion as a data set of clips.

  videopoet shapes --output data/shapes
  videopoet shapes --output data/shapes128 --height 128 --width 128 \
    --train 6000

The clips are a function of the flags. A folder that holds the data set already
is left as it is; a job that was killed starts again. TFDS shuffles a split on
the disk, uncompressed: 24,000 clips of 128 x 128 take 61 GB while it does. It
holds a 250th of them at a time in memory.
"""

import argparse
from collections.abc import Sequence
import dataclasses
import sys
import time
from typing import Any

from videopoet_jax.core import entry
from videopoet_jax.core import progress
from videopoet_jax.preparation import shapes
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import splits


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='videopoet shapes',
    description='Draws shapes in motion as a data set of clips.',
    epilog='What the flags mean: videopoet_jax/shapes/config.py and'
    ' docs/shapes_in_motion.md.',
  )
  parser.add_argument('--output', required=True, help='folder to write')
  for name, count in splits.CLIPS.items():
    parser.add_argument(
      f'--{name}', type=int, default=count, help=f'clips ({count})'
    )
  parser.add_argument(
    '--processes', type=int, default=2, help='that draw at once (2)'
  )
  for name, value in dataclasses.asdict(shapes_config.ShapesConfig()).items():
    parser.add_argument(
      f'--{name}', type=type(value), default=value, help=f'({value})'
    )
  return parser


def main(argv: Sequence[str]) -> int:
  """Reads the flags and draws."""
  flags: dict[str, Any] = vars(_parser().parse_args(list(argv)))
  output, processes = flags.pop('output'), flags.pop('processes')
  sizes = {split: flags.pop(split) for split in splits.CLIPS}
  started = time.monotonic()
  config = shapes_config.ShapesConfig(**flags)
  if shapes.draw(
    output, config, sizes, processes=processes, meter=progress.shown
  ):
    print(
      f'{output}: {sum(sizes.values())} clips in'
      f' {time.monotonic() - started:.0f} s'
    )
  else:
    print(f'{output} holds these clips already; nothing to do')
  return 0


if __name__ == '__main__':
  sys.exit(entry.run(main, sys.argv[1:]))
