"""Where the weights of published feature networks are on this machine."""

import contextlib
import dataclasses
import os
import pathlib

from videopoet_jax.core import errors


@dataclasses.dataclass(frozen=True)
class NetworkPaths:
  """Paths of weights that are not part of any package; empty where not had.

  A protocol names networks; this says where their files are. See
  docs/metrics.md for where people get them.

  Attributes:
    i3d: `i3d_torchscript.pt`, I3D on Kinetics-400 as TorchScript.
    i3d_state: `i3d_pretrained_400.pt`, the same as a state dict, to run in
      JAX.
    c3d: `c3d_ucf101.pt`, C3D on UCF-101 as TorchScript.
    inception_v3: `weights-inception-2015-12-05-6726825d.pth`.
    clip: a folder with CLIP ViT-B/16 as transformers saves it.
    vggish: `vggish-10086976.pth`.
    lpips_backbone: torchvision's `vgg16-397923af.pth` for 'lpips_vgg',
      `alexnet-owt-7be5be79.pth` for 'lpips_alex'.
    lpips_heads: `vgg.pth` or `alex.pth` of LPIPS v0.1; those that come with
      torchmetrics where left empty.
  """

  i3d: str = ''
  i3d_state: str = ''
  c3d: str = ''
  inception_v3: str = ''
  clip: str = ''
  vggish: str = ''
  lpips_backbone: str = ''
  lpips_heads: str = ''


def weights(
  path: str | os.PathLike[str], *, what: str, published: str, field: str
) -> pathlib.Path:
  """The file or folder that a user named.

  Args:
    path: what the user gave; empty where nothing.
    what: what it holds: "I3D's weights".
    published: the file's name, and from whom people get it.
    field: of `NetworkPaths`.

  Raises:
    ConfigError: nothing is given or nothing is there.
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
