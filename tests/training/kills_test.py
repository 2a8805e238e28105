"""Killed runs go on as if nothing had happened, bit for bit."""

import collections
import random

import numpy as np
import pytest

from tests.preparation import token_set
from tests.training import processes
from videopoet_jax.checkpoints import export
from videopoet_jax.checkpoints import manager

# Large enough that a save takes a while, and the pause that a kill meets steps.
_OPTIONS = {'total_steps': 60, 'save_every': 2, 'ema_decay': 0.9, 'width': 4096}


def _params(run_dir):
  return export.load_params(run_dir)[1]


def _endure(start, run_dir, whole, kills, seed, most):
  """Kills a run again and again and lets it end.

  Args:
    start: starts the run in a folder.
    run_dir: the folder.
    whole: losses of an uninterrupted run.
    kills: how often.
    seed: of the moments.
    most: steps that a start does before it is killed.

  Returns:
    How often what was met.
  """
  draw = random.Random(seed)
  met = collections.Counter()
  for number in range(kills):
    process = start(run_dir)
    printed = ''
    for _ in range(draw.randint(most // 2, most)):
      printed += processes.read_until(process, r'step \d+/')
    met['resumed'] += 'resuming' in printed
    if number % 2 == 0:
      met['during a save'] += processes.kill_during_save(process, run_dir)
    else:
      processes.kill_later(process, draw.uniform(0.0, 0.3))
    met['kills'] += 1
    processes.assert_begins_like(processes.losses(run_dir), whole)
  printed = processes.finish(start(run_dir))
  met['resumed'] += 'resuming' in printed
  met['redone'] = 'logged steps were done again' in printed
  assert processes.losses(run_dir) == whole
  assert not manager.unfinished_steps(run_dir)
  assert len(manager.complete_steps(run_dir)) <= 2
  return met


@pytest.fixture(scope='module', name='tiny_run')
def _tiny_run(tmp_path_factory):
  """An uninterrupted run: its folder and losses."""
  folder = tmp_path_factory.mktemp('whole') / 'run'
  processes.finish(processes.tiny(folder, **_OPTIONS))
  whole = processes.losses(folder)
  assert len(whole) == _OPTIONS['total_steps']
  return folder, whole


def _check_tiny(tmp_path, tiny_run, kills, seed):
  folder, whole = tiny_run
  met = _endure(
    lambda run_dir: processes.tiny(run_dir, pause=0.05, **_OPTIONS),
    tmp_path / 'run',
    whole,
    kills,
    seed,
    most=10,
  )
  for name, array in _params(folder).items():
    np.testing.assert_array_equal(array, _params(tmp_path / 'run')[name])
  return met


def test_two_kills(tmp_path, tiny_run):
  met = _check_tiny(tmp_path, tiny_run, kills=2, seed=0)
  assert met['kills'] == 2
  assert met['during a save'] == 1
  assert met['resumed'] >= 1


@pytest.mark.kill
def test_two_uninterrupted_runs_are_equal(tmp_path, tiny_run):
  processes.finish(processes.tiny(tmp_path / 'second', **_OPTIONS))
  assert processes.losses(tmp_path / 'second') == tiny_run[1]


@pytest.mark.kill
@pytest.mark.parametrize('seed', range(1, 5))
def test_sixteen_kills_of_the_tiny_trainable(tmp_path, tiny_run, seed):
  met = _check_tiny(tmp_path, tiny_run, kills=4, seed=seed)
  print(f'\ntiny, seed {seed}: {dict(met)}')
  assert met['during a save'] >= 1
  assert met['resumed'] >= 1


@pytest.mark.kill
def test_four_kills_of_the_language_model(tmp_path, tmp_path_factory):
  tokens = token_set.write(tmp_path_factory.mktemp('data') / 'tokens')
  flags = token_set.train_flags(tokens, steps=40)

  def start(run_dir):
    return processes.start(
      ['videopoet_jax.jobs.train', *flags, '--run_dir', str(run_dir)]
    )

  processes.finish(start(tmp_path / 'whole'))
  whole = processes.losses(tmp_path / 'whole')
  assert len(whole) == 40
  met = _endure(start, tmp_path / 'run', whole, kills=4, seed=9, most=8)
  print(f'\nlanguage model: {dict(met)}')
