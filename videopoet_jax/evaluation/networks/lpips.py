"""LPIPS v0.1 on torchvision's VGG16 or AlexNet weights.

Zhang et al. (2018): squared differences of features that are normalised over
channels, weighted by learned heads, averaged over places, summed over layers.
"""

import dataclasses
import functools
import importlib.util
import pathlib
from typing import Any

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.evaluation.networks import interface
from videopoet_jax.evaluation.networks import paths
from videopoet_jax.evaluation.networks import pytorch

# For levels in [-1, 1]: ImageNet's mean and deviation.
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)

# Layers as (channels, kernel, stride, padding) or a pooling's (kernel, stride);
# features are taken at each tap.
_TAP: tuple[int, ...] = ()
_VGG = (
  *((64, 3, 1, 1), (64, 3, 1, 1), _TAP, (2, 2)),
  *((128, 3, 1, 1), (128, 3, 1, 1), _TAP, (2, 2)),
  *((256, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1), _TAP, (2, 2)),
  *((512, 3, 1, 1), (512, 3, 1, 1), (512, 3, 1, 1), _TAP, (2, 2)),
  *((512, 3, 1, 1), (512, 3, 1, 1), (512, 3, 1, 1), _TAP),
)
_ALEX = (
  *((64, 11, 4, 2), _TAP, (3, 2), (192, 5, 1, 2), _TAP, (3, 2)),
  *((384, 3, 1, 1), _TAP, (256, 3, 1, 1), _TAP, (256, 3, 1, 1), _TAP),
)
_NETS = {
  'vgg': (_VGG, 'vgg16-397923af.pth', 16),
  'alex': (_ALEX, 'alexnet-owt-7be5be79.pth', 31),
}


def lpips(backbone: str, heads: str = '', net: str = 'vgg') -> 'LPIPSNetwork':
  """Opens LPIPS with one of the two networks.

  Args:
    backbone: torchvision's weights of the network.
    heads: LPIPS's own weights; those shipped with torchmetrics if empty.
    net: 'vgg' or 'alex'.
  """
  if net not in _NETS:
    raise errors.ConfigError(
      f'there is no LPIPS on {net!r}{errors.near_names(net, _NETS)}.'
    )
  found = paths.weights(
    backbone,
    what=f"LPIPS's backbone ({net})",
    published=f'{_NETS[net][1]} by torchvision (download.pytorch.org/models)',
    field='lpips_backbone',
  )
  return LPIPSNetwork(
    found,
    paths.weights(
      heads or shipped_heads(net),
      what="LPIPS's heads",
      published=f'{net}.pth of v0.1 in richzhang/PerceptualSimilarity, and '
      'within the package torchmetrics',
      field='lpips_heads',
    ),
    net,
  )


def shipped_heads(net: str) -> str:
  """Path of the heads within torchmetrics; empty if it is not installed."""
  package = importlib.util.find_spec('torchmetrics')
  if package is None or not package.submodule_search_locations:
    return ''
  root = pathlib.Path(package.submodule_search_locations[0])
  path = root / 'functional' / 'image' / 'lpips_models' / f'{net}.pth'
  return str(path) if path.is_file() else ''


@dataclasses.dataclass(frozen=True)
class LPIPSNetwork:
  """Distances of pairs of frames, at the frames' own size.

  Attributes:
    backbone: torchvision's weights.
    heads: LPIPS's weights.
    net: 'vgg' or 'alex'.
    chunk: pairs a call.
  """

  backbone: pathlib.Path
  heads: pathlib.Path
  net: str = 'vgg'
  chunk: int = 8

  @property
  def name(self) -> str:
    """Name of the network: 'lpips_vgg'."""
    return f'lpips_{self.net}'

  @functools.cached_property
  def fingerprint(self) -> str:
    """Hash of both files of weights."""
    heads = interface.fingerprint(self.heads)
    return interface.fingerprint(self.backbone, self.name, heads)

  @functools.cached_property
  def _parts(self) -> tuple[Any, list[int], list[Any]]:
    """The backbone, the layers whose features are used, and the heads."""
    torch = pytorch.imported('torch')
    nn = torch.nn
    layers: list[Any] = []
    taps, widths, channels = [], [], 3
    for step in _NETS[self.net][0]:
      if step == _TAP:
        taps.append(len(layers) - 1)
        widths.append(channels)
      elif len(step) == 2:
        layers.append(nn.MaxPool2d(*step))
      else:
        width, kernel, stride, padding = step
        conv = nn.Conv2d(channels, width, kernel, stride, padding)
        layers += [conv, nn.ReLU()]
        channels = width
    tensors = {
      name.removeprefix('features.'): tensor
      for name, tensor in pytorch.state_dict(self.backbone).items()
      if name.startswith('features.')
    }
    backbone = pytorch.fill(nn.Sequential(*layers), tensors, self.backbone)
    learned = pytorch.state_dict(self.heads)
    heads = []
    for index, width in enumerate(widths):
      name = f'lin{index}.model.1.weight'
      weight = learned.get(name)
      if weight is None or weight.numel() != width:
        raise errors.ConfigError(
          f"{self.heads} has no {name} of {width} numbers; give LPIPS v0.1's "
          f'heads for {self.net}.'
        )
      heads.append(weight.reshape(1, width, 1, 1).to(pytorch.device()))
    return backbone, taps, heads

  def __call__(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    smallest = _NETS[self.net][2]
    if min(one.shape[1:3]) < smallest:
      raise errors.DataError(
        f'{self.name} needs frames of {smallest} x {smallest} pixels or more, '
        f'not {one.shape[1]} x {one.shape[2]}.'
      )
    return pytorch.in_chunks(self._distances, (one, other), self.chunk)

  def _distances(self, one: Any, other: Any) -> Any:
    _, _, heads = self._parts
    pairs = zip(self._features(one), self._features(other), heads)
    return sum(
      ((first - second) ** 2 * head).sum(1).mean((1, 2))
      for first, second, head in pairs
    )

  def _features(self, frames_NHWC: Any) -> list[Any]:
    """Unit vectors of each layer that is compared."""
    backbone, taps, _ = self._parts
    levels = frames_NHWC.permute(0, 3, 1, 2).float() / 127.5 - 1
    shift, scale = (
      levels.new_tensor(numbers).reshape(1, 3, 1, 1)
      for numbers in (_SHIFT, _SCALE)
    )
    maps = (levels - shift) / scale
    units = []
    for index, layer in enumerate(backbone):
      maps = layer(maps)
      if index in taps:
        length = maps.square().sum(1, keepdim=True).sqrt()
        units.append(maps / (length + 1e-10))
    return units
