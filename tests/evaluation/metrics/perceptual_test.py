"""LPIPS and CLIPSIM, with a network whose answers are known."""

import math

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import perceptual


class _Colours:
  """A perceptual network whose every answer can be said by hand."""

  name = 'colours'
  fingerprint = 'colours'

  def __call__(self, one, other):
    difference = one.astype(np.float32) - other
    return np.abs(difference).mean(axis=(1, 2, 3))

  def frames(self, frames):
    return frames.mean(axis=(1, 2)).astype(np.float32)

  def text(self, captions):
    table = {'red': (2, 0, 0), 'green': (0, 2, 0)}
    return np.array([table[c] for c in captions], np.float32)


def test_lpips_is_the_mean_over_frames():
  real = np.zeros((2, 3, 4, 4, 3), np.uint8)
  generated = real.copy()
  generated[1, 0] = 30
  measured = perceptual.LPIPS(_Colours()).measure(
    {'generated': generated, 'real': real}
  )
  np.testing.assert_allclose(measured['value'], [0, 10])


def test_clipsim_is_the_mean_cosine_over_frames():
  video = np.zeros((2, 2, 4, 4, 3), np.uint8)
  video[0, :, ..., 0] = 255  # Red, twice.
  video[1, 0, ..., 1] = 99  # Green, then as red as green.
  video[1, 1, ..., :2] = 50
  metric = perceptual.CLIPSIM(_Colours())
  batch = {'generated': video, 'text': np.array(['red', 'green'])}
  np.testing.assert_allclose(
    metric.measure(batch)['value'], [1, (1 + math.sqrt(0.5)) / 2], rtol=1e-6
  )
  with pytest.raises(errors.DataError, match='1 captions for 2 videos'):
    metric.measure({**batch, 'text': np.array(['red'])})
