"""Frames split over devices give what one device gives."""

import dataclasses
import functools

import jax
from jax.sharding import NamedSharding
import numpy as np
import pytest

from tests.tokenizers.magvit2 import configs
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules
from videopoet_jax.tokenizers.magvit2 import blocks
from videopoet_jax.tokenizers.magvit2 import bundle

# Devices along the batch, height and width.
_SPLITS = {'2 rows': (1, 2, 1), '4 rows': (1, 4, 1), '2 of all': (2, 2, 2)}
_CASES = [
  ('magvit2', 'native', '2 rows'),
  ('magvit2', 'native', '4 rows'),
  ('magvit2', 'taps', '4 rows'),
  ('magvit2', 'native', '2 of all'),
  ('patch', 'native', '4 rows'),
]


@functools.cache
def _parameters(name):
  """Random parameters; no norm is at a neutral value."""
  rng = np.random.default_rng(0)
  shapes = rules.unbox(
    jax.eval_shape(
      lambda key: bundle.init_params(configs.BOTH[name], key),
      jax.random.key(0),
    )
  )

  def draw(path, leaf):
    if leaf.ndim > 1:
      scale, middle = np.prod(leaf.shape[:-1]) ** -0.5, 0.0
    else:
      scale, middle = 0.1, float("'scale'" in jax.tree_util.keystr(path[-1:]))
    return rng.normal(middle, scale, leaf.shape).astype(np.float32)

  return jax.tree_util.tree_map_with_path(draw, shapes)


def _tokenizer(name, convolution='native'):
  config = dataclasses.replace(configs.BOTH[name], convolution=convolution)
  return bundle.VisualTokenizer(config, _parameters(name))


def _video():
  """Blurred noise: 17 frames whose latent rows 4 devices share."""
  rng = np.random.default_rng(1)
  coarse = rng.uniform(-1.0, 1.0, (2, 17, 8, 4, 3)).astype(np.float32)
  return coarse.repeat(8, axis=2).repeat(8, axis=3)


@functools.cache
def _on_one_device(name, convolution):
  tokenizer = _tokenizer(name, convolution)
  ids = tokenizer.encode(_video())
  assert len(np.unique(ids)) > 20
  return ids, tokenizer.decode(ids)


def _mesh(split):
  data, rows, columns = _SPLITS[split]
  config = mesh_lib.MeshConfig(data=data, sequence=rows, tensor=columns)
  return mesh_lib.create(config, jax.devices()[: data * rows * columns])


@pytest.mark.parametrize(('name', 'convolution', 'split'), _CASES)
def test_ids_and_pixels_do_not_depend_on_the_split(name, convolution, split):
  expected_ids, expected = _on_one_device(name, convolution)
  mesh = _mesh(split)
  tokenizer = _tokenizer(name, convolution)
  rows = rules.batch_sharding(mesh)
  tokenizer.params = jax.device_put(tokenizer.params, rules.replicated(mesh))
  tokenizer.place = lambda batch: jax.device_put(batch, rows)
  with mesh_lib.use(mesh, rules.STANDARD):
    ids = tokenizer.encode(_video())
    video = tokenizer.decode(ids)
  np.testing.assert_array_equal(ids, expected_ids)
  np.testing.assert_allclose(video, expected, atol=1e-5)


def test_devices_exchange_edges_and_not_frames():
  mesh = _mesh('4 rows')
  tokenizer = _tokenizer('magvit2')
  ids = np.zeros((2, 5, 8, 4), np.int32)
  with mesh_lib.use(mesh, rules.STANDARD):
    text = (
      jax.jit(tokenizer.decode_batch)
      .lower(
        jax.device_put(tokenizer.params, rules.replicated(mesh)),
        jax.device_put(ids, rules.batch_sharding(mesh)),
      )
      .compile()
      .as_text()
    )
  assert 'collective-permute' in text
  # Sums of norms; the frames themselves stay where they are.
  assert 'all-reduce' in text
  assert 'all-gather' not in text


def test_rows_that_the_devices_do_not_divide_stay_whole():
  mesh = _mesh('4 rows')
  video = np.zeros((1, 1, 6, 4, 3), np.float32)
  with mesh_lib.use(mesh, rules.STANDARD):
    out = jax.jit(blocks.constrain_video)(video)
  assert out.sharding.is_equivalent_to(
    NamedSharding(mesh, jax.sharding.PartitionSpec()), 5
  )
