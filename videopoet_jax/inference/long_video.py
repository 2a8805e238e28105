"""Video of any length: the last second of it in, the next second out.

VideoPoet (section 5.2) extends videos this way. A latent frame in the middle
of a clip holds four frames and the first one holds one, so old ids cannot be
moved to the front: the last frames are *decoded and encoded again*.
"""

import dataclasses

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.core import types
from videopoet_jax.inference import conditions
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.inference import sampling

CONDITION_LATENTS = 3  # 9 frames in, of which 8 more than the first.


def layout_for(generator: generator_lib.Generator) -> str:
  """The model's layout that goes on from three latent frames by two.

  Raises:
    LayoutError: it was not trained on one.
  """
  for name in generator.layout_names:
    layout = generator.space.layout(name)
    targets = layout.filled(types.Role.TARGET)
    if (
      layout.task == 'future_prediction'
      and conditions.prefix_features(layout) == ('video_tokens',)
      and conditions.needed_frames(layout, 'video_tokens') == CONDITION_LATENTS
      and targets[0].shape[0] == 2
    ):
      return name
  raise errors.LayoutError(
    'long video needs a model trained on future_prediction/17xHxW/'
    f'condition={CONDITION_LATENTS}; this one knows '
    f'{", ".join(generator.layout_names)}.'
  )


def check(generator: generator_lib.Generator, frames: int) -> str:
  """Checks that clips of so many frames can be continued.

  Returns:
    The layout that continues them, see `layout_for`.

  Raises:
    LayoutError: the model was not trained on one.
    DataError: the clips are shorter than its condition.
  """
  name = layout_for(generator)
  given = generator.space.visual.frames(CONDITION_LATENTS)
  if frames < given:
    raise errors.DataError(
      f'long video goes on from {given} frames; got {frames}.'
    )
  return name


def frames_of(spec: specs.VisualSpec, seconds: float) -> int:
  """Frames of a video of that length, at least those that go on."""
  given = spec.frames(CONDITION_LATENTS)
  return max(round(seconds * spec.frame_rate), given)


def extend(
  generator: generator_lib.Generator,
  video_BTHWC: np.ndarray,
  seconds: float,
  *,
  seed: int = 0,
  config: sampling.SamplingConfig = sampling.DEFAULT,
) -> np.ndarray:
  """Continues clips until they are long enough.

  Args:
    generator: a model that knows `layout_for`.
    video_BTHWC: uint8, at least 9 frames.
    seconds: wished length.
    seed: of the draws; every second has one of its own.
    config: how ids are drawn.

  Returns:
    uint8 (B, `frames_of` seconds, H, W, 3); the given frames are its
    beginning, unchanged.

  Raises:
    LayoutError, DataError: see `check`.
  """
  name = check(generator, video_BTHWC.shape[1])
  spec = generator.space.visual
  given = spec.frames(CONDITION_LATENTS)
  wanted = frames_of(spec, seconds)
  second = 0
  while video_BTHWC.shape[1] < wanted:
    made = generator.generate(
      name,
      {'video': video_BTHWC[:, -given:]},
      seed=seed + second,
      config=dataclasses.replace(config, guidance=1.0),
    )
    assert made.video_BTHWC is not None
    video_BTHWC = np.concatenate(
      [video_BTHWC, made.video_BTHWC[:, given:]], axis=1
    )
    second += 1
  return video_BTHWC[:, :wanted]
