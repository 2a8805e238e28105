"""The whole chain at a size that learns nothing, from the command line."""

import json

import pytest

from tests.integration import job_process
from videopoet_jax.data.shapes import config as shapes_config
from videopoet_jax.evaluation import held_out
from videopoet_jax.evaluation import measures
from videopoet_jax.evaluation import scoreboard
from videopoet_jax.inference import generator
from videopoet_jax.jobs import demo_profile

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
  for task in measures.TASKS:
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
  assert all(f'id="{task}"' in page for task in measures.TASKS)


def test_folder_is_a_checkpoint_for_generation(finished):
  out, _ = finished
  opened = generator.Generator.load(out)
  profile = demo_profile.DemoProfile(
    scored={'future_prediction': 'condition=3'}
  )
  for task in measures.TASKS:
    opened.layout(profile.layout_name(task, (17, 32, 32)))
  clips = held_out.draw(shapes_config.ShapesConfig.of_level('easy'), 2)
  made = opened.generate('text_to_image/1x32x32', {'text': clips.captions})
  assert made.video_BTHWC.shape == (2, 1, 32, 32, 3)


@pytest.mark.usefixtures('clean_registries')
def test_evaluate_finds_the_same_rows(finished, tmp_path):
  out, _ = finished
  tasks = measures.TASKS[:2]  # A task's place is part of its seed.
  drawn = demo_profile.load('demo').sampling
  some = {name: drawn[name] for name in ('default', *tasks)}
  scoped = ', '.join(f'@{task}/EvaluationTask()' for task in tasks)
  result = job_process.run(
    'evaluate',
    *('--protocol', 'shapes_easy_scoreboard', '--checkpoint', str(out)),
    *('--out', str(tmp_path), '--batch_size', '16'),
    f'--gin.Protocol.tasks=[{scoped}]',
    f'--gin.Protocol.sampling={some}',
    '--gin.EvaluationTask.samples=16',
    '--gin.unconditional/EvaluationTask.samples=16',
  )
  assert result.returncode == 0, result.stderr[-4000:]
  rows = json.loads((out / 'metrics.json').read_text())['tasks']
  lines = (tmp_path / 'results.jsonl').read_text().splitlines()
  found = {one['task']: one for one in map(json.loads, lines)}
  for task in tasks:
    assert found[task]['detail'] == rows[task]
    assert found[task]['value'] == rows[task]['value']


def test_second_run_reuses_every_stage(finished):
  out, _ = finished
  before = {
    path: path.stat().st_mtime_ns for path in (out / 'samples').iterdir()
  }
  result = _demo('--profile', 'smoke', '--out', str(out))
  assert result.returncode == 0, result.stderr[-4000:]
  assert result.stdout.count('done before, reused') == 9
  assert {path: path.stat().st_mtime_ns for path in before} == before


def test_unknown_profile_is_one_line(tmp_path):
  result = _demo('--profile', 'demmo', '--out', str(tmp_path))
  assert result.returncode == 2
  assert 'gin/runs/demo.gin' in result.stderr
  assert 'Traceback' not in result.stderr
