"""The protocol of metrics: a measure a sample, a sum, and a value.

Samples have a global index. A job measures them in batches of any size, on any
device, in any order, and keeps one *state* for each block of consecutive
indices, whose size is a constant of the protocol (such as 64) and not the batch
size. The value is computed from all blocks' states, merged in the order of
their indices. So it depends on the samples and the block alone, bit for bit as
far as the feature network gives equal features.

A block's state is a flat dictionary of arrays, stored as one `.npz` file. For
an interval by bootstrap, resample blocks with replacement and compute the
merged state; metrics of single samples (those with `PER_SAMPLE` among their
measures) can be resampled sample by sample.

The inputs that a metric may need, all with the leading axis B:

  `index`: int64 (B,), the samples' global indices.
  `generated`, `real`: uint8 video_BTHWC.
  `generated_audio`, `real_audio`: int16, or float in [-1, 1], audio_BT.
  `text`: captions, str (B,).
  `nll_<modality>`, `tokens_<modality>`: float64 and int64 (B,), a sample's
    summed negative log likelihood in nats, and its number of tokens.
  `ids`: int32 (B, tokens), a tokenizer's ids of the real clip.
  `pixels`: int64 (B,), the number of pixels, over all frames, that the ids
    stand for.
"""

from collections.abc import Mapping, Sequence
import hashlib
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from videopoet_jax.core import errors

if TYPE_CHECKING:
  from videopoet_jax.evaluation import intervals

Arrays = Mapping[str, np.ndarray]
State = dict[str, np.ndarray]

# The measure of metrics of single samples, float64 (B,).
PER_SAMPLE = 'value'


class Metric(Protocol):
  """A metric of a set of samples.

  Attributes:
    name: name in results: 'fvd', 'psnr'.
    higher_is_better: whether a larger value is better.
    needs: names of the inputs, as in the table above.
    fingerprint: hash of everything besides samples that the value depends on:
      settings, and the weights of a network. Results with other fingerprints
      are not comparable.
  """

  @property
  def name(self) -> str: ...

  @property
  def higher_is_better(self) -> bool: ...

  @property
  def needs(self) -> tuple[str, ...]: ...

  @property
  def fingerprint(self) -> str: ...

  def measure(self, batch: Arrays) -> Arrays:
    """Measures each sample, by a network if there is one.

    A metric of two sets accepts a batch of one side alone: real samples can be
    measured once for many checkpoints.

    Args:
      batch: the required inputs of B samples.

    Returns:
      Arrays with leading axis B, independent of the other samples in the batch:
      `value`, or arrays such as features.

    Raises:
      DataError: an input is missing or has an impossible shape.
    """
    ...

  def empty(self) -> State:
    """Returns the state without samples."""
    ...

  def add(self, state: State, measured: Arrays) -> State:
    """Returns the state with more samples, in order of their index.

    It is called once with all samples of a block, so that the block's state
    does not depend, to the last bit, on the batch size of measuring.

    Args:
      state: state of earlier samples, or `empty()`; it is not changed.
      measured: result of `measure` for all samples of the block.
    """
    ...

  def merge(self, states: Sequence[State]) -> State:
    """Merges the states of several blocks, in the order given.

    Blocks may be merged step by step: the merged state of the first ones can
    replace them, with equal bits in the end.
    """
    ...

  def compute(self, state: State) -> float:
    """Computes the value; `nan` if there are too few samples."""
    ...


@runtime_checkable
class Summarizing(Protocol):
  """A metric that makes its interval itself."""

  def summarize(
    self, state: State
  ) -> 'tuple[intervals.Estimate, Mapping[str, Any]]':
    """The value with its interval, and what else results should say."""
    ...


@runtime_checkable
class Fingerprinted(Protocol):
  """A setting of a metric, such as a network, that has a fingerprint."""

  @property
  def fingerprint(self) -> str: ...


def need(batch: Arrays, name: str, metric: str) -> np.ndarray:
  """Returns an input of a metric.

  Raises:
    DataError: it is missing.
  """
  if name not in batch:
    raise errors.DataError(
      f'{metric} needs {name!r} and was given {sorted(batch)}; give a data set '
      'that has it, or leave the metric out of the protocol.'
    )
  return batch[name]


def pair(
  batch: Arrays, metric: str, suffix: str = ''
) -> tuple[np.ndarray, ...]:
  """Returns the generated and the real inputs, of equal shapes.

  Raises:
    DataError: one is missing, or the shapes differ.
  """
  generated = need(batch, f'generated{suffix}', metric)
  real = need(batch, f'real{suffix}', metric)
  if generated.shape != real.shape:
    raise errors.DataError(
      f'{metric} compares samples one by one, and generated{suffix} of shape '
      f'{generated.shape} is not like real{suffix} of shape {real.shape}; let '
      'the protocol cut and resize both alike.'
    )
  return generated, real


def fingerprint_of(*parts: Any) -> str:
  """Hash of the printed parts, 16 hexadecimal digits."""
  return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def under(prefix: str, state: Mapping[str, np.ndarray]) -> State:
  """Selects the entries whose keys begin with `prefix/`."""
  start = f'{prefix}/'
  return {
    key.removeprefix(start): value
    for key, value in state.items()
    if key.startswith(start)
  }


def put_under(prefix: str, state: Mapping[str, np.ndarray]) -> State:
  """Inverse of `under`."""
  return {f'{prefix}/{key}': value for key, value in state.items()}
