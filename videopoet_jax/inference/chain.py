"""Tasks one after the other, each fed with what the one before has made.

VideoPoet (section 5.4) chains image-to-video and stylization, and
text-to-video and video-to-audio, without training for it.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np

from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.inference import sampling


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


def run(
  generator: generator_lib.Generator, steps: Sequence[Step], *, seed: int = 0
) -> list[generator_lib.Generated]:
  """Runs a chain.

  Args:
    generator: knows every step's layout.
    steps: at least one.
    seed: of the first step; each further one adds one.

  Returns:
    What each step has made; the newest video and the newest sound belong
    together.
  """
  made: list[generator_lib.Generated] = []
  signals: dict[str, Any] = {}
  for index, step in enumerate(steps):
    given = {**signals, **step.given}
    if step.structure_from is not None:
      given['structure'] = step.structure_from(given['video'])
    made.append(
      generator.generate(
        step.layout, given, seed=seed + index, config=step.config
      )
    )
    if made[-1].video_BTHWC is not None:
      signals['video'] = made[-1].video_BTHWC
    if made[-1].audio_BT is not None:
      signals['audio'] = made[-1].audio_BT
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
  assert video.video_BTHWC is not None and sound.audio_BT is not None
  return video.video_BTHWC, sound.audio_BT
