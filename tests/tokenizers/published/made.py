"""Checkpoints made by tests: random parameters under a family's own keys."""

import hashlib

import jax
import numpy as np
import safetensors.numpy

from videopoet_jax.tokenizers.published import layout


def random_params(bundle_class, config, seed=0):
  """Parameters of a config that let signals pass at their size."""
  random = np.random.default_rng(seed)

  def draw(path, leaf):
    if path[-1].key == 'kernel':
      deviation = np.prod(leaf.shape[:-1]) ** -0.5
      return random.normal(0, deviation, leaf.shape).astype(np.float32)
    middle = 1.0 if path[-1].key == 'scale' else 0.0
    return random.normal(middle, 0.1, leaf.shape).astype(np.float32)

  return jax.tree_util.tree_map_with_path(draw, bundle_class.shapes(config))


def write(path, bundle_class, config, more=None, without=(), seed=0):
  """Writes a `.safetensors` file in the family's layout; returns its params."""
  params = random_params(bundle_class, config, seed)
  state = layout.to_state(params) | (more or {})
  for key in without:
    del state[key]
  safetensors.numpy.save_file(state, path)
  return params


def video(frames, height, width, batch=2, seed=1):
  """Random uint8 clips."""
  random = np.random.default_rng(seed)
  return random.integers(
    0, 256, (batch, frames, height, width, 3), dtype=np.uint8
  )


def digest_of(shapes):
  """A hash of all keys and shapes."""
  lines = sorted(f'{key} {shape}' for key, shape in shapes.items())
  return hashlib.sha256('\n'.join(lines).encode()).hexdigest()[:16]


def digest(shapes):
  """Number of arrays, of parameters, and a hash of all keys and shapes."""
  found = layout.shapes_of(shapes)
  return len(found), layout.count(shapes), digest_of(found)
