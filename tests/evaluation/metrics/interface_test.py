"""What all metrics share: inputs that are there, and keys of states."""

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import interface


def test_inputs_that_are_there_or_named():
  batch = {'real': np.zeros(3), 'text': np.zeros(3)}
  assert interface.need(batch, 'real', 'psnr') is batch['real']
  with pytest.raises(errors.DataError) as raised:
    interface.need(batch, 'generated', 'psnr')
  assert str(raised.value).startswith(
    "psnr needs 'generated' and was given ['real', 'text'];"
  )


def test_pairs_are_alike():
  batch = {'generated_audio': np.zeros((2, 3)), 'real_audio': np.ones((2, 3))}
  generated, real = interface.pair(batch, 'x', '_audio')
  assert generated is batch['generated_audio'] and real is batch['real_audio']
  batch['real_audio'] = np.ones((2, 4))
  with pytest.raises(errors.DataError, match='is not like real_audio'):
    interface.pair(batch, 'x', '_audio')


def test_fingerprints():
  one = interface.fingerprint_of('a', 1)
  assert len(one) == 16 and int(one, 16) >= 0
  assert one == interface.fingerprint_of('a', 1)
  assert one != interface.fingerprint_of('a', '1')
  assert one != interface.fingerprint_of('a', 1, None)


def test_keys_of_states_there_and_back():
  state = {'n': np.array(1), 'm/k': np.array(2)}
  put = interface.put_under('real', state)
  assert set(put) == {'real/n', 'real/m/k'}
  assert interface.under('real', {**put, 'realistic/n': 0, 'n': 0}) == state
