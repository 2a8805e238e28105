"""The unembedding admits what a layout admits, and no more."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.prefix_lm import small
from videopoet_jax.core import types
from videopoet_jax.models.prefix_lm import heads as heads_lib
from videopoet_jax.parallel import rules

_VOCABULARY = small.SPACE.vocabulary
_LAYOUT = small.SPACE.layout(f'audio_video_continuation/{small.SIZE}')
_HIDDEN = np.random.default_rng(1).normal(size=(2, 3, 16)).astype(np.float32)


def _heads(**changes):
  config = small.config(**changes)
  heads = heads_lib.Heads(config, _VOCABULARY)
  shapes = jax.eval_shape(
    lambda key: heads.init(key, jnp.zeros((1, 16)), method='touch'),
    jax.random.key(0),
  )
  draw = np.random.default_rng(0)
  params = jax.tree.map(
    lambda leaf: jnp.asarray(draw.normal(size=leaf.shape), jnp.float32),
    rules.unbox(shapes['params']),
  )

  def call(method, *args):
    return heads.apply({'params': params}, *args, method=method)

  return call, params


def _run(modality, number=0):
  return [
    run
    for run in _LAYOUT.target_runs
    if run.range.modality.value == modality and run.range.size > 1
  ][number]


def _loss(logits, label):
  return np.log(np.exp(logits).sum(-1)) - logits[..., label]


@pytest.mark.parametrize(
  ('changes', 'tables'),
  [
    ({}, {'audio_table'}),
    ({'visual_output': 'softmax'}, {'audio_table', 'visual_table'}),
    (
      {'visual_output': 'softmax', 'loss_vocabulary': 'full'},
      {'audio_table', 'visual_table', 'special_table', 'text_table'},
    ),
  ],
)
def test_a_modality_has_a_table_where_it_is_predicted(changes, tables):
  _, params = _heads(**changes)
  assert {name for name in params if name.endswith('table')} == tables
  factored = changes.get('visual_output') != 'softmax'
  assert ('factors' in params) is factored


def test_a_level_of_audio_admits_its_own_ids():
  call, params = _heads()
  table = np.asarray(params['audio_table'])
  flat = jnp.asarray(_HIDDEN.reshape(-1, 16))
  for level in (0, 1):
    run = _run('audio', level)
    assert run.range == _VOCABULARY.audio_level(level)
    rows = table[16 * level : 16 * level + 16]
    logits = np.asarray(call('logits', flat, run))
    np.testing.assert_allclose(logits, flat @ rows.T, rtol=1e-4, atol=1e-4)
    label = run.range.start + 3
    result = call('loss', jnp.asarray(_HIDDEN), jnp.full((2, 3), label), run)
    np.testing.assert_allclose(
      result.loss_BT.reshape(-1), _loss(logits, 3), rtol=1e-4
    )


def test_the_padding_of_a_table_is_not_admitted():
  call, params = _heads(visual_output='softmax')
  run = _run('visual')
  assert params['visual_table'].shape == (128, 16)
  logits = np.asarray(call('logits', jnp.asarray(_HIDDEN[0]), run))
  assert logits.shape == (3, 64)
  result = call(
    'loss', jnp.asarray(_HIDDEN[:1]), jnp.full((1, 3), run.range.start), run
  )
  np.testing.assert_allclose(result.loss_BT[0], _loss(logits, 0), rtol=1e-4)


def test_the_full_loss_is_over_all_ids_in_use():
  call, params = _heads(visual_output='softmax', loss_vocabulary='full')
  run = _run('visual')
  parts = [
    np.asarray(params[f'{m.value}_table'])[: r.size]
    for m, r in _VOCABULARY.ranges.items()
  ]
  every = _HIDDEN @ np.concatenate(parts).T
  result = call(
    'loss', jnp.asarray(_HIDDEN), jnp.full((2, 3), run.range.start + 5), run
  )
  np.testing.assert_allclose(result.loss_BT, _loss(every, 256 + 5), rtol=1e-4)


@pytest.mark.parametrize('chunk', [1, 4])
def test_chunks_of_the_loss_change_nothing(chunk):
  run, labels = _run('audio'), jnp.full((2, 3), _run('audio').range.start)
  whole = _heads()[0]('loss', jnp.asarray(_HIDDEN), labels, run)
  parts = _heads(loss_chunk=chunk)[0]('loss', jnp.asarray(_HIDDEN), labels, run)
  np.testing.assert_allclose(parts.loss_BT, whole.loss_BT, rtol=1e-5)


def test_which_runs_are_two_factors():
  visual, audio = _run('visual'), _run('audio')
  assert _heads()[0]('is_factored', visual)
  assert not _heads()[0]('is_factored', audio)
  assert not _heads(visual_output='softmax')[0]('is_factored', visual)


def test_delimiters_are_predicted_with_a_full_loss_only():
  full = small.config(loss_vocabulary='full', visual_output='softmax')
  assert heads_lib.predicted(full, _LAYOUT) == _LAYOUT.target_runs
  segment = heads_lib.predicted(small.config(), _LAYOUT)
  assert len(segment) < len(_LAYOUT.target_runs)
  assert {run.range.modality for run in segment} == {
    types.Modality.VISUAL, types.Modality.AUDIO,
  }  # fmt: skip
