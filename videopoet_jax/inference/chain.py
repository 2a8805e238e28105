"""Tasks one after the other, each fed with what the one before has made.

VideoPoet (section 5.4) chains image-to-video and stylization, and
text-to-video and video-to-audio, without training for it. Super-resolution may
be a step of a chain as well.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.inference import draws
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.inference import sampling
from videopoet_jax.inference.super_resolution import cascade as cascade_lib
from videopoet_jax.inference.super_resolution import config as config_lib
from videopoet_jax.inference.super_resolution import upscaler


@dataclasses.dataclass(frozen=True)
class Step:
  """One task of a chain.

  Attributes:
    layout: name of the layout.
    given: conditions besides the video and sound made so far.
    structure_from: estimates flow and depth of the video so far, as uint8
      (B, T, H, W, 3), for a stylization.
    config: how ids are drawn.
  """

  layout: str
  given: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  structure_from: Callable[[np.ndarray], np.ndarray] | None = None
  config: sampling.SamplingConfig = sampling.DEFAULT


@dataclasses.dataclass(frozen=True)
class Upscale:
  """Makes the video so far larger, from its ids where tokenizers agree.

  Tasks that come after go on from the small video, the size they know.

  Attributes:
    cascade: of super-resolution models.
    text: one a clip, or None.
    configs: how each stage's ids are drawn; the paper's unless given.
  """

  cascade: cascade_lib.Cascade
  text: Sequence[str] | None = None
  configs: Sequence[config_lib.UpscaleConfig] = ()


Made = generator_lib.Generated | upscaler.Upscaled


def clips_of(
  generator: generator_lib.Generator, made: generator_lib.Generated
) -> cascade_lib.Clips:
  """What a cascade starts from; DataError where no video was made."""
  if 'video_tokens' not in made.ids:
    raise errors.DataError(
      f'{made.layout.task} makes no video, so there is nothing to make larger.'
    )
  return cascade_lib.Clips(
    made.ids['video_tokens'], generator.visual_fingerprint, made.video_BTHWC
  )


def run(
  generator: generator_lib.Generator,
  steps: Sequence[Step | Upscale],
  *,
  seed: int = 0,
  log: Callable[[str], None] = print,
) -> list[Made]:
  """Runs a chain.

  Args:
    generator: knows every step's layout.
    steps: at least one.
    seed: of the draws; every step has draws of its own.
    log: told where a larger video cannot start from the ids; see `cascade`.

  Returns:
    What each step has made; the newest video and the newest sound belong
    together.

  Raises:
    DataError: there is no video to make larger.
  """
  made: list[Made] = []
  signals: dict[str, Any] = {}
  clips: cascade_lib.Clips | None = None
  for index, step in enumerate(steps):
    path = (int(draws.Part.CHAIN), index)
    if isinstance(step, Upscale):
      if clips is None:
        raise errors.DataError(
          f'step {index + 1} of the chain makes a video larger, and no step '
          'before it makes one; put it behind such a step.'
        )
      made.append(
        step.cascade.run(
          clips,
          step.text,
          configs=step.configs,
          seed=seed,
          path=path,
          log=log,
        )
      )
      continue
    given = {**signals, **step.given}
    if step.structure_from is not None:
      given['structure'] = step.structure_from(given['video'])
    done = generator.generate(
      step.layout, given, seed=seed, path=path, config=step.config
    )
    if 'video_tokens' in done.ids:
      clips = clips_of(generator, done)
    if done.video_BTHWC is not None:
      signals['video'] = done.video_BTHWC
    if done.audio_BT is not None:
      signals['audio'] = done.audio_BT
    made.append(done)
  return made


def text_to_video_and_audio(
  generator: generator_lib.Generator,
  texts: Sequence[str],
  *,
  seed: int = 0,
  config: sampling.SamplingConfig = sampling.DEFAULT,
) -> tuple[np.ndarray, np.ndarray]:
  """Silent video from text, then sound from the video.

  Returns:
    uint8 (B, T, H, W, 3) and int16 (B, samples).
  """
  given = {'text': list(texts)}
  first = generator.choose_layout('text_to_video', given)
  second = generator.choose_layout('video_to_audio', {'video': None})
  video, sound = run(
    generator, [Step(first, given, config=config), Step(second)], seed=seed
  )
  assert isinstance(sound, generator_lib.Generated)
  assert video.video_BTHWC is not None and sound.audio_BT is not None
  return video.video_BTHWC, sound.audio_BT
