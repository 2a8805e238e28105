"""Tokens about a place as an input: what is read, and what is zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.prefix_lm import small
from videopoet_jax.layers import cell_inputs
from videopoet_jax.layers import embeddings
from videopoet_jax.layers import neighborhood
from videopoet_jax.parallel import rules

_VOCABULARY = small.SPACE.vocabulary
_LAYOUT = small.SPACE.layout(f'text_to_video/{small.SIZE}')
_WIDTH, _HIDDEN = 3, 4


def _layer(names=('neighbours',), **fields):
  return cell_inputs.CellInputs(names, _VOCABULARY, _WIDTH, _HIDDEN, **fields)


def _params(layer, layout, seed=0):
  tokens = jnp.zeros((1, layout.length), jnp.int32)
  shapes = jax.eval_shape(
    lambda key: layer.init(
      key, tokens, tokens > -1, {n: jnp.zeros((1, 1), jnp.int32) for n in ()}
    ),
    jax.random.key(0),
  )
  draw = np.random.default_rng(seed)
  return jax.tree.map(
    lambda leaf: jnp.asarray(draw.normal(size=leaf.shape), jnp.float32),
    rules.unbox(shapes['params']),
  )


def _silu(x):
  return x / (1 + np.exp(-x))


def test_visual_ids_are_read_by_their_bits():
  layer = _layer()
  params = _params(layer, _LAYOUT)
  tokens = small.tokens(_LAYOUT, 2)
  visible = np.ones(tokens.shape, bool)
  sources = layer.sources(_LAYOUT)
  assert set(sources) == {'neighbours'}
  source = sources['neighbours']
  found = layer.apply(
    {'params': params}, tokens, visible, {'neighbours': jnp.asarray(source)}
  )
  assert found.shape == (2, _LAYOUT.length, _WIDTH)
  bits = embeddings.num_bits(_VOCABULARY)
  start = _VOCABULARY.ranges['visual'].start
  local = tokens[:, np.maximum(source, 0)] - start
  read = np.asarray(embeddings.signs(jnp.asarray(local), bits), np.float32)
  read = np.where((source >= 0)[None, ..., None], read, 0)
  hidden = read.reshape(2, _LAYOUT.length, -1) @ params['neighbours_kernel']
  wanted = _silu(hidden) @ params['out']
  np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
  # Where nothing is about a place, nothing comes in.
  empty = (source < 0).all(axis=1)
  assert empty.any() and not np.asarray(found)[:, empty].any()
  assert np.asarray(found)[:, ~empty].any(axis=-1).all()


def test_hidden_tokens_are_zero():
  layer = _layer()
  params = _params(layer, _LAYOUT)
  tokens = small.tokens(_LAYOUT, 1)
  other = small.tokens(_LAYOUT, 1, seed=5)
  source = jnp.asarray(layer.sources(_LAYOUT)['neighbours'])

  def run(tokens, visible):
    seen = np.full(tokens.shape, visible)
    return np.asarray(
      layer.apply({'params': params}, tokens, seen, {'neighbours': source})
    )

  assert (run(tokens, True) != run(other, True)).any()
  assert not run(tokens, False).any()


@pytest.mark.parametrize('bits', [True, False])
def test_what_has_no_bits_is_read_of_a_table(bits):
  layer = _layer(('neighbours', 'sound'), bits=bits)
  params = _params(layer, _LAYOUT)
  sizes = _VOCABULARY.table_sizes
  tables = {'audio_table': (sizes['audio'], 32)}
  if not bits:
    tables['visual_table'] = (sizes['visual'], 32)
  assert {
    k: v.shape for k, v in params.items() if k.endswith('table')
  } == tables
  slots = neighborhood.SOURCES['neighbours'].slots(_VOCABULARY.audio_levels)
  features = embeddings.num_bits(_VOCABULARY) if bits else 32
  assert params['neighbours_kernel'].shape == (slots * features, _HIDDEN)


def test_sources_that_a_layout_has_none_of_are_left_out():
  layer = _layer(('neighbours', 'sound'))
  assert set(layer.sources(_LAYOUT)) == {'neighbours'}
  both = small.SPACE.layout(f'audio_to_video/{small.SIZE}')
  assert set(layer.sources(both)) == {'neighbours', 'sound'}
