"""I3D in JAX, for accelerators that PyTorch does not drive.

Carreira and Zisserman (2017): Inception-v1 with kernels inflated over time. It
reads `i3d_pretrained_400.pt`, TensorFlow Hub's weights as a state dict, which
several released evaluations use; PyTorch is needed only to read the file.
"""

import dataclasses
import functools
import pathlib
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.evaluation.networks import interface
from videopoet_jax.evaluation.networks import paths
from videopoet_jax.evaluation.networks import pytorch

_SIZE = 224
_MIN_FRAMES = 9  # They leave two steps where features are pooled.
_EPSILON = 1e-5  # Of batch normalisation, as in the file's original code.

# In order: a convolution's stride, a pooling's window and stride, or None for a
# block of four branches.
_STEPS: tuple[tuple[str, Any], ...] = (
  ('Conv3d_1a_7x7', (2, 2, 2)),
  ('MaxPool3d_2a_3x3', ((1, 3, 3), (1, 2, 2))),
  ('Conv3d_2b_1x1', (1, 1, 1)),
  ('Conv3d_2c_3x3', (1, 1, 1)),
  ('MaxPool3d_3a_3x3', ((1, 3, 3), (1, 2, 2))),
  ('Mixed_3b', None),
  ('Mixed_3c', None),
  ('MaxPool3d_4a_3x3', ((3, 3, 3), (2, 2, 2))),
  ('Mixed_4b', None),
  ('Mixed_4c', None),
  ('Mixed_4d', None),
  ('Mixed_4e', None),
  ('Mixed_4f', None),
  ('MaxPool3d_5a_2x2', ((2, 2, 2), (2, 2, 2))),
  ('Mixed_5b', None),
  ('Mixed_5c', None),
)
_BRANCHES = ('b0', 'b1a', 'b1b', 'b2a', 'b2b', 'b3b')
_NORMS = ('weight', 'bias', 'running_mean', 'running_var')

_Weights = dict[str, jax.Array]


def i3d_state(path: str) -> 'I3D':
  """Opens I3D on Kinetics-400 from a state dict: 400 logits a video."""
  return I3D(
    paths.weights(
      path,
      what="I3D's weights as a state dict",
      published='i3d_pretrained_400.pt, in the repository songweige/TATS '
      '(tats/fvd)',
      field='i3d_state',
    )
  )


@dataclasses.dataclass(frozen=True)
class I3D:
  """Logits of videos, FVD's features, on this process's devices.

  Frames are resized to 224 x 224 (bilinear, no antialiasing) and scaled to
  [-1, 1]. Convolutions run in full float32, on TPUs too.

  Attributes:
    path: path of the weights.
    chunk: videos a call on each device.
    most_devices: largest number of this process's devices to use.
    name: name of the network.
    width: width of its features.
    takes: kind of input, videos.
    stand_in: False, it is the published network.
  """

  path: pathlib.Path
  chunk: int = 2
  most_devices: int = 64
  name: str = 'i3d_pretrained_400'
  width: int = 400
  takes: str = 'video'
  stand_in: bool = False

  @functools.cached_property
  def fingerprint(self) -> str:
    """Hash of the weights."""
    return interface.fingerprint(self.path, self.name)

  @functools.cached_property
  def _sharding(self) -> jax.sharding.NamedSharding:
    devices = jax.local_devices()[: self.most_devices]
    mesh = jax.sharding.Mesh(np.array(devices), ('data',))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec('data'))

  @functools.cached_property
  def _weights(self) -> _Weights:
    """Weights on every device, read when first used."""
    tensors = pytorch.state_dict(self.path)
    names = []
    for step, setting in _STEPS:
      if step.startswith('MaxPool'):
        continue
      branches = [step] if setting else [f'{step}.{b}' for b in _BRANCHES]
      for branch in branches:
        names.append(f'{branch}.conv3d.weight')
        names += [f'{branch}.bn.{norm}' for norm in _NORMS]
    names += ['logits.conv3d.weight', 'logits.conv3d.bias']
    missing = [name for name in names if name not in tensors]
    if missing or tensors['logits.conv3d.bias'].shape != (self.width,):
      raise errors.ConfigError(
        f'{self.path} holds the weights of another network: no '
        f'{missing[0] if missing else "400 logits"}; give '
        'i3d_pretrained_400.pt as it is published.'
      )
    everywhere = jax.sharding.NamedSharding(
      self._sharding.mesh, jax.sharding.PartitionSpec()
    )
    return jax.device_put(
      {name: tensors[name].numpy() for name in names}, everywhere
    )

  def __call__(self, video_BTHWC: np.ndarray) -> np.ndarray:
    if video_BTHWC.shape[1] < _MIN_FRAMES:
      raise errors.DataError(
        f'{self.name} needs videos of {_MIN_FRAMES} frames or more, not '
        f'{video_BTHWC.shape[1]}; let the protocol say another metric or more '
        'frames.'
      )
    # Every call has one shape, so that a video's features do not depend on the
    # size
    # of the batch.
    count = len(video_BTHWC)
    size = self.chunk * self._sharding.mesh.size
    features = []
    for start in range(0, count, size):
      index = np.minimum(np.arange(start, start + size), count - 1)
      chunk = jax.device_put(video_BTHWC[index], self._sharding)
      logits = jax.device_get(_logits(self._weights, chunk))
      features.append(logits[: count - start])
    return np.concatenate(features)


@jax.jit
def _logits(weights: _Weights, video_BTHWC: jax.Array) -> jax.Array:
  """Logits averaged over time, (B, 400)."""
  batch, frames, _, _, channels = video_BTHWC.shape
  shape = (batch, frames, _SIZE, _SIZE, channels)
  x = jax.image.resize(
    video_BTHWC.astype(jnp.float32), shape, 'linear', antialias=False
  )
  x = 2 * x / 255 - 1
  for step, setting in _STEPS:
    if step.startswith('MaxPool'):
      x = _pool(x, *setting)
    elif setting:
      x = _unit(weights, step, x, setting)
    else:
      x = _mixed(weights, step, x)
  pooled = lax.reduce_window(
    x, 0.0, lax.add, (1, 2, 7, 7, 1), (1, 1, 1, 1, 1), 'VALID'
  ) / (2 * 7 * 7)
  logits = _convolve(pooled, weights['logits.conv3d.weight'], (1, 1, 1))
  bias = weights['logits.conv3d.bias'].reshape(1, 1, 1, 1, -1)
  return (logits + bias).mean(axis=(1, 2, 3))


def _mixed(weights: _Weights, name: str, x: jax.Array) -> jax.Array:
  """Four branches side by side: 1, 1 then 3, 1 then 3, pooling then 1."""

  def unit(branch: str, x: jax.Array) -> jax.Array:
    return _unit(weights, f'{name}.{branch}', x, (1, 1, 1))

  pooled = _pool(x, (3, 3, 3), (1, 1, 1))
  return jnp.concatenate(
    [
      unit('b0', x),
      unit('b1b', unit('b1a', x)),
      unit('b2b', unit('b2a', x)),
      unit('b3b', pooled),
    ],
    axis=-1,
  )


def _unit(
  weights: _Weights, name: str, x: jax.Array, stride: tuple[int, ...]
) -> jax.Array:
  """Convolution, normalisation by the moments of training, ReLU."""
  x = _convolve(x, weights[f'{name}.conv3d.weight'], stride)
  scale, bias, mean, variance = (
    weights[f'{name}.bn.{norm}'].reshape(1, 1, 1, 1, -1) for norm in _NORMS
  )
  x = (x - mean) * (scale * lax.rsqrt(variance + _EPSILON)) + bias
  return jax.nn.relu(x)


def _convolve(
  x: jax.Array, kernel: jax.Array, stride: tuple[int, ...]
) -> jax.Array:
  return lax.conv_general_dilated(
    x,
    kernel,
    stride,
    'SAME',
    dimension_numbers=('NDHWC', 'OIDHW', 'NDHWC'),
    precision=lax.Precision.HIGHEST,
  )


def _pool(
  x: jax.Array, window: tuple[int, ...], stride: tuple[int, ...]
) -> jax.Array:
  return lax.reduce_window(
    x, -jnp.inf, lax.max, (1, *window, 1), (1, *stride, 1), 'SAME'
  )
