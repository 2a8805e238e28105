"""Draws shapes in motion as a media data set."""

from collections.abc import Mapping
import dataclasses

from videopoet_jax.core import errors
from videopoet_jax.core import progress
from videopoet_jax.core import storage
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import splits

_UNFINISHED = '.unfinished'
_STANDARD = shapes_config.ShapesConfig()


def draw(
  output: storage.Path,
  config: shapes_config.ShapesConfig = _STANDARD,
  sizes: Mapping[str, int] = splits.CLIPS,
  *,
  processes: int = 2,
  meter: progress.Meters = progress.Meter,
) -> bool:
  """Draws the data set, unless it exists.

  Args:
    output: folder to write, for every `--media`.
    config: content of clips.
    sizes: number of clips by split: `{'train': 600, 'validation': 60}`; none
      of a split that is not named.
    processes: number of processes that draw.
    meter: makes the meter that shows the progress; none by default.

  Returns:
    Whether it was drawn.

  Raises:
    DataError: `output` holds something else, or cannot be written.
    ConfigError: a split has a negative number of clips, or all have none.
  """
  for split in sizes:
    splits.number(split)
  sizes = {split: sizes.get(split, 0) for split in splits.SPLITS}
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
  from videopoet_jax.shapes import builder

  # Behind the builder, which keeps its notices off the screen.
  import tensorflow as tf  # isort: skip

  unfinished = folder.with_name(folder.name + _UNFINISHED)
  storage.remove_folder(unfinished)
  drawn = meter(sum(sizes.values()), 'clips')
  try:
    made = builder.build(
      str(unfinished),
      builder.ShapesBuilderConfig(
        name='shapes', shapes=config, processes=processes, **sizes
      ),
      lambda split: drawn.advance(1, split),
    )
    drawn.finish()
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
  """Bytes of a clip: uint8 RGB, float16 flow and depth, int16 sound."""
  pixels = config.frames * config.height * config.width
  return pixels * (3 + 2 * 2 + 2) + 2 * config.samples


def _check_same(
  output: storage.Path,
  config: shapes_config.ShapesConfig,
  sizes: Mapping[str, int],
) -> None:
  """Raises DataError unless the folder holds the same data set."""
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
