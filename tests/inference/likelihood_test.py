"""Negative log likelihoods are the sums of the model's own losses."""

import types

import jax.numpy as jnp
import numpy as np

from tests.models.prefix_lm import small
from videopoet_jax.inference import likelihood


class _Model:
  """Every position of a run costs the run's number, plus the row."""

  config = types.SimpleNamespace(text='tokens')

  def apply(self, variables, tokens_BL, visible_BL, layout, text):
    assert text is None
    batch = tokens_BL.shape[0]
    rows = variables['params']['scale'] * jnp.arange(batch, dtype=jnp.float32)
    return {
      run: types.SimpleNamespace(
        loss_BT=jnp.broadcast_to(
          number + 1.0 + rows[:, None], (batch, run.stop - run.start)
        )
      )
      for number, run in enumerate(layout.target_runs)
      if run.range.size > 1
    }


class _Generator:
  place = None

  def __init__(self):
    self.model = _Model()
    self.params = {'scale': jnp.float32(10.0)}
    self.seen = None

  def take_embeddings(self, layout, features):
    return None

  def fill(self, layout, features, number):
    self.seen = (dict(features), number)
    return (
      np.zeros((number, layout.length), np.int64),
      np.ones((number, layout.length), bool),
    )


def test_losses_are_summed_over_a_modalitys_runs():
  layout = small.SPACE.layout('audio_video_continuation/9x16x8')
  generator = _Generator()
  features = {'video_tokens': np.zeros((3, 3, 2, 1)), 'x': np.zeros((1, 1))}
  found = likelihood.negative_log_likelihoods(generator, layout, features)
  assert generator.seen[1] == 3
  runs = [
    (number, run)
    for number, run in enumerate(layout.target_runs)
    if run.range.size > 1
  ]
  for modality in ('visual', 'audio'):
    own = [(n, r) for n, r in runs if r.range.modality.value == modality]
    count = sum(r.stop - r.start for _, r in own)
    np.testing.assert_array_equal(found[f'tokens_{modality}'], [count] * 3)
    wanted = [
      sum((r.stop - r.start) * (n + 1 + 10 * row) for n, r in own)
      for row in range(3)
    ]
    np.testing.assert_allclose(found[f'nll_{modality}'], wanted)
    assert found[f'nll_{modality}'].dtype == np.float64
    assert found[f'tokens_{modality}'].dtype == np.int64
  assert set(found) == {
    'nll_visual', 'tokens_visual', 'nll_audio', 'tokens_audio',
  }  # fmt: skip


def test_delimiters_do_not_count():
  layout = small.SPACE.layout('text_to_video/9x16x8')
  found = likelihood.negative_log_likelihoods(
    _Generator(), layout, {'text': np.zeros((1, 3))}
  )
  assert set(found) == {'nll_visual', 'tokens_visual'}
  np.testing.assert_array_equal(found['tokens_visual'], [3 * 2 * 1])
