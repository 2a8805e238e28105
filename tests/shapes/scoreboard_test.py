"""What stands in metrics.json, and what may not."""

import json

import numpy as np
import pytest

from tests.evaluation import samples
from videopoet_jax.core import errors
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import held_out
from videopoet_jax.shapes import judges
from videopoet_jax.shapes import scoreboard


def test_row_of_the_truth():
  clips = held_out.draw(shapes_config.ShapesConfig(), 32)
  row, passed = scoreboard.score(
    'image_to_video', judges.Outputs(clips.video_BTHWC), clips
  )
  assert passed.all()
  assert (row['value'], row['samples']) == (1.0, 32)
  assert 0.85 < row['low'] < 1 and row['high'] == 1.0
  # Kind and colour can be copied, the direction is one of eight.
  assert row['chance'] == pytest.approx(1 / 8, abs=0.05)
  assert row['parts']['direction'] == 1.0


def test_tokenizer_scores_of_a_perfect_tokenizer():
  clips = held_out.draw(shapes_config.ShapesConfig(), 16)
  scores = scoreboard.tokenizer_scores(
    clips, clips.video_BTHWC, clips.audio_BT, np.arange(64), 128
  )
  assert scores['psnr_db'] > 60
  assert scores['codebook_usage'] == 0.5
  assert scores['codebook_bits'] == pytest.approx(6)
  assert scores['oracle_kept'] == scores['sound_kept'] == 1


def test_written_file_holds_every_key(tmp_path):
  path = tmp_path / 'metrics.json'
  scoreboard.write(samples.metrics(), path)
  read = json.loads(path.read_text())
  assert set(read['tasks']) == set(judges.TASKS)
  for row in read['tasks'].values():
    assert {'value', 'chance', 'samples', 'low', 'high'} <= set(row)
  assert read['profile'] == 'demo'


@pytest.mark.parametrize('key', ['tasks', 'agd', 'versions', 'wall_seconds'])
def test_incomplete_scoreboard_is_refused(key, tmp_path):
  metrics = samples.metrics()
  del metrics[key]
  with pytest.raises(ValueError, match=key):
    scoreboard.write(metrics, tmp_path / 'metrics.json')


def test_unwritable_path_is_the_users_error(tmp_path):
  with pytest.raises(errors.DataError, match='cannot write'):
    scoreboard.write(samples.metrics(), tmp_path / 'missing' / 'metrics.json')


def test_table_names_every_task():
  table = scoreboard.table(samples.metrics())
  assert all(task in table for task in judges.TASKS)


def test_total_variation():
  even = np.full(4, 0.25)
  assert scoreboard.total_variation(np.arange(8) % 4, even) == 0
  assert scoreboard.total_variation(np.zeros(8, int), even) == 0.75
  assert scoreboard.total_variation(np.zeros(0, int), even) == 1
