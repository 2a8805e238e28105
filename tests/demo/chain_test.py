"""A chain does nothing twice, and nothing with stale inputs."""

import io
import json

import pytest

from videopoet_jax.core import errors
from videopoet_jax.demo import chain
from videopoet_jax.demo import screen


class _World:
  """Stages that write one file each and remember that they ran."""

  def __init__(self, folder):
    self.folder = folder
    self.ran = []
    self.settings = {'a': 1, 'b': 1, 'c': 1}
    self.failing = ''
    self.now = 0.0
    self.stream = io.StringIO()

  @property
  def shown(self):
    return self.stream.getvalue()

  def stages(self):
    def stage(name, needs):
      def run():
        self.ran.append(name)
        self.now += 3.0
        if name == self.failing:
          raise KeyboardInterrupt
        (self.folder / f'{name}.txt').write_text('x')

      return chain.Stage(
        name, f'stage {name}', run, self.settings[name], needs, 10.0,
        (f'{name}.txt',),
      )  # fmt: skip

    return [stage('a', ()), stage('b', ()), stage('c', ('a',))]

  def run(self, only=None):
    self.ran = []
    made = chain.Chain(
      self.stages(), self.folder, screen.Screen(self.stream), lambda: self.now
    )
    return made.run(only)

  def marker(self, name):
    return json.loads((self.folder / 'stages' / f'{name}.json').read_text())


@pytest.fixture
def world(tmp_path):
  return _World(tmp_path)


def test_second_run_reuses_everything(world):
  assert [d.reused for d in world.run()] == [False] * 3
  assert world.ran == ['a', 'b', 'c']
  done = world.run()
  assert world.ran == [] and all(d.reused for d in done)


def test_changed_settings_redo_what_builds_on_them(world):
  world.run()
  world.settings['a'] = 2
  world.run()
  assert world.ran == ['a', 'c']
  assert 'settings have changed' in world.shown


def test_lost_output_is_made_again(world):
  world.run()
  (world.folder / 'b.txt').unlink()
  world.run()
  assert world.ran == ['b']


def test_interrupted_stage_runs_again_and_keeps_its_time(world):
  world.failing = 'b'
  with pytest.raises(KeyboardInterrupt):
    world.run()
  assert not world.marker('b')['finished']
  assert world.marker('b')['seconds'] == 3.0
  world.failing = ''
  done = world.run()
  assert world.ran == ['b', 'c']
  # Both of its runs count.
  assert world.marker('b')['seconds'] == 6.0
  assert [d.seconds for d in done] == [3.0, 6.0, 3.0]


def test_a_changed_stage_loses_what_it_left(world):
  world.run()
  world.settings['b'] = 2
  world.failing = 'b'
  with pytest.raises(KeyboardInterrupt):
    world.run()
  assert not (world.folder / 'b.txt').exists()


def test_damaged_marker_means_anew(world):
  world.run()
  (world.folder / 'stages' / 'c.json').write_text('{"fin')
  world.run()
  assert world.ran == ['c']


def test_only_one_stage_is_run_again(world):
  world.run()
  world.run(only='b')
  assert world.ran == ['b']


def test_unknown_stage_names_the_near_one(world):
  with pytest.raises(errors.ConfigError, match='no stage'):
    world.run(only='d')


def test_time_left_follows_the_pace(world):
  made = chain.Chain(world.stages(), world.folder)
  assert made.left(0, 4.0) == pytest.approx(26.0)
  # The first stage took twice its plan: so will the others.
  (world.folder / 'stages' / 'a.json').write_text('{"seconds": 20.0}')
  assert made.left(1, 4.0) == pytest.approx(36.0)
  assert made.left(2, 100.0) == 0


def test_folder_that_cannot_be_written(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.DataError, match='--out'):
    chain.Chain([], tmp_path / 'file' / 'below')


def test_leftovers_are_not_asked_for_but_go_with_the_outputs(tmp_path):
  def work() -> None:
    (tmp_path / 'result').write_text('x')

  def run(settings: int) -> list[chain.Done]:
    stage = chain.Stage(
      'one', 'one', work, settings, outputs=('result',), leftovers=('extra',)
    )
    return chain.Chain([stage], tmp_path).run()

  run(1)
  (tmp_path / 'extra').mkdir()
  assert run(1)[0].reused
  run(2)
  assert not (tmp_path / 'extra').exists()
