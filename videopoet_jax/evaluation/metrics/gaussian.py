"""Mean and covariance of features, streamed, and Frechet's distance.

Statistics are float64: the count, the mean, and the centred second moment
(scatter). Two sets are joined by the update of Chan, Golub and LeVeque (1979),
which is accurate even if the mean is large relative to the spread, unlike raw
moments.
"""

from collections.abc import Sequence
import math

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import interface


def empty(width: int) -> interface.State:
  """No samples: `count` (), `mean` (D,), `scatter` (D, D), all float64."""
  return {
    'count': np.zeros(()),
    'mean': np.zeros(width),
    'scatter': np.zeros((width, width)),
  }


def of(features_ND: np.ndarray) -> interface.State:
  """Returns the statistics of a set of features.

  Args:
    features_ND: (N, D), any float.

  Raises:
    DataError: a feature is not finite.
  """
  features_ND = np.asarray(features_ND, np.float64)
  if not np.isfinite(features_ND).all():
    bad = np.flatnonzero(~np.isfinite(features_ND).all(axis=1))
    raise errors.DataError(
      f'features of sample {bad[0]} (and {len(bad) - 1} more of '
      f'{len(features_ND)}) are not finite; look at these samples, and at the '
      'weights of the feature network.'
    )
  if not len(features_ND):
    return empty(features_ND.shape[1])
  mean_D = features_ND.mean(axis=0)
  centred_ND = features_ND - mean_D[None]
  # The rounding error of the mean is removed (Chan's correction).
  rest_D = centred_ND.mean(axis=0)
  scatter_DD = centred_ND.T @ centred_ND
  scatter_DD -= len(features_ND) * np.outer(rest_D, rest_D)
  return {
    'count': np.array(float(len(features_ND))),
    'mean': mean_D + rest_D,
    'scatter': scatter_DD,
  }


def merge(states: Sequence[interface.State]) -> interface.State:
  """Merges the statistics of all sets, in the order given."""
  total = {name: np.array(value) for name, value in states[0].items()}
  for state in states[1:]:
    before, count = float(total['count']), float(state['count'])
    if not count:
      continue
    both = before + count
    step_D = state['mean'] - total['mean']
    total['mean'] += step_D * (count / both)
    total['scatter'] += state['scatter']
    total['scatter'] += np.outer(step_D * (before * count / both), step_D)
    total['count'] += count
  return total


def covariance(state: interface.State, unbiased: bool = True) -> np.ndarray:
  """The covariance, (D, D); zero for a single sample."""
  count = float(state['count'])
  return state['scatter'] / max(count - unbiased, 1.0)


def frechet_distance(
  first: interface.State, second: interface.State, unbiased: bool = True
) -> float:
  """Returns the squared Frechet distance of two normal distributions.

  |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), as in Heusel et al. (FID, 2017)
  and Unterthiner et al. (FVD, 2018). The trace of the root is the sum of the
  singular values of F1' F2 with S = F F': real and never negative, and exact if
  samples are fewer than dimensions, when the matrix root of the product that
  others compute fails or turns complex.

  Args:
    first: statistics of one set.
    second: statistics of the other set.
    unbiased: whether to divide scatters by N - 1, as TensorFlow-GAN, numpy.cov
      and torchmetrics do; else by N, as StyleGAN's code does.

  Returns:
    The distance; nan if a set is empty, and above zero only by rounding if both
    are equal.
  """
  if not float(first['count']) or not float(second['count']):
    return math.nan
  means = float(np.sum((first['mean'] - second['mean']) ** 2))
  one, other = covariance(first, unbiased), covariance(second, unbiased)
  traces = float(np.trace(one) + np.trace(other))
  cross = _factor(one).T @ _factor(other)
  root = 0.0
  if cross.size:
    root = float(np.linalg.svd(cross, compute_uv=False).sum())
  return max(means + traces - 2 * root, 0.0)


def _factor(covariance_DD: np.ndarray) -> np.ndarray:
  """F with F F' = S, (D, rank): directions without variance are left out."""
  smallest = len(covariance_DD) * np.finfo(np.float64).eps
  try:
    # Ten times faster than `eigh`, if every direction has variance.
    lower = np.linalg.cholesky(covariance_DD)
    pivots_D = np.diag(lower) ** 2
    if pivots_D.min() > 1e3 * smallest * pivots_D.max():
      return lower
  except np.linalg.LinAlgError:
    pass
  values_D, vectors_DD = np.linalg.eigh(covariance_DD)
  kept = values_D > smallest * max(values_D[-1], 0.0)
  return vectors_DD[:, kept] * np.sqrt(values_D[kept])[None]
