"""The T5 encoder by itself: masks, buckets, sizes and import errors."""

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.models import t5_encoder
from videopoet_jax.models import t5_import


@pytest.fixture(scope='module')
def model_and_params():
  model = t5_encoder.T5Encoder(t5_encoder.tiny(vocab_size=32))
  ids = jnp.ones((1, 6), jnp.int32)
  return model, nn.unbox(jax.jit(model.init)(jax.random.key(0), ids)['params'])


def test_padding_does_not_reach_the_text(model_and_params):
  model, params = model_and_params
  apply = jax.jit(model.apply)
  ids = np.array([[5, 9, 7, 1, 0, 0]], np.int32)
  output = apply({'params': params}, ids)
  assert output.shape == (1, 6, 64)
  garbage = np.array([[5, 9, 7, 1, 3, 8]], np.int32)
  masked = apply({'params': params}, garbage, ids != 0)
  np.testing.assert_allclose(output[:, :4], masked[:, :4], atol=1e-6)
  seen = apply({'params': params}, garbage)
  assert np.abs(seen[:, :4] - output[:, :4]).max() > 1e-3


def test_order_matters(model_and_params):
  model, params = model_and_params
  ids = np.array([[5, 9, 7, 1, 0, 0]], np.int32)
  swapped = np.array([[9, 5, 7, 1, 0, 0]], np.int32)
  apply = jax.jit(model.apply)
  first = apply({'params': params}, ids)[:, 2]
  second = apply({'params': params}, swapped)[:, 2]
  assert np.abs(first - second).max() > 1e-4


def test_dropout_is_off_unless_asked_for():
  config = t5_encoder.T5EncoderConfig(
    vocab_size=16,
    embed_dim=16,
    num_layers=1,
    num_heads=2,
    head_dim=8,
    mlp_dim=16,
    dropout_rate=0.5,
  )
  model = t5_encoder.T5Encoder(config)
  ids = jnp.arange(1, 5)[None]
  params = model.init(jax.random.key(0), ids)
  still = model.apply(params, ids)
  np.testing.assert_array_equal(still, model.apply(params, ids))
  shaken = model.apply(
    params, ids, None, False, rngs={'dropout': jax.random.key(1)}
  )
  assert np.abs(shaken - still).max() > 1e-3


def test_buckets_by_hand():
  buckets = t5_encoder.relative_buckets(200, num_buckets=32, max_distance=128)
  # Keys before the query count up from 0, keys after it from 16.
  np.testing.assert_array_equal(buckets[10, 3:11], [7, 6, 5, 4, 3, 2, 1, 0])
  np.testing.assert_array_equal(buckets[0, 1:8], np.arange(17, 24))
  assert buckets[0, 199] == 31 and buckets[199, 0] == 15
  assert buckets[0, 8] == 24 and buckets[0, 16] == 26


def test_xl_has_the_size_of_the_released_encoder():
  config = t5_encoder.xl()
  shapes = nn.unbox(
    jax.eval_shape(
      t5_encoder.T5Encoder(config).init,
      jax.random.key(0),
      jax.ShapeDtypeStruct((1, 64), jnp.int32),
    )
  )
  count = sum(x.size for x in jax.tree.leaves(shapes))
  block = 4 * 2048 * 2048 + 3 * 2048 * 5120 + 2 * 2048
  assert count == 32_128 * 2048 + 24 * block + 32 * 32 + 2048


def test_parameters_name_their_axes():
  model = t5_encoder.T5Encoder(t5_encoder.tiny())
  boxed = jax.eval_shape(
    model.init, jax.random.key(0), jnp.zeros((1, 4), jnp.int32)
  )
  for spec in jax.tree.leaves(
    nn.get_partition_spec(boxed), is_leaf=lambda x: not isinstance(x, dict)
  ):
    assert spec and None not in spec


def test_a_missing_weight_is_named():
  with pytest.raises(errors.CheckpointError, match=r'shared\.weight'):
    t5_import.infer_config({'other': np.zeros(3)})


def test_a_missing_file_is_one_clear_error(tmp_path):
  with pytest.raises(errors.CheckpointError, match='no T5 weights'):
    t5_import.load(tmp_path / 'nothing.safetensors')
