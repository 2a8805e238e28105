"""Chooses the layouts that continue a clip and its sound.

The rule of the choice is stated in `choose`.
"""

import dataclasses
from typing import Any

from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import types
from videopoet_jax.inference import conditions
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.inference import sampling

CONDITION_LATENTS = 3  # 9 frames, 8 of them after the first.
VIDEO, AUDIO = 'video_tokens', 'audio_tokens'


@dataclasses.dataclass(frozen=True)
class Continuation:
  """How a clip is continued.

  Attributes:
    layout: layout of the next frames, and of the next sound if `sound` is so.
    frames: number of frames that it is given.
    takes_text: whether it takes the text.
    sound: source of later sound: 'none' for a clip without sound, 'continued'
      by `layout` itself, 'video_to_audio' from the new frames, or 'silence' if
      the model has no layout for it.
    sound_layout: layout for 'video_to_audio', else ''.
    config: settings of sampling for `layout`.
    sound_config: settings of sampling for `sound_layout`.
    negative_text: negative prompt for guidance on the text.
    notes: lines for the user about requests that cannot be met.
  """

  layout: str
  frames: int
  takes_text: bool
  sound: str
  sound_layout: str
  config: sampling.SamplingConfig
  sound_config: sampling.SamplingConfig
  negative_text: str
  notes: tuple[str, ...]


def _size(name: str) -> str:
  """Height and width of a layout, as in its name."""
  return name.split('/')[1].split('x', 1)[1]


def _given_latents(layout: layout_lib.SequenceLayout) -> int:
  """Latent frames that a layout continues, 0 if it continues none."""
  target = [s for s in layout.filled(types.Role.TARGET) if s.feature == VIDEO]
  given = conditions.needed_frames(layout, VIDEO) or 0
  if len(target) != 1 or target[0].start != given:
    return 0
  return given


def candidates(
  generator: generator_lib.Generator, size: str = ''
) -> list[layout_lib.SequenceLayout]:
  """Returns the layouts that continue a clip from its last frames.

  Image-to-video is not among them, since a single frame does not show motion. A
  layout that also continues the sound may be given one frame, since sound shows
  motion.

  Args:
    generator: model to continue with.
    size: `HEIGHTxWIDTH` of the layouts; any size if empty.
  """
  found = []
  for name in generator.layout_names:
    layout = generator.space.layout(name)
    given = set(conditions.prefix_features(layout))
    made = {s.feature for s in layout.filled(types.Role.TARGET)}
    latents = _given_latents(layout)
    is_joint = AUDIO in made and AUDIO in given
    if (
      (not size or _size(name) == size)
      and latents >= (1 if is_joint else 2)
      and given <= {VIDEO, 'text', *([AUDIO] if is_joint else [])}
      and made == {VIDEO, *([AUDIO] if is_joint else [])}
    ):
      found.append(layout)
  return found


def _refusal(generator: generator_lib.Generator, size: str) -> errors.UserError:
  return errors.LayoutError(
    f'long video needs a model trained on future_prediction/17x'
    f'{size or "HxW"}/condition={CONDITION_LATENTS} or another continuation; '
    f'this one knows {", ".join(generator.layout_names)}.'
  )


def choose(
  generator: generator_lib.Generator,
  clip: layout_lib.SequenceLayout | None = None,
  *,
  has_text: bool = False,
  has_sound: bool = False,
  config: sampling.SamplingConfig = sampling.DEFAULT,
  negative_text: str = '',
) -> Continuation:
  """Chooses how to continue a clip.

  The choice is among the model's `candidates` of the clip's height and width.
  Those that continue the sound come first, if the clip has sound; then those
  that take the text, if there is text; then those whose number of given latent
  frames is nearest to `CONDITION_LATENTS`. A layout with text is not used
  without text.

  Guidance acts on the conditions in `config.guide_on` that the chosen layout
  has and was trained without; if there are none, there is no guidance.

  Args:
    generator: model to continue with.
    clip: layout of the clip; None takes layouts of any size.
    has_text: whether there is a text.
    has_sound: whether the clip has sound.
    config: settings of sampling.
    negative_text: negative prompt for guidance.

  Raises:
    LayoutError: the model was not trained to continue clips.
  """
  size = _size(clip.name) if clip else ''

  def rank(layout: layout_lib.SequenceLayout) -> tuple[Any, ...]:
    features = conditions.prefix_features(layout)
    return (
      has_sound and AUDIO in features,
      has_text and 'text' in features,
      -abs(_given_latents(layout) - CONDITION_LATENTS),
      -layout.length,
    )

  fitting = [
    layout
    for layout in candidates(generator, size)
    if (has_text or 'text' not in conditions.prefix_features(layout))
    and (has_sound or AUDIO not in conditions.prefix_features(layout))
  ]
  if not fitting:
    raise _refusal(generator, size)
  chosen = max(fitting, key=rank)
  features = conditions.prefix_features(chosen)
  notes = []
  takes_text = has_text and 'text' in features
  if has_text and not takes_text:
    notes.append(
      f'{chosen.name}, which continues the video, takes no text: the text is '
      'that of the first clip alone'
    )
  sound, sound_layout = 'none', ''
  if has_sound:
    sound, sound_layout = _sound_of(generator, chosen)
    if sound == 'silence':
      notes.append(
        'the model cannot continue sound (audio_video_continuation or '
        'video_to_audio): it is silent after the first clip'
      )
  negative = negative_text if takes_text else ''
  picture, more = _acting(generator, chosen.name, config, negative)
  notes += more
  heard = sampling.DEFAULT
  if sound_layout:
    heard, more = _acting(generator, sound_layout, config, '')
    notes += more
  return Continuation(
    chosen.name,
    generator.space.visual.frames(_given_latents(chosen)),
    takes_text,
    sound,
    sound_layout,
    picture,
    heard,
    negative if picture.is_guided else '',
    tuple(notes),
  )


def _sound_of(
  generator: generator_lib.Generator, chosen: layout_lib.SequenceLayout
) -> tuple[str, str]:
  """Returns the sound's source, and its layout if it has one of its own."""
  if AUDIO in conditions.prefix_features(chosen):
    return 'continued', ''
  place = chosen.name.split('/')[1]
  for name in generator.layout_names:
    layout = generator.space.layout(name)
    if (
      name.split('/')[1] == place
      and conditions.prefix_features(layout) == (VIDEO,)
      and {s.feature for s in layout.filled(types.Role.TARGET)} == {AUDIO}
    ):
      return 'video_to_audio', name
  return 'silence', ''


def _acting(
  generator: generator_lib.Generator,
  name: str,
  config: sampling.SamplingConfig,
  negative_text: str,
) -> tuple[sampling.SamplingConfig, list[str]]:
  """Settings that act on a layout, and lines about the others."""
  config = dataclasses.replace(config, first_temperature=None)
  if not config.is_guided:
    return config, []
  kept = []
  for feature in config.guide_on:
    one = dataclasses.replace(config, guide_on=(feature,))
    try:
      generator.check_settings(
        name, one, negative_text if feature == 'text' else ''
      )
    except errors.ConfigError:
      continue
    kept.append(feature)
  if not kept:
    none = dataclasses.replace(
      config, guidance=1.0, guide_on=sampling.DEFAULT.guide_on
    )
    return none, [
      f'{name}, which continues the clip, has no condition to guide on: '
      f'guidance {config.guidance:g} is that of the first clip alone'
    ]
  return dataclasses.replace(config, guide_on=tuple(kept)), []


def check(
  generator: generator_lib.Generator,
  clip: layout_lib.SequenceLayout,
  seconds: float,
  **wishes: Any,
) -> Continuation:
  """Checks that a layout's clips can be continued to a length.

  Args:
    generator: model to continue with.
    clip: layout of the clip.
    seconds: requested duration.
    **wishes: see `choose`.

  Returns:
    How they are continued.

  Raises:
    LayoutError: the model was not trained to continue clips.
    DataError: the clips are shorter than its condition.
    ConfigError: the clips already have the duration.
  """
  found = choose(generator, clip, **wishes)
  frames = int(clip.name.split('/')[1].split('x')[0])
  check_frames(found, frames)
  spec = generator.space.visual
  if round(seconds * spec.frame_rate) <= frames:
    raise errors.ConfigError(
      f'--seconds is {seconds:g}; {clip.name} makes '
      f'{frames / spec.frame_rate:g} s already: give more, or leave it out.'
    )
  return found


def check_frames(continuation: Continuation, frames: int) -> None:
  """Raises DataError if clips are shorter than a piece's condition."""
  if frames < continuation.frames:
    raise errors.DataError(
      f'a long video continues {continuation.frames} frames; got {frames}.'
    )
