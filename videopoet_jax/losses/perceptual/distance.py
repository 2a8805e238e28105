"""Distance of images in the features of a pretrained network."""

from collections.abc import Mapping, Sequence
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.losses.perceptual import backbones


class PerceptualDistance:
  """Distance of two videos, frame by frame, in features of a network.

  Features are normalized to unit length over channels and their squared
  differences averaged over places, as in LPIPS (Zhang et al., arXiv
  1801.03924); with LPIPS's heads the channels are weighted by them, and the
  distance is LPIPS itself. Logits are compared by their mean square, as the
  VQGAN of MaskGIT does (arXiv 2202.04200), from which MAGVIT-v2's loss derives.

  Attributes:
    backbone: name of the network.
    layers: names of the compared features.
  """

  def __init__(
    self,
    backbone: str,
    weights: Mapping[str, Any],
    *,
    heads: Mapping[str, Any] | None = None,
    layers: Sequence[str] = (),
    source: str = 'the weights',
  ) -> None:
    """Checks that the weights are those of the network.

    Args:
      backbone: a name of `backbones.BACKBONES`.
      weights: arrays by PyTorch's names.
      heads: weights of LPIPS v0.1, `lin0.model.1.weight` and so on; one a
        layer.
      layers: features to compare; the backbone's own choice if empty.
      source: file of the weights, for messages.

    Raises:
      ConfigError: the name, a layer or the weights do not fit.
    """
    if backbone not in backbones.BACKBONES:
      hint = errors.near_names(backbone, backbones.BACKBONES)
      raise errors.ConfigError(
        f'there is no perceptual network {backbone!r}{hint}; expected one of '
        f'{", ".join(backbones.BACKBONES)}.'
      )
    found = backbones.BACKBONES[backbone]
    self.backbone = backbone
    self._backbone = found
    self._weights = {
      name: jnp.asarray(np.asarray(array), jnp.float32)
      for name, array in weights.items()
      if name.startswith(found.required)
      and not name.endswith('num_batches_tracked')
    }
    shapes = self._shapes(source)
    self.layers = tuple(layers) or found.layers
    unknown = [name for name in self.layers if name not in shapes]
    if unknown:
      raise errors.ConfigError(
        f'{backbone} has no layer {unknown[0]!r}; expected some of '
        f'{", ".join(shapes)}.'
      )
    self._heads = None if heads is None else self._read_heads(heads, shapes)

  def _shapes(self, source: str) -> dict[str, Any]:
    """Shapes of all features, which also tells whether the weights fit."""
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    published = f'expected {self._backbone.published}'
    try:
      return dict(jax.eval_shape(self.features, image))
    except KeyError as error:
      raise errors.ConfigError(
        f'{source} has no weight {error.args[0]!r}, which {self.backbone} '
        f'needs; {published}.'
      ) from error
    except (TypeError, ValueError) as error:
      reason = str(error).splitlines()[0]
      raise errors.ConfigError(
        f'the shapes in {source} are not those of {self.backbone} ({reason}); '
        f'{published}.'
      ) from error

  def _read_heads(
    self, heads: Mapping[str, Any], shapes: Mapping[str, Any]
  ) -> list[jax.Array]:
    vectors = []
    for index, layer in enumerate(self.layers):
      name = f'lin{index}.model.1.weight'
      channels = shapes[layer].shape[-1]
      vector = np.asarray(heads[name]).reshape(-1) if name in heads else None
      if vector is None or vector.shape != (channels,):
        raise errors.ConfigError(
          f'LPIPS heads for {self.backbone} need {name!r} of {channels} '
          'channels; expected vgg.pth of LPIPS v0.1 and backbone vgg16 with '
          'its own layers.'
        )
      vectors.append(jnp.asarray(vector, jnp.float32))
    return vectors

  def features(self, images_NHWC: jax.Array) -> backbones.Features:
    """Features of images (batch, height, width, 3) in [-1, 1], by name."""
    mean, deviation = (
      jnp.asarray(colour, jnp.float32).reshape(1, 1, 1, 3)
      for colour in (self._backbone.mean, self._backbone.deviation)
    )
    # From [-1, 1] to [0, 1], then as the network was trained.
    normal = (0.5 * (images_NHWC + 1.0) - mean) / deviation
    return self._backbone.features(self._weights, normal)

  def __call__(self, out: jax.Array, truth: jax.Array) -> jax.Array:
    """Returns the mean distance of frames.

    Args:
      out: (..., height, width, 3) in [-1, 1].
      truth: the same shape; no gradient passes to it.

    Returns:
      float32 scalar.
    """
    count = math.prod(out.shape[:-3])
    frames = out.reshape(count, *out.shape[-3:]).astype(jnp.float32)
    others = truth.reshape(frames.shape).astype(jnp.float32)
    found = self.features(frames)
    wanted = jax.lax.stop_gradient(self.features(others))
    total = jnp.zeros((), jnp.float32)
    for index, layer in enumerate(self.layers):
      if found[layer].ndim == 2:
        total += jnp.mean(jnp.square(found[layer] - wanted[layer]))
        continue
      square = jnp.square(_unit(found[layer]) - _unit(wanted[layer]))
      if self._heads is None:
        total += jnp.mean(jnp.sum(square, axis=-1)) / len(self.layers)
      else:
        total += jnp.mean(square @ self._heads[index])
    return total


def _unit(features: jax.Array) -> jax.Array:
  """Vectors of length 1; the epsilon inside the root keeps the gradient."""
  length = jnp.sqrt(
    jnp.sum(jnp.square(features), axis=-1, keepdims=True) + 1e-8
  )
  return features / (length + 1e-10)
