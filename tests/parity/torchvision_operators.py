"""Lets torchvision be imported beside a PyTorch it was not built with.

The package index has torchvision for CUDA only; beside PyTorch's CPU build its
compiled operators are missing, and the import fails on describing two of them.
The models need none.
"""

import importlib.metadata
import sys

_KEPT = []


def declare() -> None:
  """Declares these operators; to be called before torchvision is imported."""
  import torch

  try:
    version = importlib.metadata.version('torchvision')
  except importlib.metadata.PackageNotFoundError:
    return
  if '+cpu' in version or torch.version.cuda or 'torchvision' in sys.modules:
    return
  if not _KEPT:
    library = torch.library.Library('torchvision', 'DEF')
    for name in ('nms', 'qnms'):
      library.define(f'{name}(Tensor dets, Tensor scores, float iou) -> Tensor')
    _KEPT.append(library)
