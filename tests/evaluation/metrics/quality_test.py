"""The mean of a network's scores of single sounds."""

import dataclasses

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import quality


@dataclasses.dataclass(frozen=True)
class _Scores:
  name: str = 'mos'
  takes: str = 'audio'
  width: int = 2
  stand_in: bool = False
  fingerprint: str = 'f'

  def __call__(self, audio_BT):
    return np.stack([audio_BT.max(axis=1), audio_BT.min(axis=1)], axis=1)


def test_one_column_of_the_scores():
  audio = np.array([[0.5, 0.25], [1.0, -0.5]], np.float32)
  batch = {'generated_audio': audio}

  def value(column):
    metric = quality.Quality(_Scores(), column)
    measured = metric.measure(batch)
    assert measured['value'].dtype == np.float64
    return metric.compute(metric.add(metric.empty(), measured))

  assert value(0) == 0.75
  assert value(1) == -0.125


def test_name_needs_and_fingerprint():
  metric = quality.Quality(_Scores())
  assert metric.name == 'mos' and metric.higher_is_better
  assert metric.needs == ('generated_audio',)
  assert metric.fingerprint != quality.Quality(_Scores(), 1).fingerprint
  with pytest.raises(errors.DataError, match="mos needs 'generated_audio'"):
    metric.measure({})
