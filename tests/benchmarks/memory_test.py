"""Memory of encoding and decoding does not grow with a video's length."""

import pytest

from videopoet_jax.benchmarks import memory
from videopoet_jax.core import errors


@pytest.mark.slow
def test_two_thousand_frames_take_the_memory_of_a_hundred(monkeypatch):
  # Programs compiled as users' are: others leave more behind.
  monkeypatch.delenv('JAX_DISABLE_MOST_OPTIMIZATIONS', raising=False)
  found = memory.memory()
  short, long = found['100'], found['2000']
  # The last latent frame is filled up.
  assert (short['latent_frames'], short['frames']) == (26, 101)
  assert (long['latent_frames'], long['frames']) == (501, 2001)
  # The ratio is 1.0 on a quiet machine (docs/long_video.md); what allocators
  # keep differs under load. All activations would be several times the peak.
  assert found['peak_ratio'] < 1.5


def test_other_systems_are_refused(monkeypatch, tmp_path):
  monkeypatch.setattr(memory, '_STATUS', tmp_path / 'status')
  with pytest.raises(errors.DataError, match='Linux'):
    memory.memory()
