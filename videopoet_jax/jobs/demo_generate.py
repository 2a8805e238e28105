"""Generates one sample for each held-out condition of a task."""

from collections.abc import Callable

import numpy as np

from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.core import types
from videopoet_jax.evaluation import held_out
from videopoet_jax.evaluation import measures
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.inference import sampling


class Conditions:
  """Ids of every feature of some clips, encoded when first asked for."""

  def __init__(
    self, generator: generator_lib.Generator, clips: held_out.Clips
  ) -> None:
    """Encodes nothing yet.

    Args:
      generator: whose tokenizers.
      clips: to be encoded.
    """
    self._clips = clips
    self._cache: dict[str, np.ndarray] = {}
    found = generator.tokenizers
    visual, audio = found.visual, found.audio
    slots = generator.space.text_slots
    self._encoders: dict[str, Callable[[], np.ndarray]] = {
      'text': lambda: found.text.encode(clips.captions, slots),
      'video_tokens': lambda: visual.encode(clips.video_BTHWC),
      'audio_tokens': lambda: audio.encode(clips.audio_BT),
      'structure_tokens': lambda: visual.encode(clips.structure_BTHWC),
      'inpainting_tokens': lambda: visual.encode(
        clips.masked_BTHWC('inpainting')
      ),
      'outpainting_tokens': lambda: visual.encode(
        clips.masked_BTHWC('outpainting')
      ),
    }

  def __getitem__(self, feature: str) -> np.ndarray:
    if feature not in self._cache:
      self._cache[feature] = self._encoders[feature]()
    return self._cache[feature]


def sample(
  generator: generator_lib.Generator,
  layout: layout_lib.SequenceLayout,
  conditions: Conditions,
  count: int,
  *,
  config: sampling.SamplingConfig,
  batch_size: int,
  seed: int,
) -> measures.Outputs:
  """One sample for each of the first `count` conditions, in pixels and sound.

  Args:
    generator: a checkpoint opened.
    layout: of the task.
    conditions: ids of the clips.
    count: how many samples.
    config: how ids are drawn.
    batch_size: sequences in a batch.
    seed: of the draws.

  Returns:
    Whole clips, the part that the condition holds included.
  """
  prefix = {s.feature for s in layout.filled(types.Role.PREFIX)}
  made = generator.generate(
    layout.name,
    {name: conditions[name][:count] for name in prefix},
    # Without conditions there is one row, to be sampled again and again.
    num_samples=1 if prefix else count,
    seed=seed,
    config=config,
    batch_size=batch_size,
  )
  return measures.Outputs(made.video_BTHWC, made.audio_BT)


def condition_frames(
  layout: layout_lib.SequenceLayout, space: tasks_lib.LayoutSpace
) -> int:
  """Frames of the video that a layout continues; 0 if it continues none."""
  given = [
    s.shape[0]
    for s in layout.filled(types.Role.PREFIX)
    if s.feature == 'video_tokens'
  ]
  return space.visual.frames(given[0]) if given else 0
