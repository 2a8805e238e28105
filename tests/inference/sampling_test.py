"""Temperature, top-k, top-p and guidance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.inference import sampling

_LOGITS = jnp.log(jnp.array([[0.5, 0.3, 0.15, 0.05]]))


def _admitted(**settings):
  config = sampling.SamplingConfig(**settings)
  return (np.asarray(sampling.restrict(_LOGITS, config)) > -100)[0].tolist()


def test_top_k_keeps_the_k_likeliest():
  assert _admitted(top_k=2) == [True, True, False, False]
  assert _admitted(top_k=9) == [True] * 4


def test_top_p_keeps_the_fewest_that_reach_it():
  assert _admitted(top_p=0.79) == [True, True, False, False]
  assert _admitted(top_p=0.81) == [True, True, True, False]
  assert _admitted(top_p=0.01) == [True, False, False, False]


def test_draws_follow_the_probabilities():
  keys = jax.random.split(jax.random.key(0), 4000)
  logits = jnp.broadcast_to(_LOGITS, (4000, 4))
  drawn = sampling.draw(logits, keys, sampling.SamplingConfig())
  shares = np.bincount(np.asarray(drawn), minlength=4) / 4000
  np.testing.assert_allclose(shares, [0.5, 0.3, 0.15, 0.05], atol=0.03)


def test_guidance_moves_away_from_the_unconditional():
  halves = jnp.array([[1.0, 2.0], [0.0, 4.0]])
  guided = sampling.guide(halves, 2.0, True)
  np.testing.assert_allclose(guided, [[2.0, 0.0]])


def test_without_guidance_there_is_one_half():
  logits = jnp.array([[1.0, 2.0], [0.0, 4.0]])
  assert sampling.guide(logits, 2.0, False) is logits
  assert sampling.SamplingConfig(guidance=0.0).is_guided
  assert not sampling.SamplingConfig(guidance=1.0).is_guided


def _shares(config, temperature=None, count=2000):
  keys = jax.random.split(jax.random.key(1), count)
  logits = jnp.broadcast_to(_LOGITS, (count, 4))
  drawn = sampling.draw(logits, keys, config, temperature)
  assert drawn.dtype == jnp.int32
  return np.bincount(np.asarray(drawn), minlength=4) / count


def test_the_temperature_divides_the_logits():
  # A square root of the probabilities, and their square.
  for temperature, power in ((2.0, 0.5), (0.5, 2.0)):
    wanted = np.array([0.5, 0.3, 0.15, 0.05]) ** power
    wanted /= wanted.sum()
    config = sampling.SamplingConfig(temperature=temperature)
    np.testing.assert_allclose(_shares(config), wanted, atol=0.04)
    # That of a position wins.
    given = _shares(sampling.SamplingConfig(), temperature)
    np.testing.assert_array_equal(given, _shares(config))


def test_temperature_0_takes_the_likeliest():
  shares = _shares(sampling.SamplingConfig(temperature=0.0), count=8)
  assert shares.tolist() == [1, 0, 0, 0]


def test_bounds_themselves_are_allowed():
  sampling.SamplingConfig(temperature=0.0, top_k=0, top_p=1.0, guidance=0.0)
  config = sampling.SamplingConfig(guide_on=['text', 'audio_tokens', 'text'])
  assert config.guide_on == ('text', 'audio_tokens')


@pytest.mark.parametrize(
  'name, value',
  [
    ('temperature', -1.0),
    ('temperature', float('inf')),
    ('top_k', -1),
    ('top_p', 0.0),
    ('top_p', 1.01),
    ('guidance', -2.0),
    ('guidance', float('inf')),
    ('first_temperature', 0.0),
  ],
)
def test_impossible_settings_are_refused(name, value):
  with pytest.raises(errors.ConfigError, match=name):
    sampling.SamplingConfig(**{name: value})


def _admitted_by_hand(probabilities_V, top_k, top_p):
  """The admitted ids of one row, by sorting it in plain Python."""
  order = sorted(range(len(probabilities_V)), key=lambda i: -probabilities_V[i])
  order = order[: top_k or len(order)]
  total = sum(probabilities_V[i] for i in order)
  kept, before = set(), 0.0
  for i in order:
    if before / total < top_p:
      kept.add(i)
    before += probabilities_V[i]
  return kept


@pytest.mark.parametrize(
  ('top_k', 'top_p'),
  [(0, 0.6), (1, 1.0), (3, 1.0), (3, 0.75), (9, 0.9), (5, 1)],
)
def test_each_row_is_restricted_by_itself(top_k, top_p):
  # More rows than ids, in unlike orders: an axis taken for the other shows.
  generator = np.random.default_rng(0)
  shares_BV = generator.dirichlet(np.ones(5), 7).astype(np.float32)
  config = sampling.SamplingConfig(top_k=top_k, top_p=top_p)
  logits_BV = jnp.log(jnp.asarray(shares_BV))
  found_BV = np.asarray(sampling.restrict(logits_BV, config))
  for row, shares in enumerate(shares_BV):
    kept = _admitted_by_hand(shares.tolist(), top_k, top_p)
    assert set(np.flatnonzero(found_BV[row] > -100)) == kept
    for i in kept:
      assert found_BV[row, i] == logits_BV[row, i]


def test_the_likeliest_of_each_row():
  logits_BV = jnp.array([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
  config = sampling.SamplingConfig(temperature=0.0)
  keys_B = jax.random.split(jax.random.key(0), 2)
  assert sampling.draw(logits_BV, keys_B, config).tolist() == [1, 0]


@pytest.mark.parametrize(
  'fields',
  [
    {'temperature': 0.0, 'top_k': 2},
    {'temperature': 0.0, 'top_p': 0.9},
    {'temperature': 0.0, 'first_temperature': 1.0},
    {'temperature': 1.0, 'first_temperature': 0.0},
    {'guide_on': 'text'},
    {'guide_on': ()},
    {'guidance': -0.5},
  ],
)
def test_settings_that_cannot_act_together_are_refused(fields):
  with pytest.raises(errors.ConfigError):
    sampling.SamplingConfig(**fields)


def test_small_temperatures_may_go_together():
  sampling.SamplingConfig(temperature=0.5, first_temperature=0.5)
  assert sampling.SamplingConfig().guidance == 1.0
  assert not sampling.SamplingConfig().is_guided
