"""One process waits for nobody."""

import jax.numpy as jnp
import numpy as np

from videopoet_jax.parallel import start


def test_a_run_of_one_waits_for_nobody():
  start.barrier('nobody')
  assert start.all_agree(True, 'question')
  assert not start.all_agree(False, 'question')
  found = start.to_host({'a': jnp.arange(3)})
  assert isinstance(found['a'], np.ndarray)
