"""The feature networks by name; their modules are imported on demand."""

from collections.abc import Mapping
import dataclasses
import importlib
from typing import Any

from videopoet_jax.core import errors
from videopoet_jax.evaluation.networks import paths as paths_lib


@dataclasses.dataclass(frozen=True)
class _Entry:
  """How a network is opened.

  Attributes:
    module: module within this folder.
    function: function that opens it, or the class of a stand-in.
    paths: fields of `NetworkPaths`, in the order of the function's arguments.
    settings: further arguments.
    hears: whether it takes sound, and so needs its sampling rate.
  """

  module: str
  function: str
  paths: tuple[str, ...] = ()
  settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  hears: bool = False


# Backbones of `losses.perceptual`, as distances between frames.
_BACKBONES = ('vgg16', 'resnet50', 'convnext_tiny', 'efficientnet_lite0')
_LPIPS = ('lpips_backbone', 'lpips_heads')
_ENTRIES: Mapping[str, _Entry] = {
  'i3d_kinetics400': _Entry('torchscript', 'i3d', ('i3d',)),
  'i3d_pretrained_400': _Entry('i3d', 'i3d_state', ('i3d_state',)),
  'c3d_ucf101': _Entry('torchscript', 'c3d', ('c3d',)),
  'inception_v3': _Entry('inception', 'inception_v3', ('inception_v3',)),
  'clip_vit_b16': _Entry('clip', 'clip', ('clip',)),
  'vggish': _Entry('vggish', 'vggish', ('vggish',), hears=True),
  'lpips_vgg': _Entry('lpips', 'lpips', _LPIPS, {'net': 'vgg'}),
  'lpips_alex': _Entry('lpips', 'lpips', _LPIPS, {'net': 'alex'}),
  'efficientnet_lite0': _Entry('stand_ins', 'EfficientNetLite0'),
  'transnetv2': _Entry('stand_ins', 'TransNetV2'),
  'dnsmos': _Entry('stand_ins', 'DNSMOS', hears=True),
  **{
    f'perceptual_{backbone}': _Entry(
      'perceptual', 'perceptual', ('perceptual',), {'backbone': backbone}
    )
    for backbone in _BACKBONES
  },
}
PERCEPTUAL = tuple(f'perceptual_{backbone}' for backbone in _BACKBONES)
NAMES = tuple(_ENTRIES)


def load(
  name: str,
  paths: paths_lib.NetworkPaths | None = None,
  sampling_rate: int = 16000,
) -> Any:
  """Returns a network by its name.

  Args:
    name: name of the network, one of `NAMES`.
    paths: paths of the weights of published networks.
    sampling_rate: sampling rate of the sound, for a network of sound.

  Returns:
    A `FeatureNetwork`; a `PairNetwork` for 'lpips_...' and 'perceptual_...'; a
    `TextImageNetwork` for 'clip_...'. Its weights are checked now and read when
    first used.

  Raises:
    ConfigError: there is no such network, or its weights are missing.
  """
  if name not in _ENTRIES:
    raise errors.ConfigError(
      f'there is no feature network {name!r}{errors.near_names(name, NAMES)}.'
    )
  entry = _ENTRIES[name]
  module = importlib.import_module(f'{__package__}.{entry.module}')
  paths = paths or paths_lib.NetworkPaths()
  given = [getattr(paths, field) for field in entry.paths]
  settings = dict(entry.settings)
  if entry.hears:
    settings['sampling_rate'] = sampling_rate
  return getattr(module, entry.function)(*given, **settings)
