"""Features of either side of a batch, and metrics of two sets of them."""

import dataclasses

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import features


@dataclasses.dataclass(frozen=True)
class _Network:
  """The mean over all axes but the first, twice."""

  takes: str = 'video'
  name: str = 'means'
  width: int = 2
  stand_in: bool = False
  fingerprint: str = 'f'

  def __call__(self, batch):
    mean = batch.astype(np.float32).mean(axis=tuple(range(1, batch.ndim)))
    return np.stack([mean, 2 * mean], axis=-1)


def _batch():
  draw = np.random.default_rng(0)
  return {
    'generated': draw.integers(0, 256, (2, 3, 4, 4, 3), np.uint8),
    'real': draw.integers(0, 256, (2, 3, 4, 4, 3), np.uint8),
    'generated_audio': draw.integers(-9999, 9999, (2, 50), np.int16),
  }


def test_features_of_videos_and_of_frames():
  batch = _batch()
  whole = features.of(_Network(), batch, 'real')
  np.testing.assert_allclose(
    whole[:, 0], batch['real'].mean((1, 2, 3, 4)), rtol=1e-5
  )
  frames = features.of(_Network('frames'), batch, 'generated')
  assert frames.shape == (2, 3, 2)
  np.testing.assert_allclose(
    frames[..., 1], 2 * batch['generated'].mean((2, 3, 4)), rtol=1e-5
  )


def test_sound_is_brought_to_floats():
  batch = _batch()
  found = features.of(_Network('audio'), batch, 'generated')
  np.testing.assert_allclose(
    found[:, 0], batch['generated_audio'].mean(1) / 32768, rtol=1e-4, atol=1e-7
  )
  with pytest.raises(errors.DataError, match="needs 'real_audio'"):
    features.of(_Network('audio'), batch, 'real')


@pytest.mark.parametrize(
  ('video', 'message'),
  [
    (np.zeros((2, 4, 4, 3), np.uint8), r'shape \(2, 4, 4, 3\)'),
    (np.zeros((2, 1, 4, 4, 1), np.uint8), r'shape \(2, 1, 4, 4, 1\)'),
    (np.zeros((2, 1, 4, 4, 3), np.float32), 'type float32'),
  ],
)
def test_only_videos_of_bytes_are_taken(video, message):
  with pytest.raises(errors.DataError, match=f'generated .*{message}'):
    features.frames(video, 'generated')


@pytest.mark.parametrize(
  ('audio', 'message'),
  [
    (np.zeros(5, np.int16), r'shape \(5,\)'),
    (np.zeros((1, 5), np.int32), 'type int32'),
    (np.zeros((1, 5), np.uint8), 'type uint8'),
  ],
)
def test_only_waveforms_are_taken(audio, message):
  with pytest.raises(errors.DataError, match=message):
    features.waveform(audio, 'real_audio')
  half = features.waveform(np.full((1, 2), 0.5, np.float64), 'real_audio')
  assert half.dtype == np.float32 and (half == 0.5).all()


def test_either_side_can_be_measured_alone():
  metric = features.TwoSets('distance', _Network())
  batch = _batch()
  assert set(metric.measure(batch)) == {'generated', 'real'}
  assert set(metric.measure({'real': batch['real']})) == {'real'}
  with pytest.raises(errors.DataError, match="distance needs 'generated'"):
    metric.measure({'text': np.array(['a'])})
  sound = features.TwoSets('distance', _Network('audio'))
  assert sound.needs == ('generated_audio', 'real_audio')
  assert metric.needs == ('generated', 'real')
  assert set(sound.measure(batch)) == {'generated'}


def test_a_stand_in_does_not_go_by_the_published_name():
  stand_in = _Network(stand_in=True)
  for name in ('fvd', 'fid', 'fad', 'kvd', 'kid', 'is'):
    features.TwoSets(name, _Network())
    with pytest.raises(errors.ConfigError, match=f'{name} means the published'):
      features.TwoSets(name, stand_in)
  features.TwoSets('fvd_means', stand_in)


def test_a_fingerprint_is_of_name_and_weights():
  prints = {
    features.TwoSets('a', _Network()).fingerprint,
    features.TwoSets('b', _Network()).fingerprint,
    features.TwoSets('a', _Network(fingerprint='g')).fingerprint,
  }
  assert len(prints) == 3
  again = features.TwoSets('a', _Network(name='other')).fingerprint
  assert again in prints  # Not what a network is called.


def test_rows_and_sides():
  block = np.arange(12).reshape(2, 3, 2)
  np.testing.assert_array_equal(features.rows(block), block.reshape(6, 2))
  states = [{'real/n': 1, 'generated/n': 2}, {'real/n': 3}]
  assert features.by_side(states, 'real') == [{'n': 1}, {'n': 3}]
