"""How a tokenizer uses its codes, and what they cost."""

from collections.abc import Mapping, Sequence
import dataclasses
import math
from typing import Any

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.evaluation import intervals
from videopoet_jax.evaluation.metrics import interface
from videopoet_jax.evaluation.metrics import sums

# Inputs that a tokenizer alone gives.
NEEDS = ('ids', 'pixels')


def expected_distinct(codebook_size: int, draws: int) -> float:
  """Expected number of distinct codes among uniform draws.

  K (1 - (1 - 1/K)^n) for K codes and n draws, without cancellation.

  Args:
    codebook_size: number of codes, at least 1.
    draws: number of draws.
  """
  if codebook_size == 1:
    return float(draws > 0)
  return -codebook_size * math.expm1(draws * math.log1p(-1 / codebook_size))


@dataclasses.dataclass(frozen=True)
class CodeCounts:
  """How often each code occurs; base of the metrics below.

  A state holds the codes that occur, int64, ascending, and their counts, int64:
  it is exact, and does not depend on the order of samples. The value belongs to
  the whole set of clips, and so has no interval.

  Attributes:
    codebook_size: number of codes. It belongs to the tokenizer and not to the
      metric, so the fingerprint leaves it out.
  """

  codebook_size: int
  name = ''
  higher_is_better = True
  needs = ('ids',)

  @property
  def fingerprint(self) -> str:
    """Hash of the metric's name."""
    return interface.fingerprint_of(type(self).__name__)

  def measure(self, batch: interface.Arrays) -> interface.Arrays:
    """Returns the ids of each sample, int32 (B, tokens).

    Raises:
      DataError: an id is out of range.
    """
    ids = interface.need(batch, 'ids', self.name)
    if ids.size and (ids.min() < 0 or ids.max() >= self.codebook_size):
      raise errors.DataError(
        f'{self.name}: ids from {ids.min()} to {ids.max()} do not fit the '
        f"tokenizer's {self.codebook_size} codes; its description states "
        'another number of codes than it has.'
      )
    return {'ids': ids}

  def empty(self) -> interface.State:
    return {'codes': np.zeros(0, np.int64), 'counts': np.zeros(0, np.int64)}

  def add(
    self, state: interface.State, measured: interface.Arrays
  ) -> interface.State:
    codes, counts = np.unique(measured['ids'], return_counts=True)
    block = {'codes': codes.astype(np.int64), 'counts': counts}
    return self.merge([state, block])

  def merge(self, states: Sequence[interface.State]) -> interface.State:
    codes = np.concatenate([state['codes'] for state in states])
    counts = np.concatenate([state['counts'] for state in states])
    found, place = np.unique(codes, return_inverse=True)
    total = np.zeros(len(found), np.int64)
    np.add.at(total, place, counts)
    return {'codes': found, 'counts': total}

  def compute(self, state: interface.State) -> float:
    """The value; nan without tokens."""
    raise NotImplementedError

  def summarize(
    self, state: interface.State
  ) -> tuple[intervals.Estimate, Mapping[str, Any]]:
    """The value without an interval, and the counts that it comes from."""
    tokens = int(state['counts'].sum())
    detail = {
      'distinct_codes': len(state['codes']),
      'codebook_size': self.codebook_size,
      'expected_distinct': round(
        expected_distinct(self.codebook_size, tokens), 3
      ),
      'total_tokens': tokens,
    }
    return intervals.Estimate(self.compute(state)), detail


class CodebookUsage(CodeCounts):
  """Distinct codes, as a share of those that uniform draws would touch.

  A plain share of the codebook says little where there are fewer tokens than
  codes. The share is 1 for codes drawn uniformly, and may be slightly more.
  """

  name = 'codebook_usage'

  def compute(self, state: interface.State) -> float:
    tokens = int(state['counts'].sum())
    if not tokens:
      return math.nan
    return len(state['codes']) / expected_distinct(self.codebook_size, tokens)


class CodebookEntropy(CodeCounts):
  """Entropy of the codes' frequencies in bits, the plug-in estimate.

  It is at most log2 of the number of tokens, and of the codebook's size.
  """

  name = 'codebook_entropy'

  def compute(self, state: interface.State) -> float:
    counts = state['counts'].astype(np.float64)
    if not counts.size:
      return math.nan
    share = counts / counts.sum()
    return float(-np.sum(share * np.log2(share))) + 0.0


@dataclasses.dataclass(frozen=True)
class BitsPerPixel(sums.SampleMean):
  """Bits of the ids over pixels: log2(codes) x tokens / pixels.

  It is what ids cost without any further coding. Pixels are counted once, not
  by channel, and without padding. It follows from sizes alone: both ends of
  its interval are the value.

  Attributes:
    codebook_size: number of codes; it belongs to the tokenizer and not to the
      metric, so the fingerprint leaves it out.
    name: name in results.
  """

  codebook_size: int
  name: str = 'bits_per_pixel'
  higher_is_better: bool = False
  needs: tuple[str, ...] = NEEDS

  @property
  def fingerprint(self) -> str:
    """Hash of the metric's name."""
    return interface.fingerprint_of(type(self).__name__)

  def measure(self, batch: interface.Arrays) -> interface.Arrays:
    ids, pixels = (interface.need(batch, name, self.name) for name in NEEDS)
    bits = ids.shape[1] * math.log2(self.codebook_size)
    return {interface.PER_SAMPLE: bits / pixels.astype(np.float64)}
