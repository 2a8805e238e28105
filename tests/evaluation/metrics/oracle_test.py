"""The oracle's scores equal the scoreboard's."""

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.data.shapes import config as shapes_config
from videopoet_jax.evaluation import held_out
from videopoet_jax.evaluation import measures
from videopoet_jax.evaluation import scoreboard
from videopoet_jax.evaluation.metrics import oracle


@pytest.fixture(scope='module')
def clips():
  return held_out.draw(shapes_config.ShapesConfig(), 24)


def _streamed(metric, inputs, block=10):
  count = len(metric.clips)
  states = []
  for start in range(0, count, block):
    index = np.arange(start, min(start + block, count))
    batch = {name: values[index] for name, values in inputs.items()}
    measured = metric.measure({**batch, 'index': index})
    states.append(metric.add(metric.empty(), measured))
  return metric.compute(metric.merge(states))


@pytest.mark.parametrize(
  'task', ['image_to_video', 'audio_video_continuation', 'unconditional']
)
def test_equals_the_scoreboard(clips, task):
  video, audio = clips.video_BTHWC.copy(), clips.audio_BT
  video[::3] = video[::3, ::-1]  # Every third clip runs backwards,
  video[1] = 255  # and one shows nothing.
  inputs = {'generated': video, 'generated_audio': audio}
  metric = oracle.Oracle(task, clips)
  row, _ = scoreboard.score(task, measures.Outputs(video, audio), clips)
  assert _streamed(metric, inputs) == row['value']


def test_unconditional_without_spread_is_worth_nothing(clips):
  metric = oracle.Oracle('unconditional', clips)
  same = np.repeat(clips.video_BTHWC[:1], len(clips), axis=0)
  index = np.arange(len(clips))
  measured = metric.measure({'generated': same, 'index': index})
  assert measured['value'].all()
  assert metric.compute(metric.add(metric.empty(), measured)) == 0


def test_samples_without_a_clip(clips):
  metric = oracle.Oracle('text_to_image', clips)
  with pytest.raises(errors.DataError, match='24 clips'):
    metric.measure(
      {'generated': clips.video_BTHWC[:1, :1], 'index': np.array([24])}
    )
  with pytest.raises(errors.ConfigError, match='text_to_image'):
    oracle.Oracle('text_to_imag', clips)
