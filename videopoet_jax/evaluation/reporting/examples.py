"""Samples beside their conditions and the truth, for pages."""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.evaluation.reporting import report
from videopoet_jax.shapes import judges


@dataclasses.dataclass(frozen=True)
class Given:
  """Conditions of a task's samples.

  Attributes:
    features: features of the layout's prefix.
    frames: number of video frames that the samples continue; 0 if none.
    frame_rate: frames a second.
    sampling_rate: samples of sound a second.
  """

  features: tuple[str, ...]
  frames: int
  frame_rate: float
  sampling_rate: int


def examples(
  given: Given,
  clips: Any,
  samples: Sequence[Mapping[str, judges.Outputs]],
  passed: Sequence[bool | None] = (),
) -> list[report.Example]:
  """Returns examples of samples to show.

  Args:
    given: conditions of the task.
    clips: conditions, one a sample (`generation.Clips`).
    samples: outputs of each condition (a batch of one) by label, such as
      'generated'.
    passed: for each sample, whether it is right.
  """
  found = []
  for row, outputs in enumerate(samples):
    shown = list(outputs.values())[:1]
    signals = conditions(given, clips, row)
    signals += [signal(label, one) for label, one in outputs.items()]
    if shown and given.features:
      truth = _truth(clips, row, shown[0])
      signals += [truth] if truth else []
    text = clips.captions[row] if 'text' in given.features else ''
    right = passed[row] if row < len(passed) else None
    found.append(report.Example(tuple(signals), text, right))
  return found


def conditions(given: Given, clips: Any, row: int) -> list[report.Signal]:
  """Returns the conditions of the model besides text."""
  signals = []
  for task in ('inpainting', 'outpainting'):
    if f'{task}_tokens' in given.features:
      signals.append(report.Signal('condition', clips.masked_BTHWC(task)[row]))
  if 'structure_tokens' in given.features:
    signals.append(report.Signal('flow and depth', clips.structure_BTHWC[row]))
  video = sound = None
  if 'video_tokens' in given.features:
    video = clips.video_BTHWC[row][: given.frames]
  if 'audio_tokens' in given.features:
    sound = clips.audio_BT[row]
    if video is not None:
      shown = given.frames / given.frame_rate * given.sampling_rate
      sound = sound[: round(shown)]
  if video is not None or sound is not None:
    signals.append(report.Signal('condition', video, sound))
  return signals


def signal(label: str, outputs: judges.Outputs) -> report.Signal:
  """Returns one sample (a batch of one) under a label."""
  video, audio = outputs.video_BTHWC, outputs.audio_BT
  return report.Signal(
    label,
    None if video is None else video[0],
    None if audio is None else audio[0],
  )


def _truth(clips: Any, row: int, like: judges.Outputs) -> report.Signal | None:
  """The real clip, of the generated kinds; None if there is none."""
  video: np.ndarray | None = None
  audio: np.ndarray | None = None
  try:
    if like.video_BTHWC is not None:
      video = clips.video_BTHWC[row][: like.video_BTHWC.shape[1]]
    if like.audio_BT is not None:
      audio = clips.audio_BT[row]
  except errors.DataError:
    return None  # A set of captions has no clips.
  return report.Signal('truth', video, audio)
