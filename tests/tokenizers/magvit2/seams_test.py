"""Tiles of large frames leave no seam, after a short training.

Weights are trained for seconds on drawn pictures: with random ones an image
is as rough beside a seam as across it, whatever the tiles do.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.tokenizers.magvit2 import configs
from videopoet_jax.tokenizers.magvit2 import bundle
from videopoet_jax.tokenizers.magvit2 import config as config_lib
from videopoet_jax.tokenizers.magvit2 import tiling

_CONFIG = config_lib.VisualTokenizerConfig(
  num_bits=12,
  spatial_stride=4,
  temporal_stride=2,
  channels=8,
  channel_multipliers=(1, 2, 4),
  num_residual_blocks=1,
  norm_groups=4,
)
_STEPS, _BATCH, _CROP = 200, 8, 32


def dead_leaves(side, seed):
  """Discs that cover each other, of sizes spread as in photographs.

  A model of natural images (Lee, Mumford and Huang 2001): edges at all scales,
  here over a slope of light.
  """
  rng = np.random.default_rng(seed)
  rows, columns = np.mgrid[:side, :side]
  image = np.zeros((side, side, 3), np.float32)
  for _ in range(600):
    radius = 3 / rng.uniform(3 / side, 1)
    row, column = rng.uniform(0, side, 2)
    inside = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    image[inside] = rng.uniform(-0.8, 0.8, 3)
  slope = (rows * rng.normal() + columns * rng.normal()) / side
  return np.clip(image + 0.3 * slope[..., None], -1, 1).astype(np.float32)


@functools.cache
def trained():
  """A tokenizer with group norms, trained on crops of drawn pictures."""
  pictures = np.stack([dead_leaves(96, seed) for seed in range(8)])
  params = configs.drawn(_CONFIG)
  module = bundle.VisualTokenizer(_CONFIG, params).module
  optimizer = optax.adam(3e-3)

  @jax.jit
  def step(params, state, crops):
    def loss(params):
      out, latents = module.apply({'params': params}, crops)
      signs = jax.lax.stop_gradient(jnp.where(latents > 0, 1.0, -1.0))
      commitment = jnp.mean(jnp.square(latents - signs))
      return jnp.mean(jnp.square(out - crops)) + 0.02 * commitment

    updates, state = optimizer.update(jax.grad(loss)(params), state)
    return optax.apply_updates(params, updates), state

  state = optimizer.init(params)
  rng = np.random.default_rng(0)
  for _ in range(_STEPS):
    crops = []
    for _ in range(_BATCH):
      which = rng.integers(len(pictures))
      row, column = rng.integers(0, 96 - _CROP, 2)
      crops.append(pictures[which, row : row + _CROP, column : column + _CROP])
    params, state = step(params, state, np.stack(crops)[:, None])
  return params


def ratio_of(image_HWC, seams, beside):
  """Step across the seams over the step between columns beside them.

  Args:
    image_HWC: an image.
    seams: first columns after a seam.
    beside: distances in columns at which the step is compared.
  """
  steps = np.abs(np.diff(image_HWC, axis=1)).mean(axis=(0, 2))
  across = np.mean([steps[seam - 1] for seam in seams])
  near = np.mean([
    steps[seam - 1 + sign * distance]
    for seam in seams for distance in beside for sign in (-1, 1)
  ])  # fmt: skip
  return across / near


def photographs():
  """Pictures that scikit-image holds, float in [-1, 1]."""
  data = pytest.importorskip('skimage.data')
  for name in ('astronaut', 'coffee', 'chelsea', 'rocket'):
    image = getattr(data, name)()[:256, :384]
    yield image.astype(np.float32) / 127.5 - 1


def check(images):
  """Checks seams of tiles of 64 pixels that share 32; returns the ratios."""
  width = images.shape[2]
  chosen = tiling.Tiling(64, 64, 32)
  tiled = bundle.VisualTokenizer(_CONFIG, trained(), tiling=chosen)
  whole = bundle.VisualTokenizer(_CONFIG, trained(), tiling=None)
  decoded = tiled.decode(tiled.encode(images[:, None]))[:, 0]
  plain = whole.decode(whole.encode(images[:, None]))[:, 0]
  spans = tiling.spans(width // 4, 16, 8)
  # Where a tile fades in, where one ends, and half way.
  places = {
    'start': [4 * span.start for span in spans[1:]],
    'middle': [4 * span.start + 2 * span.before for span in spans[1:]],
    'stop': [4 * span.stop for span in spans[:-1]],
  }
  found = {}
  for name, seams in places.items():
    for label, result in (('', decoded), (', whole', plain)):
      rows = np.concatenate(result)
      # The decoder's cells show in the whole frame too, so the border of cells
      # at a seam is compared with those a cell away.
      found[name + label] = ratio_of(rows, seams, beside=(4,))
      found[name + label + ', next column'] = ratio_of(rows, seams, beside=(1,))
  errors = [np.mean(np.square(a - images)) for a in (decoded, plain)]
  found['error'], found['error, whole'] = errors
  return {name: float(value) for name, value in found.items()}


def assert_no_seam(found):
  """Each step is at most 1.1 of those beside it, and of the whole frame's."""
  for name in ('start', 'middle', 'stop'):
    assert found[name] <= 1.1, found
    # One column further a cell's inside is smoother, without tiles too.
    inside = f'{name}, next column', f'{name}, whole, next column'
    assert found[inside[0]] <= 1.1 * found[inside[1]], found


def test_no_seam_in_drawn_pictures():
  images = np.stack([dead_leaves(192, seed) for seed in (100, 101, 102, 103)])
  found = check(images)
  # It has learned: the error is a small part of the variance.
  assert found['error, whole'] < 0.5 * images.var()
  assert found['error'] < 1.15 * found['error, whole']
  assert_no_seam(found)


@pytest.mark.parity
def test_no_seam_in_photographs():
  assert_no_seam(check(np.stack(list(photographs()))))
