"""One sample for each condition of a set of clips, whatever the task."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.core import types
from videopoet_jax.inference import conditions as conditions_lib
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.inference import likelihood
from videopoet_jax.inference import sampling
from videopoet_jax.shapes import judges


class Clips(Protocol):
  """What conditions are made of; what a set lacks raises a DataError."""

  @property
  def captions(self) -> tuple[str, ...]: ...

  @property
  def video_BTHWC(self) -> np.ndarray: ...

  @property
  def audio_BT(self) -> np.ndarray: ...

  @property
  def structure_BTHWC(self) -> np.ndarray: ...

  def masked_BTHWC(self, task: str) -> np.ndarray: ...


class Conditions:
  """Every feature of some clips, encoded when first asked for."""

  def __init__(
    self,
    generator: generator_lib.Generator,
    clips: Clips,
    text_suffix: str = '',
  ) -> None:
    """Encodes nothing yet.

    Args:
      generator: whose tokenizers.
      clips: to be encoded.
      text_suffix: put behind every caption.
    """
    self._cache: dict[str, Any] = {}

    def pixels(video_BTHWC: np.ndarray) -> np.ndarray:
      return _need(generator, 'visual').encode(video_BTHWC)

    self._encoders: dict[str, Callable[[], Any]] = {
      'text': lambda: [text + text_suffix for text in clips.captions],
      'video_tokens': lambda: pixels(clips.video_BTHWC),
      'audio_tokens': lambda: _need(generator, 'audio').encode(clips.audio_BT),
      'structure_tokens': lambda: pixels(clips.structure_BTHWC),
      'inpainting_tokens': lambda: pixels(clips.masked_BTHWC('inpainting')),
      'outpainting_tokens': lambda: pixels(clips.masked_BTHWC('outpainting')),
    }

  def __getitem__(self, feature: str) -> Any:
    """Texts as a list, other features as ids with a leading axis of clips."""
    if feature not in self._cache:
      self._cache[feature] = self._encoders[feature]()
    return self._cache[feature]


def _need(generator: generator_lib.Generator, role: str) -> Any:
  tokenizer = getattr(generator.tokenizers, role)
  if tokenizer is None:
    raise errors.CheckpointError(
      f'the checkpoint has no {role}_tokenizer/ folder, which the conditions '
      'need; copy the one it was trained with beside it.'
    )
  return tokenizer


def sample(
  generator: generator_lib.Generator,
  layout: layout_lib.SequenceLayout,
  conditions: Mapping[str, Any] | Conditions,
  numbers: Sequence[int] | np.ndarray,
  *,
  config: sampling.SamplingConfig,
  batch_size: int,
  seed: int,
  negative_text: str = '',
) -> judges.Outputs:
  """One sample for each of the first conditions, in pixels and sound.

  Args:
    generator: a checkpoint opened.
    layout: layout of the task.
    conditions: features of the clips.
    numbers: numbers of the samples; draws depend on them and the seed alone.
      As many of the conditions are taken.
    config: how ids are drawn.
    batch_size: sequences in a batch.
    seed: seed of the draws.
    negative_text: with guidance, what to move away from.

  Returns:
    Whole clips, the part that the condition holds included.
  """
  prefix = {s.feature for s in layout.filled(types.Role.PREFIX)}
  made = generator.generate(
    layout.name,
    {name: conditions[name][: len(numbers)] for name in prefix},
    # Without conditions there is one row, to be sampled again and again.
    num_samples=1 if prefix else len(numbers),
    seed=seed,
    config=config,
    negative_text=negative_text,
    batch_size=batch_size,
    sample_numbers=np.asarray(numbers),
  )
  return judges.Outputs(made.video_BTHWC, made.audio_BT)


def likelihoods(
  generator: generator_lib.Generator,
  layout: layout_lib.SequenceLayout,
  conditions: Mapping[str, Any] | Conditions,
) -> dict[str, np.ndarray]:
  """`nll_<modality>` and `tokens_<modality>` of clips, float64 and int64 (B,).

  Args:
    generator: a checkpoint opened.
    layout: whose targets are predicted.
    conditions: features of the clips, targets included.
  """
  names = conditions_lib.prefix_features(layout)
  features = conditions_lib.encode(
    layout,
    {name: conditions[name] for name in names},
    generator.tokenizers,
    generator.space.text_slots,
  )
  for segment in layout.filled(types.Role.TARGET):
    if segment.feature not in features:
      features[segment.feature] = conditions[segment.feature]
  return likelihood.negative_log_likelihoods(generator, layout, features)


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
