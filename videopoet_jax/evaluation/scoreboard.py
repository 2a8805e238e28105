"""The scoreboard: one row a task, and the file that holds it.

`docs/scoreboard.md` explains every key of `metrics.json`.
"""

from collections.abc import Mapping
import json
import os
import pathlib
from typing import Any

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.data.shapes import attributes
from videopoet_jax.data.shapes import oracle
from videopoet_jax.data.shapes import splits
from videopoet_jax.evaluation import baselines
from videopoet_jax.evaluation import held_out
from videopoet_jax.evaluation import measures
from videopoet_jax.evaluation import statistics

MAX_TOTAL_VARIATION = 0.15
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
  outputs: measures.Outputs,
  clips: held_out.Clips,
  condition_frames: int = 0,
) -> tuple[dict[str, Any], np.ndarray]:
  """Scores what was generated for one task.

  Args:
    task: one of `measures.TASKS`.
    outputs: a sample for each clip, in their order.
    clips: conditions and truth.
    condition_frames: frames that the condition of a continuation holds.

  Returns:
    The row of the scoreboard, and which samples are right, bool (B,).

  Raises:
    DataError: there is not one sample for each clip.
  """
  if len(outputs) != len(clips):
    raise errors.DataError(
      f'{task}: {len(outputs)} samples for {len(clips)} conditions; generate '
      'one for each.'
    )
  readings = measures.read(outputs, clips.config)
  passed_B = measures.judge(task, readings, clips)
  row: dict[str, Any] = {}
  failed_spread = False
  if task == 'unconditional':
    row['spread'] = spread(readings.seen)
    failed_spread = max(row['spread'].values()) > MAX_TOTAL_VARIATION
    row['valid_share'] = float(passed_B.mean())
  successes = 0 if failed_spread else int(passed_B.sum())
  low, high = statistics.wilson(successes, len(clips))
  ways = chances(task, clips, condition_frames)
  row |= {
    'value': successes / len(clips),
    'chance': max(ways.values()),
    'samples': len(clips),
    'low': low,
    'high': high,
    'chances': ways,
    'parts': parts(task, readings, clips),
  }
  return row, passed_B


def spread(readings: tuple[oracle.Reading, ...]) -> dict[str, float]:
  """Total variation of what was drawn from what training shows.

  Args:
    readings: of unconditional samples; those that are not sound are left out.

  Returns:
    A distance each for kind, colour and direction.
  """
  sound = [r for r in readings if r.valid and r.steady]
  return spread_of(
    {
      name: np.array([getattr(r, name) for r in sound], int)
      for name in ATTRIBUTES
    }
  )


def spread_of(labels: Mapping[str, np.ndarray]) -> dict[str, float]:
  """The same, of the labels of sound samples by attribute, int (N,)."""
  triples = np.array(splits.triples(splits.TRAIN))
  distances = {}
  for axis, (name, names) in enumerate(ATTRIBUTES.items()):
    counts = np.bincount(triples[:, axis], minlength=len(names))
    distances[name] = statistics.total_variation(
      labels[name], counts / counts.sum()
    )
  return distances


def chances(
  task: str, clips: held_out.Clips, condition_frames: int = 0
) -> dict[str, float]:
  """The share right without a model, by each way to do without one.

  Returns:
    `guess`, `guess_the_rest` and `copy`; see `evaluation.baselines`.
  """
  truth = measures.read(measures.truth_of(task, clips), clips.config)
  copied = baselines.copy_of_condition(task, clips, condition_frames)
  copy = 0.0
  if copied is not None:
    readings = measures.read(copied, clips.config)
    copy = float(measures.judge(task, readings, clips).mean())
  return {
    'guess': baselines.guess(task, truth, clips),
    'guess_the_rest': baselines.guess_the_rest(task),
    'copy': copy,
  }


def parts(
  task: str, readings: measures.Readings, clips: held_out.Clips
) -> dict[str, float]:
  """Shares right of each attribute alone: where a row loses its points.

  Against the truth of each clip, whether its task asks for the attribute or
  not. `valid` and `steady` are the oracle's words for soundness.
  """
  shares: dict[str, list[bool]] = {}
  for seen, shape in zip(readings.seen, clips.shapes):
    shares.setdefault('valid', []).append(seen.valid)
    names = ['kind', 'colour']
    if seen.direction >= 0:  # An image has none.
      shares.setdefault('steady', []).append(seen.steady)
      names += ['direction', 'speed']
    if task == 'unconditional':
      continue  # There is no truth.
    for name in names:
      right = getattr(seen, name) == getattr(shape, name)
      shares.setdefault(name, []).append(right)
  rate = clips.config.frame_rate
  for heard, shape in zip(readings.heard, clips.shapes):
    times = tuple(t / rate for t, _ in shape.legs(clips.config.frames)[1:])
    for name, right in (
      ('sound_valid', heard.valid),
      ('pitch', heard.kind == shape.kind),
      ('glide', heard.direction == shape.direction),
      ('clicks', heard.clicks_match(times, measures.CLICK_SECONDS)),
    ):
      shares.setdefault(name, []).append(right)
  return {name: float(np.mean(right)) for name, right in shares.items()}


def tokenizer_scores(
  clips: held_out.Clips,
  video_BTHWC: np.ndarray,
  audio_BT: np.ndarray | None,
  visual_ids: np.ndarray,
  codebook_size: int,
) -> dict[str, float]:
  """How much of held-out clips survives the tokenizers.

  Args:
    clips: the originals.
    video_BTHWC: uint8, reconstructions of their videos.
    audio_BT: int16, reconstructions of their sounds, if there is sound.
    visual_ids: int, the ids of the videos, any shape.
    codebook_size: how many visual codes there are.

  Returns:
    `psnr_db` (mean over clips), `codebook_usage` (share of the codes that
    occur in these clips), `codebook_bits` (entropy of how often), and
    `oracle_kept` (share of clips whose kind, colour and direction are read
    from a sound reconstruction); `sound_kept` likewise by the measure of
    video_to_audio.
  """
  error = video_BTHWC.astype(np.float32) - clips.video_BTHWC
  square_B = np.maximum((error**2).mean((1, 2, 3, 4)), 1e-2)
  counts = np.bincount(visual_ids.ravel(), minlength=codebook_size)
  shares = counts[counts > 0] / counts.sum()
  readings = measures.read(
    measures.Outputs(video_BTHWC, audio_BT), clips.config
  )
  scores = {
    'psnr_db': float((10 * np.log10(255.0**2 / square_B)).mean()),
    'codebook_usage': float((counts > 0).mean()),
    'codebook_bits': float(-(shares * np.log2(shares)).sum()),
    'oracle_kept': float(
      measures.judge('image_to_video', readings, clips).mean()
    ),
  }
  if audio_BT is not None:
    scores['sound_kept'] = float(
      measures.judge('video_to_audio', readings, clips).mean()
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
  missing += [f'tasks.{task}' for task in measures.TASKS if task not in rows]
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
  """The scoreboard as lines of text for the terminal."""
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
