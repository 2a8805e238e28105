"""A text decoder of T5X as initial parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import t5x_files
from tests.models.prefix_lm import small
from videopoet_jax.core import errors
from videopoet_jax.layers import attention
from videopoet_jax.layers import masks
from videopoet_jax.layers import transformer
from videopoet_jax.models.prefix_lm import text_decoder

_HEADS, _HEAD_DIM, _WIDTH, _MLP, _VOCAB = 4, 8, 16, 24, 20


def _settings(**changes):
  return small.config(num_kv_heads=4, **changes)


def _decoder(layers=2, width=_WIDTH, vocab=_VOCAB):
  return t5x_files.text_decoder(
    width=width, heads=_HEADS, head_dim=_HEAD_DIM, mlp=_MLP, vocab=vocab,
    layers=layers,
  )  # fmt: skip


def _taken(path, settings):
  _, params = small.build(settings)
  said = []
  taken = text_decoder.take(path, params, settings, said.append)
  return params, taken, said


@pytest.mark.parametrize('scan', [False, True])
def test_all_that_fits_is_taken_and_named(tmp_path, scan):
  arrays = _decoder()
  t5x_files.write(tmp_path / 'checkpoint_9', arrays)
  assert text_decoder.is_text_decoder(tmp_path / 'checkpoint_9')
  settings = _settings(scan_layers=scan)
  params, taken, said = _taken(tmp_path / 'checkpoint_9', settings)
  query = arrays['decoder.layers_1.self_attention.query.kernel']
  if scan:
    found = taken['stack', 'layers', 'block', 'attention', 'query'][1]
  else:
    found = taken['stack', 'layer_1', 'block', 'attention', 'query']
  np.testing.assert_array_equal(found, query.reshape(16, 4, 8))
  # The table has room for more ids; those keep their own rows.
  table = taken['embedding', 'text_table']
  own = np.asarray(params['embedding']['text_table'])
  np.testing.assert_array_equal(
    table[:_VOCAB], arrays['decoder.token_embedder.embedding']
  )
  np.testing.assert_array_equal(table[_VOCAB:], own[_VOCAB:])
  assert len(taken) == 2 + 9 * (1 if scan else 2)
  assert 'decoder.layers_*.mlp.wi_0.kernel' in said[0]
  assert said[1].endswith(
    'decoder.logits_dense.kernel, decoder.relpos_bias.rel_embedding'
  )


def test_a_block_computes_what_it_did(tmp_path):
  """Against T5X's formulas, without relative positions."""
  arrays = _decoder(layers=1)
  t5x_files.write(tmp_path / 'checkpoint_9', arrays)
  settings = _settings(num_layers=1, scan_layers=False, qk_norm=False)
  model, params = small.build(settings)
  taken = text_decoder.take(
    tmp_path / 'checkpoint_9', params, settings, lambda line: None
  )
  block = {}
  for (*_, first, last), value in taken.items():
    if first in ('attention', 'mlp', 'attention_norm', 'mlp_norm'):
      block.setdefault(first, {})[last] = jnp.asarray(value)
  draw = np.random.default_rng(0)
  stream = draw.normal(size=(2, 5, _WIDTH)).astype(np.float32)
  ours, _ = transformer.Block(model.block_config(1)).apply(
    {'params': block},
    jnp.asarray(stream),
    attention.Context(masks.PrefixMask(0, 0), jnp.ones((2, 5), bool)),
  )

  def of(name):
    return arrays[f'decoder.layers_0.{name}']

  def norm(inputs, scale):
    mean = np.mean(np.square(inputs), -1, keepdims=True)
    return inputs / np.sqrt(mean + 1e-6) * scale

  inputs = norm(stream, of('pre_self_attention_layer_norm.scale'))
  query, key, value = (
    (inputs @ of(f'self_attention.{name}.kernel')).reshape(2, 5, 4, 8)
    for name in ('query', 'key', 'value')
  )
  logits = np.einsum('bqhd,bkhd->bhqk', query, key)
  logits = np.where(np.tri(5, dtype=bool), logits, -1e10)
  weights = np.asarray(jax.nn.softmax(logits))
  mixed = np.einsum('bhqk,bkhd->bqhd', weights, value).reshape(2, 5, -1)
  middle = stream + mixed @ of('self_attention.out.kernel')
  inputs = norm(middle, of('pre_mlp_layer_norm.scale'))
  gate = np.asarray(jax.nn.gelu(inputs @ of('mlp.wi_0.kernel')))
  expected = middle + (gate * (inputs @ of('mlp.wi_1.kernel'))) @ of(
    'mlp.wo.kernel'
  )
  np.testing.assert_allclose(ours, expected, rtol=2e-4, atol=2e-3)


def test_what_does_not_fit_is_left_and_named(tmp_path):
  # One layer too many there, key heads too few here; a longer table is cut.
  t5x_files.write(tmp_path / 'checkpoint_9', _decoder(layers=3, vocab=4096))
  settings = small.config(scan_layers=False)
  params, taken, said = _taken(tmp_path / 'checkpoint_9', settings)
  table = taken['embedding', 'text_table']
  assert table.shape == params['embedding']['text_table'].shape
  assert ('stack', 'layer_0', 'block', 'attention', 'key') not in taken
  assert ('stack', 'layer_0', 'block', 'attention', 'query') in taken
  assert any('(16, 32) for (16, 2, 8)' in line for line in said[2:])
  assert 'self_attention.key' in said[1]


def test_nothing_that_fits_is_an_error(tmp_path):
  t5x_files.write(tmp_path / 'checkpoint_9', _decoder(width=40))
  with pytest.raises(errors.CheckpointError, match='prefix_lm_preset'):
    _taken(tmp_path / 'checkpoint_9', _settings())
  assert not text_decoder.is_text_decoder(tmp_path)
