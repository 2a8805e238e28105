"""The decoding loop with networks whose best ids are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.inference import super_resolution_fakes as fakes
from videopoet_jax.core import errors
from videopoet_jax.inference.super_resolution import config as config_lib
from videopoet_jax.inference.super_resolution import loop
from videopoet_jax.tokenizers.quantizers import lfq

_SHAPE = (2, 4, 4)


def _conditions(number, text=True):
  return loop.Conditions(
    jnp.zeros((number, 2, 2, 2), jnp.int32),
    jnp.zeros((number, 3), jnp.int32),
    jnp.full((number, 3), text),
  )


def _keys(numbers, seed=0):
  key = jax.random.key(seed)
  return jax.vmap(lambda index: jax.random.fold_in(key, index))(
    jnp.asarray(numbers)
  )


def _fill(model, config, numbers=(0, 1, 2), known=None, seed=0, text=True):
  ids = np.zeros((len(numbers), *_SHAPE), np.int32)
  masked = np.ones(ids.shape, bool)
  if known is not None:
    ids, masked = known
  return loop.fill(
    model, {}, _conditions(len(numbers), text), ids, masked,
    config=config, keys_B=_keys(numbers, seed),
  ).ids_BTHW  # fmt: skip


def test_steps_let_tokens_agree_and_one_step_does_not():
  model = fakes.Agreeing()
  ids = _fill(model, config_lib.UpscaleConfig(num_steps=24), range(8))
  # 32 tokens: the first step keeps one, and it decides all others.
  assert all(len(np.unique(clip)) == 1 for clip in ids)
  assert len(np.unique(ids)) > 1
  at_once = _fill(model, config_lib.UpscaleConfig(num_steps=1), range(8))
  assert all(len(np.unique(clip)) > 3 for clip in at_once)
  for made in (ids, at_once):  # The second factor is drawn given the first.
    low = made & (fakes.VALUES - 1)
    np.testing.assert_array_equal(low, fakes.second_of(made >> fakes.BITS))


def test_known_ids_stay_and_decide():
  ids = np.zeros((1, *_SHAPE), np.int32)
  masked = np.ones(ids.shape, bool)
  wanted = (5 << fakes.BITS) + fakes.second_of(5)
  ids[0, 1, 2, 3], masked[0, 1, 2, 3] = wanted, False
  made = _fill(
    fakes.Agreeing(), config_lib.UpscaleConfig(num_steps=3), (0,), (ids, masked)
  )
  np.testing.assert_array_equal(made, np.full_like(ids, wanted))
  # An id that the network would never choose is kept all the same.
  ids[0, 0, 0, 0], masked[0, 0, 0, 0] = 63, False
  made = _fill(
    fakes.Agreeing(), config_lib.UpscaleConfig(num_steps=3), (0,), (ids, masked)
  )
  assert made[0, 0, 0, 0] == 63 and made[0, 1, 2, 3] == wanted


def test_samples_depend_on_seed_and_number_only():
  config = config_lib.UpscaleConfig(num_steps=1)
  model = fakes.Agreeing()
  together = _fill(model, config, (0, 1, 2))
  np.testing.assert_array_equal(_fill(model, config, (2, 0)), together[[2, 0]])
  np.testing.assert_array_equal(_fill(model, config, (1,)), together[[1]])
  assert not np.array_equal(_fill(model, config, seed=1), together)


def _with_codes(num_steps, ids, masked):
  config = config_lib.UpscaleConfig(num_steps=num_steps)
  codes = np.array(lfq.ids_to_codes(ids, 2 * fakes.BITS))
  numbers = np.arange(len(ids))
  without = _fill(fakes.Agreeing(), config, numbers, (ids, masked))
  made = loop.fill(
    fakes.Agreeing(), {}, _conditions(len(ids)), ids, masked,
    config=config, keys_B=_keys(numbers), codes_BTHWC=codes,
  )  # fmt: skip
  np.testing.assert_array_equal(made.ids_BTHW, without)
  return made, np.asarray(lfq.ids_to_codes(made.ids_BTHW, 2 * fakes.BITS))


def test_expected_codes_are_those_of_the_draw():
  nothing = np.zeros((3, *_SHAPE), np.int32)
  made, exact = _with_codes(1, nothing, np.ones(nothing.shape, bool))
  # Every first factor is as likely, and it decides the second one.
  low, high = np.split(made.codes_BTHWC, 2, axis=-1)
  np.testing.assert_allclose(high, np.zeros_like(high), atol=1e-6)
  np.testing.assert_allclose(low, exact[..., : fakes.BITS], atol=1e-5)
  # All but the first token follow from it.
  made, exact = _with_codes(24, nothing, np.ones(nothing.shape, bool))
  off = np.abs(made.codes_BTHWC - exact).max(axis=-1) > 1e-5
  np.testing.assert_array_equal(off.sum(axis=(1, 2, 3)), [1, 1, 1])


def test_known_ids_keep_their_codes():
  ids = np.full((1, *_SHAPE), 63, np.int32)
  masked = np.ones(ids.shape, bool)
  masked[0, 0] = False
  made, exact = _with_codes(1, ids, masked)
  np.testing.assert_array_equal(made.codes_BTHWC[0, 0], exact[0, 0])


@pytest.mark.parametrize('schedule', ['cosine', 'square_root'])
def test_counts_are_the_schedules_and_kept_ids_never_change(schedule):
  config = config_lib.UpscaleConfig(num_steps=6, schedule=schedule)
  masked = np.ones((2, *_SHAPE), bool)
  masked[1, 0] = False  # Half of the second clip is given.
  _, steps = loop.plan(config, masked, has_text=False)
  state = loop.State(jnp.zeros(masked.shape, jnp.int32), jnp.asarray(masked))
  generator = np.random.default_rng(0)
  for left_B in steps.still_masked_SB:
    drawn = generator.integers(0, 64, (2, 32), dtype=np.int32)
    # Whole numbers: many confidences are equal.
    confidence = generator.integers(0, 3, (2, 32)).astype(np.float32)
    draws = loop.Draws(jnp.asarray(drawn), jnp.asarray(confidence))
    after = loop.keep(state, draws, left_B)
    left = np.asarray(after.masked_BTHW)
    np.testing.assert_array_equal(left.sum(axis=(1, 2, 3)), left_B)
    assert not np.any(left & ~np.asarray(state.masked_BTHW))
    was_known = ~np.asarray(state.masked_BTHW)
    np.testing.assert_array_equal(
      np.asarray(after.ids_BTHW)[was_known],
      np.asarray(state.ids_BTHW)[was_known],
    )
    state = after
  assert not np.any(state.masked_BTHW)


def test_the_surest_are_kept():
  state = loop.State(
    jnp.zeros((1, 1, 1, 4), jnp.int32), jnp.ones((1, 1, 1, 4), bool)
  )
  draws = loop.Draws(
    jnp.array([[7, 8, 9, 10]]), jnp.array([[-3.0, -1.0, -2.0, -4.0]])
  )
  after = loop.keep(state, draws, jnp.array([2]))
  np.testing.assert_array_equal(
    after.masked_BTHW[0, 0, 0], [True, False, False, True]
  )
  np.testing.assert_array_equal(after.ids_BTHW[0, 0, 0, 1:3], [8, 9])


def _log_probability(config, text=True):
  """Log probabilities of the first factors drawn under guided logits."""
  masked = np.ones((1, 4, 16, 16), bool)
  passes, steps = loop.plan(config, masked, text)
  state = loop.State(jnp.zeros(masked.shape, jnp.int32), jnp.asarray(masked))
  ids_BN, confidence_BN, _ = loop.candidates(
    fakes.Conditioned(), {}, state, _conditions(1, text), steps.weights_P,
    steps.temperature, _keys((0,)), passes=passes, greedy=False,
  )  # fmt: skip
  first = np.asarray(ids_BN[0]) >> fakes.BITS
  found = dict(zip(first.tolist(), np.asarray(confidence_BN[0]).tolist()))
  return found, passes


@pytest.mark.parametrize(
  'text, low, number',
  [(1.0, 1.0, 1), (4.0, 1.0, 2), (8.0, 2.0, 3), (3.0, 3.0, 2), (0.0, 1.0, 1)],
)
def test_guidance_weighs_each_condition_on_its_own(text, low, number):
  config = config_lib.UpscaleConfig(text_guidance=text, low_guidance=low)
  found, passes = _log_probability(config)
  assert len(passes) == number
  logits = np.zeros(fakes.VALUES)
  logits[1], logits[2] = low, text
  expected = logits - np.log(np.exp(logits).sum()) - np.log(fakes.VALUES)
  for first, value in found.items():
    assert value == pytest.approx(expected[first], abs=1e-4)


def test_without_a_text_its_guidance_takes_no_pass():
  config = config_lib.UpscaleConfig(text_guidance=8.0, low_guidance=1.0)
  found, passes = _log_probability(config, text=False)
  assert passes == (config_lib.LOW,)
  assert found[1] > found[0] and found[2] == found[0]


def test_stages_take_the_papers_passes():
  assert [
    len(config_lib.stage(index).passes(True)[0]) for index in range(3)
  ] == [2, 3, 3]


def test_temperature_zero_takes_the_likeliest():
  config = config_lib.UpscaleConfig(
    temperature=0.0, text_guidance=2.0, low_guidance=1.0
  )
  ids = _fill(fakes.Conditioned(), config)
  assert np.all(ids >> fakes.BITS == 2)


@pytest.mark.parametrize(
  'name, value',
  [
    ('num_steps', 0),
    ('temperature', -1.0),
    ('confidence_temperature', -1.0),
    ('text_guidance', -1.0),
    ('overlap', 1.0),
    ('schedule', 'cosinus'),
  ],
)
def test_impossible_settings_are_refused(name, value):
  with pytest.raises(
    errors.ConfigError, match=name if name != 'schedule' else 'cosine'
  ):
    config_lib.UpscaleConfig(**{name: value})
