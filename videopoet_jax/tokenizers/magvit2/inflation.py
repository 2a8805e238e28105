"""Turns the weights of an image stage into those of a video model.

MAGVIT-v2 (arXiv 2310.05737, appendix A): a 2D kernel fills the last temporal
slice of a causal 3D kernel and the other slices are zero, so that the inflated
network sees the newest frame alone and equals the image network on images. The
discriminator is not causal; its kernels are filled at the centre.
"""

from typing import Any

import jax
import numpy as np


def is_inflation(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
  """Whether a kernel of one shape can be inflated to another.

  Args:
    found: shape of the image network's kernel, (1, height, width, in, out).
    wanted: shape of the video network's.
  """
  return (
    len(found) == len(wanted) == 5
    and found[0] == 1 < wanted[0]
    and found[1:] == wanted[1:]
  )


def inflate(params: Any, shapes: Any, *, causal: bool = True) -> Any:
  """Inflates every kernel that lacks temporal taps; the rest stays.

  Args:
    params: nested dicts of arrays of the image network.
    shapes: the video network's, nested dicts of anything with a `shape`. Only
      what both have is looked at.
    causal: True fills the last temporal slice, False the central one.

  Returns:
    Numpy arrays in the structure of `params`.
  """
  wanted = {
    jax.tree_util.keystr(path): leaf.shape
    for path, leaf in jax.tree_util.tree_leaves_with_path(shapes)
  }

  def leaf(path: Any, array: Any) -> Any:
    shape = wanted.get(jax.tree_util.keystr(path))
    if shape is None or not is_inflation(array.shape, shape):
      return array
    filled = np.zeros(shape, array.dtype)
    filled[-1 if causal else shape[0] // 2] = np.asarray(array)[0]
    return filled

  return jax.tree_util.tree_map_with_path(leaf, params)
