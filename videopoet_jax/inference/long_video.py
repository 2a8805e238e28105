"""Extends video to any length, a piece at a time from its last second.

VideoPoet (section 5.2) extends videos this way. A latent frame in the middle
of a clip holds four frames and the first one holds one, so old ids cannot be
moved to the front: the last frames are *decoded and encoded again*.

`continuation.choose` decides how a clip is continued; the settings of each
piece are part of the result.
"""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np

from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import specs
from videopoet_jax.inference import conditions
from videopoet_jax.inference import continuation as continuation_lib
from videopoet_jax.inference import draws
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.inference import sampling

# Last number of a path of draws.
_PICTURE, _SOUND = 0, 1


@dataclasses.dataclass(frozen=True)
class Extended:
  """A long video.

  Attributes:
    video_BTHWC: uint8 frames, the given ones first and unchanged.
    audio_BT: int16 samples, as long as the video; None without sound.
    pieces: JSON values of each generated piece: its first frame, its number of
      new frames, layouts, text, guidance and the sound's source.
  """

  video_BTHWC: np.ndarray
  audio_BT: np.ndarray | None
  pieces: tuple[Mapping[str, Any], ...]


def frames_of(spec: specs.VisualSpec, seconds: float) -> int:
  """Frames of a video of that duration, at least those of a condition."""
  given = spec.frames(continuation_lib.CONDITION_LATENTS)
  return max(round(seconds * spec.frame_rate), given)


def samples_of(space: Any, frames: int) -> int:
  """Number of sound samples for some frames of a `LayoutSpace`."""
  seconds = frames / space.visual.frame_rate
  return round(seconds * space.audio.sampling_rate)


def extend(
  generator: generator_lib.Generator,
  video_BTHWC: np.ndarray,
  seconds: float,
  *,
  continuation: continuation_lib.Continuation | None = None,
  text: Sequence[str] | None = None,
  audio_BT: np.ndarray | None = None,
  seed: int = 0,
  config: sampling.SamplingConfig = sampling.DEFAULT,
  negative_text: str = '',
  batch_size: int = 64,
) -> Extended:
  """Continues clips until they are long enough.

  Args:
    generator: model that can continue clips.
    video_BTHWC: uint8, at least as many frames as the condition of a piece.
    seconds: requested duration.
    continuation: how to continue; the result of `continuation.choose` unless
      given.
    text: one text a clip, or None.
    audio_BT: int16, the clips' sound, or None.
    seed: seed of the draws; every piece has draws of its own.
    config: settings of sampling.
    negative_text: negative prompt for guidance on the text.
    batch_size: most clips of one compiled call.

  Returns:
    The video of `frames_of` frames; it begins with the given frames and sound.

  Raises:
    LayoutError, DataError: see `continuation.check`.
  """
  if continuation is None:
    continuation = continuation_lib.choose(
      generator,
      has_text=text is not None,
      has_sound=audio_BT is not None,
      config=config,
      negative_text=negative_text,
    )
  continuation_lib.check_frames(continuation, video_BTHWC.shape[1])
  space, given_frames = generator.space, continuation.frames
  wanted = frames_of(space.visual, seconds)
  pieces: list[dict[str, Any]] = []
  while video_BTHWC.shape[1] < wanted:
    number = len(pieces)
    start = video_BTHWC.shape[1] - given_frames
    given: dict[str, Any] = {'video': video_BTHWC[:, start:]}
    if continuation.takes_text:
      assert text is not None
      given['text'] = list(text)
    layout = generator.layout(continuation.layout)
    if continuation.sound == 'continued':
      assert audio_BT is not None
      given['audio'] = _condition_sound(generator, layout, audio_BT, start)
    made = generator.generate(
      continuation.layout,
      given,
      seed=seed,
      path=(int(draws.Part.LONG_VIDEO), number, _PICTURE),
      config=continuation.config,
      negative_text=continuation.negative_text,
      batch_size=batch_size,
    )
    assert made.video_BTHWC is not None
    if audio_BT is not None:
      heard = _new_sound(
        generator, continuation, made, seed, number, batch_size
      )
      audio_BT = _join(space, audio_BT, heard, start, given_frames)
    new = made.video_BTHWC[:, given_frames:]
    pieces.append(_record(continuation, start + given_frames, new.shape[1]))
    video_BTHWC = np.concatenate([video_BTHWC, new], axis=1)
  video_BTHWC = video_BTHWC[:, :wanted]
  if audio_BT is not None:
    audio_BT = _fitted(audio_BT, samples_of(space, wanted))
  return Extended(video_BTHWC, audio_BT, tuple(pieces))


def _fitted(audio_BT: np.ndarray, samples: int) -> np.ndarray:
  """Cuts sound, or fills it up with silence, to a number of samples."""
  missing = max(0, samples - audio_BT.shape[1])
  return np.pad(audio_BT[:, :samples], ((0, 0), (0, missing)))


def _condition_sound(
  generator: generator_lib.Generator,
  layout: layout_lib.SequenceLayout,
  audio_BT: np.ndarray,
  start: int,
) -> np.ndarray:
  """The sound of the frames in a piece's condition."""
  latents = conditions.needed_frames(layout, continuation_lib.AUDIO) or 0
  samples = latents * generator.space.audio.hop
  first = samples_of(generator.space, start)
  return _fitted(audio_BT[:, first:], samples)


def _new_sound(
  generator: generator_lib.Generator,
  continuation: continuation_lib.Continuation,
  made: generator_lib.Generated,
  seed: int,
  number: int,
  batch_size: int,
) -> np.ndarray | None:
  """Returns the sound of a whole piece, None for silence."""
  if continuation.sound == 'continued':
    return made.audio_BT
  if continuation.sound != 'video_to_audio':
    return None
  return generator.generate(
    continuation.sound_layout,
    {continuation_lib.VIDEO: made.ids[continuation_lib.VIDEO]},
    seed=seed,
    path=(int(draws.Part.LONG_VIDEO), number, _SOUND),
    config=continuation.sound_config,
    batch_size=batch_size,
  ).audio_BT


def _join(
  space: Any,
  audio_BT: np.ndarray,
  piece_BT: np.ndarray | None,
  start: int,
  given_frames: int,
) -> np.ndarray:
  """Joins the sound so far and that of a piece that begins at `start`.

  A piece's sound is used from the first latent frame after its condition.
  """
  first = samples_of(space, start)
  seconds = given_frames / space.visual.frame_rate
  known = max(1, space.audio.latent_frames(seconds)) * space.audio.hop
  audio_BT = _fitted(audio_BT, first + known)
  if piece_BT is None:
    return audio_BT
  return np.concatenate([audio_BT, piece_BT[:, known:]], axis=1)


def _record(
  continuation: continuation_lib.Continuation, first: int, frames: int
) -> dict[str, Any]:
  config = continuation.config
  record: dict[str, Any] = {
    'first_frame': first,
    'frames': frames,
    'layout': continuation.layout,
    'text': continuation.takes_text,
    'guidance': config.guidance,
    'guide_on': list(config.guide_on) if config.is_guided else [],
    'negative_text': continuation.negative_text,
    'sound': continuation.sound,
  }
  if continuation.sound_layout:
    record['sound_layout'] = continuation.sound_layout
    record['sound_guidance'] = continuation.sound_config.guidance
  return record
