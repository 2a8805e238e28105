"""Encoders read from T5X's checkpoints against T5X's own networks."""

import importlib
import importlib.util
import sys
import types

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.models import t5_encoder
from videopoet_jax.models import t5x_import

if importlib.util.find_spec('t5x') is None:
  pytest.skip('t5x is the reference here', allow_module_level=True)

pytestmark = pytest.mark.parity

# Differences of float32 sums in another order, of outputs of about 0.2.
_TOLERANCE = 2e-5


@pytest.fixture(name='network', params=['t5', 'scalable_t5', 'stacked'])
def _network(request, monkeypatch):
  """T5X's module of a network, and its config's settings.

  The network needs flax alone, while T5X's `__init__` imports all of it, with
  packages that are on no index. So that is passed by.
  """
  package = types.ModuleType('t5x')
  found = importlib.util.find_spec('t5x')
  package.__path__ = list(found.submodule_search_locations)
  before = {n for n in sys.modules if n.split('.')[0] == 't5x'}
  for name in before:
    monkeypatch.delitem(sys.modules, name)
  monkeypatch.setitem(sys.modules, 't5x', package)
  name = 't5' if request.param == 't5' else 'scalable_t5'
  scan = {} if name == 't5' else {'scan_layers': request.param == 'stacked'}
  with jax.numpy_rank_promotion('allow'):
    yield importlib.import_module(f't5x.examples.{name}.network'), scan
  for name in [n for n in sys.modules if n.startswith('t5x.')]:
    del sys.modules[name]


def _drawn(shapes):
  """Random weights; all layers share a table, as in T5 1.1."""
  draw = np.random.default_rng(0)
  table = draw.normal(size=(4, 32)).astype(np.float32)

  def one(path, leaf):
    if path[-1].key != 'rel_embedding':
      return draw.normal(size=leaf.shape, scale=0.3).astype(np.float32)
    wide = table[:, None] if len(leaf.shape) == 3 else table
    return np.broadcast_to(wide, leaf.shape)

  return jax.tree_util.tree_map_with_path(one, shapes)


def test_output_equals_that_of_t5x(network):
  module, scan = network
  config = module.T5Config(
    vocab_size=97,
    emb_dim=48,
    num_heads=4,
    num_encoder_layers=3,
    num_decoder_layers=1,
    head_dim=8,
    mlp_dim=80,
    mlp_activations=('gelu', 'linear'),
    dropout_rate=0.0,
    **scan,
  )
  model = module.Transformer(config)
  ids = np.random.default_rng(1).integers(3, 97, (3, 300)).astype(np.int32)
  lengths = np.array([300, 40, 1])
  visible = np.arange(300)[None] < lengths[:, None]
  ids = np.where(visible, ids, 0)
  shapes = jax.eval_shape(
    lambda key: model.init(key, ids, ids, ids, enable_dropout=False),
    jax.random.key(0),
  )
  params = _drawn(nn.unbox(shapes['params']))
  flat = {
    '.'.join(key.key for key in path): np.asarray(value)
    for path, value in jax.tree_util.tree_leaves_with_path(params)
  }
  names = t5x_import.encoder_names(flat)
  ours_config, ours = t5x_import.convert({n: flat[n] for n in names})
  assert (ours_config.num_layers, ours_config.head_dim) == (3, 8)
  with jax.default_matmul_precision('highest'):
    theirs = model.apply(
      {'params': params}, ids, enable_dropout=False, method=model.encode
    )
    output = t5_encoder.T5Encoder(ours_config).apply({'params': ours}, ids)
  scale = float(jnp.abs(theirs[visible]).mean())
  difference = float(jnp.abs(output - theirs)[visible].max())
  print(f'mean size {scale:.2f}, largest difference {difference:.1e}')
  assert difference < _TOLERANCE


def test_buckets_are_those_of_t5x(network):
  module, _ = network
  distance = np.arange(2000)[None] - np.arange(2000)[:, None]
  theirs = module.layers.RelativePositionBiases._relative_position_bucket
  with np.errstate(divide='ignore'):
    expected = theirs(distance)
  np.testing.assert_array_equal(
    t5_encoder.relative_buckets(2000, 32, 128), expected
  )
