"""Masked decoding against the MaskGIT scheduler of diffusers (aMUSEd)."""

import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.inference.super_resolution import loop
from videopoet_jax.inference.super_resolution import mask_schedule

pytestmark = pytest.mark.parity

torch = pytest.importorskip('torch', reason='needs torch (parity extra)')
amused = pytest.importorskip(
  'diffusers.schedulers.scheduling_amused',
  reason='needs diffusers (parity extra)',
)

_CODES, _MASK = 16, 16


# Numbers of tokens whose shares are not whole: theirs are float32.
@pytest.mark.parametrize('schedule', ['cosine', 'linear'])
@pytest.mark.parametrize('steps, tokens', [(1, 9), (6, 65), (24, 323)])
def test_counts_and_kept_tokens_equal_the_reference(schedule, steps, tokens):
  random = np.random.default_rng(0)
  logits = torch.tensor(random.normal(size=(2, tokens, _CODES))).float()
  log_probabilities = logits.log_softmax(dim=-1).numpy()
  theirs = amused.AmusedScheduler(_MASK, masking_schedule=schedule)
  theirs.set_timesteps(steps, temperature=(0, 0))
  sample = torch.full((2, tokens), _MASK)
  ours = loop.State(
    jnp.zeros((2, 1, 1, tokens), jnp.int32), jnp.ones((2, 1, 1, tokens), bool)
  )
  counts = mask_schedule.still_masked(schedule, steps, np.full(2, tokens))
  generator = torch.Generator().manual_seed(0)
  for step, time in enumerate(theirs.timesteps):
    made = theirs.step(logits, time, sample, generator=generator)
    sample, drawn = made.prev_sample, made.pred_original_sample.numpy()
    # Ours are handed their draws.
    confidence = np.take_along_axis(log_probabilities, drawn[..., None], -1)
    draws = loop.Draws(jnp.asarray(drawn), jnp.asarray(confidence[..., 0]))
    ours = loop.keep(ours, draws, counts[step])
    masked = np.asarray(ours.masked_BTHW)[:, 0, 0]
    np.testing.assert_array_equal(masked, sample.numpy() == _MASK)
    np.testing.assert_array_equal(
      np.asarray(ours.ids_BTHW)[:, 0, 0][~masked], sample.numpy()[~masked]
    )
  assert not masked.any()
