"""The whole chain at a size that learns nothing, from the command line."""

import json

import pytest

from tests.integration import job_process
from videopoet_jax.core import entry
from videopoet_jax.evaluation import results
from videopoet_jax.experiments import evaluate
from videopoet_jax.inference import generator
from videopoet_jax.jobs import demo
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import held_out
from videopoet_jax.shapes import judges
from videopoet_jax.shapes import scoreboard

pytestmark = pytest.mark.slow


def _demo(*flags):
  return job_process.run('demo', *flags)


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  out = tmp_path_factory.mktemp('demo')
  result = _demo('--profile', 'smoke', '--out', str(out))
  assert result.returncode == 0, result.stderr[-4000:]
  return out, result


def test_scoreboard_is_complete(finished):
  out, result = finished
  metrics = json.loads((out / 'metrics.json').read_text())
  scoreboard.check(metrics)
  assert metrics['profile'] == 'smoke' and metrics['seed'] == 0
  for task in judges.TASKS:
    assert task in result.stdout
    assert metrics['tasks'][task]['samples'] == 16
  assert metrics['agd']['layout_padding'] == 0
  assert 0 < metrics['agd']['unused_text'] < 0.2
  assert metrics['wall_seconds'] > 0
  assert sum(metrics['agd']['batches'].values()) == 8


def test_report_is_self_contained(finished):
  out, _ = finished
  page = (out / 'report.html').read_text()
  assert len(page) < 8e6
  assert 'src="http' not in page and 'href="http' not in page
  assert all(f'id="{task}"' in page for task in judges.TASKS)


def test_folder_is_a_checkpoint_for_generation(finished):
  out, _ = finished
  opened = generator.Generator.load(out)
  for task in evaluate.load_protocol('shapes_easy_scoreboard').tasks:
    opened.layout(task.layout)
  clips = held_out.draw(shapes_config.ShapesConfig.of_level('easy'), 2)
  made = opened.generate('text_to_image/1x32x32', {'text': clips.captions})
  assert made.video_BTHWC.shape == (2, 1, 32, 32, 3)


def test_scores_are_those_of_evaluate(finished):
  out, _ = finished
  rows = json.loads((out / 'metrics.json').read_text())['tasks']
  found = {r.task: r for r in results.read(out / 'scores')}
  assert list(found) == list(judges.TASKS) == list(rows)
  for task, row in rows.items():
    assert found[task].detail == row
    assert found[task].value == row['value']


def test_second_run_reuses_every_stage(finished):
  out, _ = finished
  before = {
    path: path.stat().st_mtime_ns for path in (out / 'scores').rglob('*.npz')
  }
  result = _demo('--profile', 'smoke', '--out', str(out))
  assert result.returncode == 0, result.stderr[-4000:]
  assert result.stderr.count('done before, reused') == 8
  assert before and {path: path.stat().st_mtime_ns for path in before} == before


def test_unknown_profile_is_one_line(tmp_path, capsys):
  flags = ['--profile', 'demmo', '--out', str(tmp_path)]
  assert entry.run(demo.main, flags) == entry.USER_ERROR_STATUS
  (line,) = capsys.readouterr().err.splitlines()
  assert 'gin/runs/demo.gin' in line
