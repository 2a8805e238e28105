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

from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.data.shapes import config as shapes_config
from videopoet_jax.data.shapes import splits
from videopoet_jax.jobs import cli
from videopoet_jax.jobs import progress

_UNFINISHED = '.unfinished'


def shapes(
  output: str,
  config: shapes_config.ShapesConfig,
  sizes: dict[str, int],
  processes: int = 2,
) -> bool:
  """Draws the data set, unless it is there.

  Args:
    output: folder to write, for every `--media`.
    config: what a clip holds.
    sizes: clips by split.
    processes: that draw.

  Returns:
    Whether it was drawn.

  Raises:
    DataError: `output` holds something else, or cannot be written.
    ConfigError: a split has fewer than no clips, or all have none.
  """
  if min(sizes.values()) < 0 or not any(sizes.values()):
    raise errors.ConfigError(
      f'clips by split: {sizes}; none may be below 0, and one must have clips.'
    )
  if processes < 1:
    raise errors.ConfigError(f'--processes is {processes}; expected 1 or more.')
  folder = storage.path(output)
  if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
    _check_same(output, config, sizes)
    return False
  import tensorflow as tf

  from videopoet_jax.data.shapes import builder

  unfinished = folder.with_name(folder.name + _UNFINISHED)
  storage.remove_folder(unfinished)
  meter = progress.Meter(sum(sizes.values()), 'clips')
  try:
    made = builder.build(
      str(unfinished),
      builder.ShapesBuilderConfig(
        name='shapes', shapes=config, processes=processes, **sizes
      ),
      lambda split: meter.advance(1, split),
    )
    meter.finish()
    if folder.exists():
      folder.rmdir()  # Empty, or it would have been refused.
    storage.move_folder(made, folder)
  except tf.errors.ResourceExhaustedError as error:
    needed = max(sizes.values()) * _uncompressed_bytes(config) / 1e9
    raise errors.DataError(
      f'{output} cannot be written: the disk is full. Until it is done a split '
      f'lies there uncompressed, {needed:.1f} GB; name an --output on a larger '
      'disk or ask for fewer clips.'
    ) from error
  except (OSError, tf.errors.OpError) as error:
    raise errors.DataError(
      f'{output} cannot be written ({error}); name another --output.'
    ) from error
  finally:
    storage.remove_folder(unfinished)
  return True


def _uncompressed_bytes(config: shapes_config.ShapesConfig) -> int:
  """Of a clip: uint8 RGB, float16 flow and depth, int16 sound."""
  pixels = config.frames * config.height * config.width
  return pixels * (3 + 2 * 2 + 2) + 2 * config.samples


def _check_same(
  output: str, config: shapes_config.ShapesConfig, sizes: dict[str, int]
) -> None:
  """Raises DataError unless the folder holds this very data set."""
  from videopoet_jax.data import records as records_lib

  records = records_lib.open_records(output)
  found = {split: records.size(split) for split in records.splits}
  wished = {split: count for split, count in sizes.items() if count}
  if (
    records.metadata.get('shapes_config') != dataclasses.asdict(config)
    or found != wished
  ):
    raise errors.DataError(
      f'{output} holds another data set (clips: {found}); name another '
      '--output, or remove it first.'
    )


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='videopoet shapes',
    description='Draws shapes in motion as a data set of clips.',
    epilog='What the flags mean: videopoet_jax/data/shapes/config.py and'
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
  if shapes(output, config, sizes, processes):
    print(
      f'{output}: {sum(sizes.values())} clips in'
      f' {time.monotonic() - started:.0f} s'
    )
  else:
    print(f'{output} holds these clips already; nothing to do')
  return 0


if __name__ == '__main__':
  sys.exit(cli.run(main, sys.argv[1:]))
