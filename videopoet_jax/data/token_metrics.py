"""Metric functions in SeqIO's form over the target ids of a layout.

SeqIO's Evaluator calls them with lists of examples: `targets` and `predictions`
are ids of the unified vocabulary, `scores` log likelihoods in nats. Delimiters
and other positions that admit one id only are not counted, but are part of the
summed score of a sequence.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from videopoet_jax.core import layout as layout_lib

MetricFn = Callable[..., Mapping[str, float]]
# Intermediate values of a score function: scores of single ids.
TOKEN_SCORES = 'token_scores'
_NO_ID = -1  # Stands where a prediction is too short.


def metric_fns(layout: layout_lib.SequenceLayout) -> tuple[MetricFn, ...]:
  """Functions for `seqio.Task.metric_fns` of a layout's tasks.

  Args:
    layout: layout of the sequences.

  Returns:
    `token_accuracy(targets, predictions)`: `token_accuracy`, the share from 0
      to 1 of target ids that are predicted correctly, and
      `token_accuracy/<modality>`. The missing ids of a prediction that is too
      short count as wrong; one that is too long is cut off.

    `log_likelihood(targets, scores)`: `log_likelihood`, the mean of the
    examples' summed scores, and `perplexity`, exp of minus the mean score of an
    id. Scores of single ids, float (examples, ids), also give
    `perplexity/<modality>`, delimiters left out; so do `token_scores` among
    a score function's intermediate values.
  """
  masks = _masks(layout)

  def token_accuracy(
    targets: Sequence[Sequence[int]], predictions: Sequence[Sequence[int]]
  ) -> dict[str, float]:
    wanted = _stack(targets, layout.target_length)
    equal = wanted == _stack(predictions, layout.target_length)
    given = wanted != _NO_ID  # All, unless the caller's lengths cut them off.
    every = np.any(list(masks.values()), axis=0)
    found = {'token_accuracy': _share(equal, given & every)}
    for modality, mask in masks.items():
      found[f'token_accuracy/{modality}'] = _share(equal, given & mask)
    return found

  def log_likelihood(
    targets: Sequence[Sequence[int]], scores: Any
  ) -> dict[str, float]:
    if isinstance(scores, tuple):  # With intermediate values behind.
      scores, intermediates = scores
      scores = intermediates.get(TOKEN_SCORES, scores)
    scores = np.asarray(scores, np.float64)
    count = sum(len(target) for target in targets)
    sums = scores.reshape(len(scores), -1).sum(1)
    found = {
      'log_likelihood': sums.mean(),
      'perplexity': np.exp(-sums.sum() / count),
    }
    if scores.ndim == 2 and scores.shape[1] == layout.target_length:
      for modality, mask in masks.items():
        found[f'perplexity/{modality}'] = np.exp(-scores[:, mask].mean())
    return {name: float(value) for name, value in found.items()}

  return token_accuracy, log_likelihood


def _masks(layout: layout_lib.SequenceLayout) -> dict[str, np.ndarray]:
  """Bool (target length,) by modality: where there is a choice of ids."""
  masks: dict[str, np.ndarray] = {}
  for run in layout.target_runs:
    if run.range.size > 1:
      name = run.range.modality.value
      mask = masks.setdefault(name, np.zeros(layout.target_length, bool))
      first = layout.prefix_length
      mask[run.start - first : run.stop - first] = True
  return masks


def _share(equal: np.ndarray, among: np.ndarray) -> float:
  """Share of the marked places that are equal; 0 where none is marked."""
  return float((equal & among).sum() / max(among.sum(), 1))


def _stack(sequences: Sequence[Sequence[int]], length: int) -> np.ndarray:
  """int64 (examples, length): cut off, or filled up with `_NO_ID`."""
  stacked = np.full((len(sequences), length), _NO_ID, np.int64)
  for row, sequence in zip(stacked, sequences, strict=True):
    ids = np.asarray(sequence)[:length]
    row[: len(ids)] = ids
  return stacked
