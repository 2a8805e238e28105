"""Masked decoding against the MaskGIT scheduler of diffusers (aMUSEd)."""

import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.inference import mask_schedule
from videopoet_jax.inference import super_resolution_loop as loop

pytestmark = pytest.mark.parity

torch = pytest.importorskip('torch', reason='needs torch (parity extra)')
amused = pytest.importorskip(
  'diffusers.schedulers.scheduling_amused',
  reason='needs diffusers (parity extra)',
)

_CODES, _MASK = 16, 16


@pytest.mark.parametrize('schedule', ['cosine', 'linear'])
@pytest.mark.parametrize('steps, tokens', [(1, 9), (6, 64), (24, 320)])
def test_counts_and_kept_tokens_equal_the_reference(schedule, steps, tokens):
  random = np.random.default_rng(0)
  # One id is all but certain, more so at some places: draws are the same for
  # both, confidences differ.
  best = random.integers(0, _CODES, (2, tokens))
  sure = random.permuted(np.linspace(12.0, 16.0, 2 * tokens)).reshape(2, tokens)
  logits = np.zeros((2, tokens, _CODES), np.float32)
  np.put_along_axis(logits, best[..., None], sure[..., None], axis=-1)
  log_z = np.log(np.exp(sure) + _CODES - 1)
  confidence = jnp.asarray(sure - log_z, jnp.float32)
  theirs = amused.AmusedScheduler(_MASK, masking_schedule=schedule)
  theirs.set_timesteps(steps, temperature=(0, 0))
  sample = torch.full((2, tokens), _MASK)
  ours = loop.State(
    jnp.zeros((2, 1, 1, tokens), jnp.int32), jnp.ones((2, 1, 1, tokens), bool)
  )
  counts = mask_schedule.still_masked(schedule, steps, np.full(2, tokens))
  for step, time in enumerate(theirs.timesteps):
    sample = theirs.step(
      torch.tensor(logits), time, sample, generator=torch.manual_seed(0)
    ).prev_sample
    ours = loop.keep(ours, jnp.asarray(best), confidence, counts[step])
    masked = np.asarray(ours.masked_BTHW)[:, 0, 0]
    np.testing.assert_array_equal(masked, sample.numpy() == _MASK)
    np.testing.assert_array_equal(
      np.asarray(ours.ids_BTHW)[:, 0, 0][~masked], sample.numpy()[~masked]
    )
  assert not masked.any()
