"""Maximum mean discrepancy with a polynomial kernel (KID, KVD), unbiased."""

import math

import numpy as np

_TILE = 2048  # Rows of the kernel matrix held at a time.


def polynomial_sums(
  first_ND: np.ndarray, second_MD: np.ndarray, degree: int, coefficient: float
) -> float:
  """Sum over all pairs of (x y / D + coefficient) ^ degree, float64."""
  width = first_ND.shape[1]
  total = []
  for start in range(0, len(first_ND), _TILE):
    products = first_ND[start : start + _TILE] @ second_MD.T
    total.append(float(np.sum((products / width + coefficient) ** degree)))
  return math.fsum(total)


def squared_discrepancy(
  first_ND: np.ndarray,
  second_MD: np.ndarray,
  degree: int = 3,
  coefficient: float = 1.0,
) -> float:
  """The unbiased estimate of the squared MMD (Gretton et al., 2012, eq. 3).

  The kernel is KID's, (x y / D + 1)^3 (Binkowski et al., 2018).

  Args:
    first_ND: features of one set.
    second_MD: features of the other set.
    degree: degree of the polynomial.
    coefficient: added to the scaled products.

  Returns:
    The estimate, negative at times; nan with fewer than two samples a set.
  """
  first_ND = np.asarray(first_ND, np.float64)
  second_MD = np.asarray(second_MD, np.float64)
  n, m = len(first_ND), len(second_MD)
  if n < 2 or m < 2:
    return math.nan

  def inside(features: np.ndarray) -> float:
    count, width = features.shape
    squares = np.einsum('nd,nd->n', features, features)
    itself = math.fsum((squares / width + coefficient) ** degree)
    every = polynomial_sums(features, features, degree, coefficient)
    return (every - itself) / (count * (count - 1))

  across = polynomial_sums(first_ND, second_MD, degree, coefficient)
  return inside(first_ND) + inside(second_MD) - 2 * across / (n * m)


def subset_discrepancy(
  first_ND: np.ndarray,
  second_MD: np.ndarray,
  subsets: int,
  subset_size: int,
  seed: int = 0,
) -> float:
  """The mean of the estimate over random subsets, as KID is reported.

  Args:
    first_ND: features of one set, in the order of their indices.
    second_MD: features of the other set.
    subsets: number of subsets, each drawn without replacement.
    subset_size: samples of each subset, limited to the smaller set; if it
      covers both sets, there is one subset.
    seed: seed of the draw.

  Returns:
    The mean; nan with fewer than two samples a set.
  """
  size = min(subset_size, len(first_ND), len(second_MD))
  if size == len(first_ND) == len(second_MD):
    return squared_discrepancy(first_ND, second_MD)
  rng = np.random.default_rng(seed)
  estimates = [
    squared_discrepancy(
      first_ND[rng.choice(len(first_ND), size, replace=False)],
      second_MD[rng.choice(len(second_MD), size, replace=False)],
    )
    for _ in range(subsets)
  ]
  return math.fsum(estimates) / len(estimates)
