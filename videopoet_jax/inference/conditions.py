"""Encodes signals (text, pixels, sound) as the features of a layout."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import types
from videopoet_jax.media import masking

# Signal -> its flag of `videopoet generate`.
FLAGS = {
  'text': '--text',
  'image': '--image',
  'video': '--video',
  'audio': '--audio',
  'structure': '--structure',
}
# Feature -> signals that it can be made from, the preferred one first.
_SOURCES: Mapping[str, tuple[str, ...]] = {
  'text': ('text',),
  'video_tokens': ('video', 'image'),
  'inpainting_tokens': ('video',),
  'outpainting_tokens': ('video',),
  'structure_tokens': ('structure',),
  'audio_tokens': ('audio',),
}


EmbedText = Callable[[Sequence[str], int], tuple[np.ndarray, np.ndarray]]
TEXT_EMBEDDINGS = 'text_embeddings'


@dataclasses.dataclass(frozen=True)
class Tokenizers:
  """Tokenizers of a checkpoint; None where it has none.

  Attributes:
    visual: tokenizer of pixels.
    audio: tokenizer of sound.
    text: tokenizer of text.
    embed_text: for models that take embeddings: maps texts and a number of
      slots to float32 (B, slots, dim) and int32 (B,), the number of slots used.
  """

  visual: Any = None
  audio: Any = None
  text: Any = None
  embed_text: EmbedText | None = None


def needed_frames(
  layout: layout_lib.SequenceLayout, feature: str
) -> int | None:
  """Number of latent frames of a feature in the prefix, from the start."""
  stops = [
    s.start + s.shape[s.time_axis]
    for s in layout.filled(types.Role.PREFIX)
    if s.feature == feature
  ]
  return max(stops) if stops else None


def prefix_features(layout: layout_lib.SequenceLayout) -> tuple[str, ...]:
  """Features that the prefix is filled from, in order."""
  return tuple(
    dict.fromkeys(s.feature for s in layout.filled(types.Role.PREFIX))
  )


def missing(
  layout: layout_lib.SequenceLayout, given: Collection[str]
) -> tuple[str, ...]:
  """Features of the prefix neither in `given` nor following from it."""
  return tuple(
    feature
    for feature in prefix_features(layout)
    if feature not in given
    and not any(name in given for name in _SOURCES.get(feature, ()))
    and not _single_frame_needed(layout, feature, given)
  )


def _single_frame_needed(
  layout: layout_lib.SequenceLayout, feature: str, given: Collection[str]
) -> bool:
  return (
    feature == 'video_tokens'
    and 'image' in given
    and needed_frames(layout, feature) == 1
  )


def check_given(
  layout: layout_lib.SequenceLayout, given: Collection[str]
) -> None:
  """Raises DataError if a condition of the layout is not given."""
  wanted = missing(layout, given)
  if wanted:
    flags = [
      ' or '.join(
        FLAGS[name]
        for name in _SOURCES.get(feature, ())
        if name != 'image' or needed_frames(layout, feature) == 1
      )
      or f'the feature {feature!r}'
      for feature in wanted
    ]
    raise errors.DataError(
      f'{layout.name} needs {" and ".join(flags)}; got '
      f'{sorted(given) or "no condition"}.'
    )


def check_used(layout: layout_lib.SequenceLayout, given: Iterable[str]) -> None:
  """Raises DataError if a given signal is not used by the layout.

  Args:
    layout: layout to be filled.
    given: names of the given signals, keys of `FLAGS`.
  """
  given = list(given)
  used = set()
  for feature in prefix_features(layout):
    used |= set(
      [name for name in _SOURCES.get(feature, ()) if name in given][:1]
    )
  surplus = [FLAGS[name] for name in given if name not in used]
  if surplus:
    raise errors.DataError(
      f'{layout.name} takes no {" and no ".join(surplus)}'
      + (f' beside {", ".join(FLAGS[n] for n in sorted(used))}' if used else '')
      + '; leave it out, or choose another task.'
    )


def encode(
  layout: layout_lib.SequenceLayout,
  given: Mapping[str, Any],
  tokenizers: Tokenizers,
  text_slots: int,
) -> dict[str, np.ndarray]:
  """Encodes signals as the features of the prefix.

  Args:
    layout: layout of the result.
    given: `text` list of str; `image` uint8 (B, H, W, 3); `video` and
      `structure` uint8 (B, T, H, W, 3); `audio` int16 (B, samples); or a
      feature by its own name, as local ids (`text` together with
      `text_embeddings`, where the model takes those).
    tokenizers: tokenizers of the checkpoint.
    text_slots: number of positions of text.

  Returns:
    Local ids by feature, of the prefix's features only; with text and a model
    that takes embeddings, also `text_embeddings` float32 (B, S, E).

  Raises:
    DataError: a condition is missing, or a clip is too short.
  """
  check_given(layout, given)
  features = {}
  for feature in prefix_features(layout):
    if feature in given and feature != 'text':
      features[feature] = np.asarray(given[feature], np.int32)
    elif feature == 'text':
      features |= encode_text(given, tokenizers, text_slots)
    elif feature == 'audio_tokens':
      if tokenizers.audio is None:
        raise errors.CheckpointError(
          f'{layout.name} takes sound, and the checkpoint has no '
          'audio_tokenizer/ folder.'
        )
      features[feature] = tokenizers.audio.encode(given['audio'])
    else:
      features[feature] = _visual_ids(layout, feature, given, tokenizers)
  return features


def encode_text(
  given: Mapping[str, Any], tokenizers: Tokenizers, text_slots: int
) -> dict[str, np.ndarray]:
  """Encodes `text` and, for models that take them, `text_embeddings`.

  Args:
    given: `text`, a list of str, or the features themselves as arrays.
    tokenizers: tokenizers of the checkpoint.
    text_slots: number of positions of text.

  Returns:
    int32 (B, S) ids, 0 for padding, and float32 (B, S, E).

  Raises:
    CheckpointError: the checkpoint has no text tokenizer.
  """
  text = given['text']
  if isinstance(text, np.ndarray):
    names = [n for n in ('text', TEXT_EMBEDDINGS) if n in given]
    return {name: np.asarray(given[name]) for name in names}
  if tokenizers.embed_text is not None:
    embeddings_BSE, used_B = tokenizers.embed_text(list(text), text_slots)
    # Ids only mark the used slots, as in training.
    used_BS = np.arange(text_slots)[None] < used_B[:, None]
    return {'text': used_BS.astype(np.int32), TEXT_EMBEDDINGS: embeddings_BSE}
  if tokenizers.text is None:
    raise errors.CheckpointError('the checkpoint has no text/ folder.')
  return {'text': tokenizers.text.encode(list(text), text_slots)}


def _visual_ids(
  layout: layout_lib.SequenceLayout,
  feature: str,
  given: Mapping[str, Any],
  tokenizers: Tokenizers,
) -> np.ndarray:
  if tokenizers.visual is None:
    raise errors.CheckpointError(
      f'{layout.name} takes pixels, and the checkpoint has no '
      'visual_tokenizer/ folder.'
    )
  latents = needed_frames(layout, feature)
  assert latents is not None, feature
  frames = tokenizers.visual.spec.frames(latents)
  name = 'structure' if feature == 'structure_tokens' else 'video'
  if name in given:
    video_BTHWC = np.asarray(given[name])
  else:
    video_BTHWC = np.asarray(given['image'])[:, None]
  if video_BTHWC.shape[1] < frames:
    raise errors.DataError(
      f'{layout.name} needs {frames} frames of {FLAGS[name]}; got '
      f'{video_BTHWC.shape[1]}.'
    )
  video_BTHWC = video_BTHWC[:, :frames]
  masks = {
    'inpainting_tokens': masking.inpainting_mask,
    'outpainting_tokens': masking.outpainting_mask,
  }
  if feature in masks:
    hole = masks[feature](*video_BTHWC.shape[1:4])
    video_BTHWC = masking.hide(video_BTHWC, hole[None])
  return tokenizers.visual.encode(video_BTHWC)
