"""The scoreboard: one row a task, and the file that holds it.

`docs/scoreboard.md` explains every key of `metrics.json`.
"""

from collections.abc import Mapping
import json
import os
import pathlib
from typing import Any

import numpy as np
import scipy.stats

from videopoet_jax.core import errors
from videopoet_jax.media import quality
from videopoet_jax.shapes import attributes
from videopoet_jax.shapes import baselines
from videopoet_jax.shapes import held_out
from videopoet_jax.shapes import judges
from videopoet_jax.shapes import splits

MAX_TOTAL_VARIATION = 0.15
RIGHT = 'right'
_PART, _LABEL = 'part/', 'label/'
# In the order of `splits.triples`.
ATTRIBUTES = {
  'kind': attributes.KINDS,
  'colour': attributes.COLOURS,
  'direction': attributes.DIRECTIONS,
}
_ROW_KEYS = ('value', 'chance', 'samples', 'low', 'high')
_SECTIONS = {
  'tokenizer': ('psnr_db', 'codebook_usage', 'oracle_kept'),
  'agd': (
    'layout_padding',
    'unused_text',
    'kernel_padding',
    'packing_would_pad',
  ),
}
_KEYS = ('tasks', *_SECTIONS, 'wall_seconds', 'profile', 'versions')


def score(
  task: str,
  outputs: judges.Outputs,
  clips: held_out.Clips,
  condition_frames: int = 0,
) -> tuple[dict[str, Any], np.ndarray]:
  """Scores the outputs for one task.

  Args:
    task: one of `judges.TASKS`.
    outputs: a sample for each clip, in their order.
    clips: conditions and truth.
    condition_frames: frames that the condition of a continuation holds.

  Returns:
    The row of the scoreboard, and which samples are right, bool (B,).

  Raises:
    DataError: there is not one sample for each clip.
  """
  judged = judge(task, outputs, clips)
  row = summarize(task, judged, chances(task, clips, condition_frames))
  return row, judged[RIGHT]


def judge(
  task: str, outputs: judges.Outputs, clips: held_out.Clips
) -> dict[str, np.ndarray]:
  """Judges the parts of a row, sample by sample.

  Args:
    task: one of `judges.TASKS`.
    outputs: a sample for each clip, in their order.
    clips: conditions and truth.

  Returns:
    Arrays with one entry a sample: `right` bool; `part/<name>` int8, 1 where
    the attribute is right, -1 where it is not asked; for 'unconditional' also
    `label/<name>` int64, what is shown.

  Raises:
    DataError: there is not one sample for each clip.
  """
  if len(outputs) != len(clips):
    raise errors.DataError(
      f'{task}: {len(outputs)} samples for {len(clips)} conditions; generate '
      'one for each.'
    )
  readings = judges.read(outputs, clips.config)
  judged = {RIGHT: judges.judge(task, readings, clips)}
  for name, values in parts(task, readings, clips).items():
    judged[f'{_PART}{name}'] = values
  if task == 'unconditional':
    for name in ATTRIBUTES:
      judged[f'{_LABEL}{name}'] = np.array(
        [getattr(seen, name) for seen in readings.seen], np.int64
      )
  return judged


def summarize(
  task: str, judged: Mapping[str, np.ndarray], ways: Mapping[str, float]
) -> dict[str, Any]:
  """Returns the row of a task.

  Args:
    task: one of `judges.TASKS`.
    judged: result of `judge` over all samples.
    ways: result of `chances`.
  """
  right_B = judged[RIGHT]
  row: dict[str, Any] = {}
  failed_spread = False
  if task == 'unconditional':
    row['spread'] = spread(judged)
    failed_spread = max(row['spread'].values()) > MAX_TOTAL_VARIATION
    row['valid_share'] = float(right_B.mean())
  successes = 0 if failed_spread else int(right_B.sum())
  low, high = scipy.stats.binomtest(successes, len(right_B)).proportion_ci(
    method='wilson'
  )
  shares = {}
  for name, values in judged.items():
    if name.startswith(_PART) and (values >= 0).any():
      shares[name.removeprefix(_PART)] = float(
        np.mean(values[values >= 0] == 1)
      )
  return row | {
    'value': successes / len(right_B),
    'chance': max(ways.values()),
    'samples': len(right_B),
    'low': low,
    'high': high,
    'chances': dict(ways),
    'parts': shares,
  }


def spread(judged: Mapping[str, np.ndarray]) -> dict[str, float]:
  """Total variation distance of drawn labels from the labels of training.

  Args:
    judged: judged unconditional samples; unsound ones are left out.

  Returns:
    A distance each for kind, colour and direction.
  """
  sound_B = judged[RIGHT].astype(bool)
  return spread_of(
    {name: judged[f'{_LABEL}{name}'][sound_B] for name in ATTRIBUTES}
  )


def spread_of(labels: Mapping[str, np.ndarray]) -> dict[str, float]:
  """Returns the same for the labels of sound samples, int (N,) by attribute."""
  triples = np.array(splits.triples(splits.TRAIN))
  distances = {}
  for axis, (name, names) in enumerate(ATTRIBUTES.items()):
    counts = np.bincount(triples[:, axis], minlength=len(names))
    distances[name] = total_variation(labels[name], counts / counts.sum())
  return distances


def chances(
  task: str, clips: held_out.Clips, condition_frames: int = 0
) -> dict[str, float]:
  """The share that is right without a model, for each baseline.

  Returns:
    `guess`, `guess_the_rest` and `copy`; see `shapes.baselines`.
  """
  truth = judges.read(judges.truth_of(task, clips), clips.config)
  copied = baselines.copy_of_condition(task, clips, condition_frames)
  copy = 0.0
  if copied is not None:
    readings = judges.read(copied, clips.config)
    copy = float(judges.judge(task, readings, clips).mean())
  return {
    'guess': baselines.guess(task, truth, clips),
    'guess_the_rest': baselines.guess_the_rest(task),
    'copy': copy,
  }


def parts(
  task: str, readings: judges.Readings, clips: held_out.Clips
) -> dict[str, np.ndarray]:
  """Whether each attribute alone is right, which shows where points are lost.

  Each attribute is compared with the truth of its clip, whether or not the task
  asks for it. `valid` and `steady` are the oracle's terms for soundness.

  Returns:
    int8 (B,) each: 1 right, 0 wrong, -1 not asked.
  """
  asked: dict[str, list[int]] = {}
  for seen, shape in zip(readings.seen, clips.shapes):
    moves = seen.direction >= 0  # An image does not.
    right = {'valid': int(seen.valid)}
    right['steady'] = int(seen.steady) if moves else -1
    for name in ('kind', 'colour', 'direction', 'speed'):
      is_asked = task != 'unconditional' and (
        moves or name in ('kind', 'colour')
      )  # There is no truth without a condition.
      equal = getattr(seen, name) == getattr(shape, name)
      right[name] = int(equal) if is_asked else -1
    for name, value in right.items():
      asked.setdefault(name, []).append(value)
  rate = clips.config.frame_rate
  for heard, shape in zip(readings.heard, clips.shapes):
    times = tuple(t / rate for t, _ in shape.legs(clips.config.frames)[1:])
    for name, value in (
      ('sound_valid', heard.valid),
      ('pitch', heard.kind == shape.kind),
      ('glide', heard.direction == shape.direction),
      ('clicks', heard.clicks_match(times, judges.CLICK_SECONDS)),
    ):
      asked.setdefault(name, []).append(int(value))
  return {name: np.array(values, np.int8) for name, values in asked.items()}


def tokenizer_scores(
  clips: held_out.Clips,
  video_BTHWC: np.ndarray,
  audio_BT: np.ndarray | None,
  visual_ids: np.ndarray,
  codebook_size: int,
) -> dict[str, float]:
  """Scores what the tokenizers preserve of held-out clips.

  Args:
    clips: the originals.
    video_BTHWC: uint8, reconstructions of their videos.
    audio_BT: int16, reconstructions of their sounds, if there is sound.
    visual_ids: int, the ids of the videos, any shape.
    codebook_size: how many visual codes there are.

  Returns:
    `psnr_db` (mean over clips), `codebook_usage` (share of the codes that occur
    in these clips), `codebook_bits` (entropy of their frequencies),
    `oracle_kept` (share of clips whose kind, colour and direction are read from
    a sound reconstruction), and `sound_kept`, the same share by the measure of
    video_to_audio.
  """
  counts = np.bincount(visual_ids.ravel(), minlength=codebook_size)
  shares = counts[counts > 0] / counts.sum()
  readings = judges.read(judges.Outputs(video_BTHWC, audio_BT), clips.config)
  scores = {
    'psnr_db': float(quality.psnr(video_BTHWC, clips.video_BTHWC).mean()),
    'codebook_usage': float((counts > 0).mean()),
    'codebook_bits': float(-(shares * np.log2(shares)).sum()),
    'oracle_kept': float(
      judges.judge('image_to_video', readings, clips).mean()
    ),
  }
  if audio_BT is not None:
    scores['sound_kept'] = float(
      judges.judge('video_to_audio', readings, clips).mean()
    )
  return scores


def check(metrics: Mapping[str, Any]) -> None:
  """Raises ValueError unless this is a complete scoreboard."""
  missing = [key for key in _KEYS if key not in metrics]
  for section, keys in _SECTIONS.items():
    missing += [
      f'{section}.{key}' for key in keys if key not in metrics.get(section, {})
    ]
  rows = metrics.get('tasks', {})
  missing += [f'tasks.{task}' for task in judges.TASKS if task not in rows]
  for task, row in rows.items():
    missing += [f'tasks.{task}.{key}' for key in _ROW_KEYS if key not in row]
  if missing:
    raise ValueError(f'metrics lack {", ".join(missing)}')
  for task, row in rows.items():
    if not 0 <= row['low'] <= row['value'] <= row['high'] <= 1:
      raise ValueError(f'tasks.{task}: value outside of its interval: {row}')


def write(metrics: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
  """Checks the scoreboard and writes it as JSON.

  Raises:
    ValueError: it is not complete.
    DataError: the file cannot be written.
  """
  check(metrics)
  try:
    pathlib.Path(path).write_text(json.dumps(metrics, indent=2) + '\n')
  except OSError as error:
    raise errors.DataError(
      f'cannot write {path}: {error.strerror}; give a folder that can be '
      'written.'
    ) from error


def table(metrics: Mapping[str, Any]) -> str:
  """Returns the scoreboard as lines of text for the terminal."""
  lines = [f'{"task":<26}{"value":>7}  {"95 % interval":<15}{"chance":>7}']
  for task, row in metrics['tasks'].items():
    interval = f'{row["low"]:.3f} - {row["high"]:.3f}'
    lines.append(
      f'{task:<26}{row["value"]:>7.3f}  {interval:<15}{row["chance"]:>7.3f}'
    )
  tokenizer = metrics['tokenizer']
  lines.append(
    f'tokenizer: {tokenizer["psnr_db"]:.1f} dB, oracle keeps '
    f'{tokenizer["oracle_kept"]:.1%}, {tokenizer["codebook_usage"]:.0%} of the '
    'codes in use'
  )
  return '\n'.join(lines)


def total_variation(labels: np.ndarray, expected: np.ndarray) -> float:
  """Half the sum of absolute differences between two spreads.

  Args:
    labels: int (N,), the observed categories.
    expected: (categories,), the shares expected; they sum to 1.

  Returns:
    0 for equal spreads, 1 for disjoint ones or no labels at all.
  """
  if not len(labels):
    return 1.0
  counts = np.bincount(labels, minlength=len(expected))
  return float(0.5 * np.abs(counts / len(labels) - expected).sum())
