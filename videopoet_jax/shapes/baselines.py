"""Scores of the scoreboard's rows without a model.

Three ways to score without understanding, each scored by the task's own
measure; the chance of a row is the best of them.
"""

import numpy as np

from videopoet_jax.shapes import attributes
from videopoet_jax.shapes import held_out
from videopoet_jax.shapes import judges

_ROTATIONS = 8
# What the condition does not show, where all else can be read off it.
_OPEN_ATTRIBUTES = {
  'image_to_video': (attributes.DIRECTIONS,),
  'stylization': (attributes.COLOURS,),
}


def guess(task: str, truth: judges.Readings, clips: held_out.Clips) -> float:
  """Share right when each clip is given the truth of another clip.

  Args:
    task: one of `judges.TASKS`.
    truth: readings of the clips' own videos (or images) and sounds.
    clips: conditions and truth.

  Returns:
    The mean over several pairings.
  """
  if task == 'unconditional':
    return 0.0  # The one clip that a blind guesser repeats has no spread.
  count = len(clips)
  steps = np.unique(np.linspace(1, count - 1, _ROTATIONS).astype(int))
  return float(
    np.mean([judges.judge(task, truth.rotated(int(by)), clips) for by in steps])
  )


def guess_the_rest(task: str) -> float:
  """Chance of guessing what the condition does not show, all else right."""
  sizes = [len(names) for names in _OPEN_ATTRIBUTES.get(task, ())]
  return float(1 / np.prod(sizes)) if sizes else 0.0


def copy_of_condition(
  task: str, clips: held_out.Clips, condition_frames: int = 0
) -> judges.Outputs | None:
  """Puts the condition in place of the output.

  Args:
    task: one of `judges.TASKS`.
    clips: conditions and truth.
    condition_frames: frames that the condition of a continuation holds.

  Returns:
    Outputs to be judged: the last seen frame held, the hole filled with the
    mean, structure shown as a video, the sound so far repeated; None if the
    condition has another kind than the output.
  """
  video_BTHWC, config = clips.video_BTHWC, clips.config
  if task in ('inpainting', 'outpainting'):
    filled = [judges.mean_fill(v, clips.holes[task]) for v in video_BTHWC]
    return judges.Outputs(np.round(np.stack(filled)).astype(np.uint8))
  if task == 'stylization':
    return judges.Outputs(clips.structure_BTHWC)
  if task not in (
    'future_prediction',
    'image_to_video',
    'audio_video_continuation',
  ):
    return None
  shown = max(1, condition_frames)
  order = np.minimum(np.arange(config.frames), shown - 1)
  held_BTHWC = video_BTHWC[:, order]
  if task != 'audio_video_continuation':
    return judges.Outputs(held_BTHWC)
  samples = round(shown / config.frame_rate * config.sampling_rate)
  repeats = -(-config.samples // samples)
  audio_BT = np.tile(clips.audio_BT[:, :samples], (1, repeats))
  return judges.Outputs(held_BTHWC, audio_BT[:, : config.samples])
