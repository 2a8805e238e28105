"""Features of either side of a batch, and metrics of two sets of features."""

from collections.abc import Sequence
import dataclasses

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import pcm
from videopoet_jax.evaluation.metrics import interface
from videopoet_jax.evaluation.networks import interface as networks

SIDES = ('generated', 'real')


def of(
  network: networks.FeatureNetwork, batch: interface.Arrays, side: str
) -> np.ndarray:
  """Returns a network's features of one side of a batch.

  Args:
    network: network to apply.
    batch: inputs of the metric.
    side: 'generated' or 'real'.

  Returns:
    float32 (B, D) or, for frames and for windows of sound, (B, n, D).

  Raises:
    DataError: the input is missing or has another kind.
  """
  if network.takes == 'audio':
    audio = interface.need(batch, f'{side}_audio', network.name)
    return network(waveform(audio, f'{side}_audio'))
  video = frames(interface.need(batch, side, network.name), side)
  if network.takes == 'video':
    return network(video)
  flat = network(video.reshape(-1, *video.shape[2:]))
  return flat.reshape(*video.shape[:2], -1)


def frames(video_BTHWC: np.ndarray, what: str) -> np.ndarray:
  """Checks that this is a batch of uint8 videos."""
  if video_BTHWC.ndim != 5 or video_BTHWC.shape[-1] != 3:
    raise errors.DataError(
      f'{what} has shape {video_BTHWC.shape}; metrics take videos of shape '
      '(samples, frames, height, width, 3), images with one frame.'
    )
  if video_BTHWC.dtype != np.uint8:
    raise errors.DataError(
      f'{what} is of type {video_BTHWC.dtype}; metrics take uint8 pixels.'
    )
  return video_BTHWC


def waveform(audio_BT: np.ndarray, what: str) -> np.ndarray:
  """Converts int16 or float sound to float32 in [-1, 1]."""
  if audio_BT.ndim != 2:
    raise errors.DataError(
      f'{what} has shape {audio_BT.shape}; metrics take (samples, waveform).'
    )
  if audio_BT.dtype != np.int16 and not np.issubdtype(
    audio_BT.dtype, np.floating
  ):
    raise errors.DataError(
      f'{what} is of type {audio_BT.dtype}; metrics take int16, or float in '
      '[-1, 1].'
    )
  return pcm.to_float(audio_BT)


@dataclasses.dataclass(frozen=True)
class TwoSets:
  """A metric of two sets of features, which can be measured separately.

  Attributes:
    name: name in results.
    network: network of the features.
  """

  name: str
  network: networks.FeatureNetwork

  # Names that stand for the published networks.
  _PROMISES = ('fvd', 'rfvd', 'fid', 'fad', 'kvd', 'kid', 'is')

  def __post_init__(self) -> None:
    if self.network.stand_in and self.name in self._PROMISES:
      raise errors.ConfigError(
        f'{self.name} means the published network, and {self.network.name} '
        f"stands in for it; name the metric '{type(self).__name__.lower()}_"
        f"{self.network.name}', say."
      )

  @property
  def needs(self) -> tuple[str, ...]:
    """Both sides, as videos or as sound."""
    suffix = '_audio' if self.network.takes == 'audio' else ''
    return tuple(side + suffix for side in SIDES)

  @property
  def fingerprint(self) -> str:
    """Hash of the settings and of the network's weights."""
    settings = [
      getattr(self, field.name)
      for field in dataclasses.fields(self)
      if field.name != 'network'
    ]
    return interface.fingerprint_of(*settings, self.network.fingerprint)

  def measure(self, batch: interface.Arrays) -> interface.Arrays:
    """Features of the sides in the batch, by name of the side."""
    suffix = '_audio' if self.network.takes == 'audio' else ''
    there = [side for side in SIDES if side + suffix in batch]
    if not there:
      interface.need(batch, f'generated{suffix}', self.name)
    return {side: of(self.network, batch, side) for side in there}


def rows(features: np.ndarray) -> np.ndarray:
  """All feature vectors of a block, (N, D)."""
  return features.reshape(-1, features.shape[-1])


def by_side(states: Sequence[interface.State], side: str) -> list:
  """Selects one side of each state."""
  return [interface.under(side, state) for state in states]
