"""Writes shapes in motion as a TFDS data set in ArrayRecord format."""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import functools
import io
import multiprocessing
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from videopoet_jax.core import tensorflow_notices
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import held_out
from videopoet_jax.shapes import render
from videopoet_jax.shapes import splits

# TFDS imports TensorFlow when it first needs it; drawing processes start here.
tensorflow_notices.install()

# Stands for "no such bounce" in the fixed-length list of bounce times.
NO_BOUNCE = -1.0
MAX_BOUNCES = 8

# TFDS keeps a split in a thousand files by the key's place below 2^128 until
# it is complete, then holds one of them at a time in memory. The files stay
# open: a quarter of them is well below the usual limit of 1,024.
_KEYS = 2**128 // 4


@dataclasses.dataclass
class ShapesBuilderConfig(tfds.core.BuilderConfig):
  """The content of clips and their number.

  Attributes:
    shapes: content of a clip.
    train: clips of the train split.
    validation: clips of the validation split.
    test_held_out: clips of the split with the held-out combinations.
    processes: processes that draw; 1 draws in the writing process.
  """

  shapes: shapes_config.ShapesConfig = dataclasses.field(
    default_factory=shapes_config.ShapesConfig
  )
  train: int = splits.CLIPS[splits.TRAIN]
  validation: int = splits.CLIPS[splits.VALIDATION]
  test_held_out: int = splits.CLIPS[splits.TEST_HELD_OUT]
  processes: int = 2


class ShapesInMotion(tfds.core.GeneratorBasedBuilder):
  """Coloured shapes that move, with caption, sound, flow and depth.

  Attributes:
    drawn: called with the split after each clip, unless None.
  """

  drawn: Callable[[str], None] | None = None
  VERSION = tfds.core.Version('1.0.0')
  # There are no downloads, so no checksums to look for beside the code.
  url_infos: ClassVar[dict[str, Any]] = {}
  BUILDER_CONFIGS = (ShapesBuilderConfig(name='default'),)

  def __init__(self, **kwargs: Any) -> None:
    """Takes a builder's arguments; the format defaults to ArrayRecord."""
    kwargs.setdefault('file_format', 'array_record')
    super().__init__(**kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    shapes = self.builder_config.shapes
    video = (shapes.frames, shapes.height, shapes.width)
    # Raw bytes: the records themselves are compressed.
    tensor = functools.partial(
      tfds.features.Tensor, encoding=tfds.features.Encoding.BYTES
    )
    scalar = functools.partial(tfds.features.Scalar, dtype=np.int64)
    return self.dataset_info_from_configs(
      description=__doc__,
      features=tfds.features.FeaturesDict(
        {
          'clip_id': tfds.features.Text(),
          'caption': tfds.features.Text(),
          'video': tensor(shape=(*video, 3), dtype=np.uint8),
          'audio': tensor(shape=(shapes.samples,), dtype=np.int16),
          'flow': tensor(shape=(*video, 2), dtype=np.float16),
          'depth': tensor(shape=(*video, 1), dtype=np.float16),
          'kind': scalar(),
          'colour': scalar(),
          'direction': scalar(),
          'speed': scalar(),
          'bounce_times': tfds.features.Tensor(
            shape=(MAX_BOUNCES,), dtype=np.float32
          ),
        }
      ),
      metadata=tfds.core.MetadataDict(
        frame_rate=shapes.frame_rate,
        sampling_rate=shapes.sampling_rate,
        shapes_config=dataclasses.asdict(shapes),
      ),
      # Scenes are independent draws already: no order to break.
      disable_shuffling=True,
    )

  def _split_generators(
    self, dl_manager: tfds.download.DownloadManager
  ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
    del dl_manager  # Nothing is downloaded.
    return {
      split: self._generate_examples(split)
      for split in splits.SPLITS
      if getattr(self.builder_config, split)
    }

  def _generate_examples(
    self, split: str
  ) -> Iterator[tuple[int, dict[str, Any]]]:
    # Keys of 0, 1, 2 ... would all fall into the first file, and a whole split
    # into memory.
    spacing = _KEYS // getattr(self.builder_config, split)
    for index, clip in enumerate(self._draw(split)):
      yield index * spacing, clip
      if self.drawn is not None:
        self.drawn(split)

  def _draw(self, split: str) -> Iterator[dict[str, Any]]:
    count = getattr(self.builder_config, split)
    draw = functools.partial(example, self.builder_config.shapes, split)
    if self.builder_config.processes <= 1 or count < 256:
      yield from map(draw, range(count))
      return
    # A fresh interpreter each: what this one runs (threads of TensorFlow)
    # does not survive a fork.
    context = multiprocessing.get_context('spawn')
    with context.Pool(self.builder_config.processes - 1) as pool:
      yield from pool.imap(draw, range(count), chunksize=16)


def example(
  config: shapes_config.ShapesConfig, split: str, index: int
) -> dict[str, Any]:
  """Returns one example: the media contract's features and the labels.

  Labels describe the first (or only) shape; the caption describes all.

  Args:
    config: content of clips.
    split: one of splits.SPLITS.
    index: position in the split.

  Returns:
    Feature name to value.
  """
  clip = render.clip(config, split, index)
  first = clip.scene.shapes[0]
  bounces = np.full(MAX_BOUNCES, NO_BOUNCE, np.float32)
  times = clip.scene.bounces(config)[:MAX_BOUNCES]
  bounces[: len(times)] = times
  return {
    'clip_id': f'{split}/{index:06d}',
    'caption': held_out.caption_of(clip.scene),
    'video': clip.video_THW3,
    'audio': clip.audio_T,
    'flow': clip.flow_THW2,
    'depth': clip.depth_THW1,
    'kind': first.kind,
    'colour': first.colour,
    'direction': first.direction,
    'speed': first.speed,
    'bounce_times': bounces,
  }


def build(
  directory: str,
  config: ShapesBuilderConfig | None = None,
  drawn: Callable[[str], None] | None = None,
) -> str:
  """Builds the data set under `directory`, or opens it if it is there.

  Args:
    directory: TFDS data directory.
    config: what to build; the default configuration if None.
    drawn: called with the split after each clip.

  Returns:
    The folder for `tfds.builder_from_directory`.
  """
  # TFDS reports downloads, and draws bars for each of a hundred clips.
  tfds.disable_progress_bar()
  builder = ShapesInMotion(data_dir=directory, config=config)
  builder.drawn = drawn
  with contextlib.redirect_stdout(io.StringIO()):
    builder.download_and_prepare()
  return str(builder.data_dir)
