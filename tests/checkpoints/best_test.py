"""The best checkpoint stays, whatever comes after it."""

import dataclasses

import jax
import pytest

from tests.training import tiny
from videopoet_jax.checkpoints import best
from videopoet_jax.checkpoints import export
from videopoet_jax.checkpoints import manager
from videopoet_jax.core import errors
from videopoet_jax.training import loop
from videopoet_jax.training import loop_config
from videopoet_jax.training import optimizers

_LOSS = 'validation/loss'
_TREE = {'params': {'kernel': jax.numpy.ones(3)}}


def _save(directory, losses, **options):
  checkpoints = manager.Manager(
    directory, {'kind': 'toy'}, keep=1, best=best.Best(_LOSS, **options)
  )
  for step, loss in losses.items():
    scores = {} if loss is None else {_LOSS: loss}
    checkpoints.save(step, _TREE, {}, scores)
  checkpoints.close()
  return manager.complete_steps(directory)


def test_the_best_step_stays_over_resumes(tmp_path):
  assert _save(tmp_path, {1: 3.0, 2: 1.0, 3: None, 4: 2.0}) == [2, 4]
  assert best.saved_scores(tmp_path / 'steps/2') == {_LOSS: 1.0}
  assert best.saved_scores(tmp_path / 'steps/4') == {_LOSS: 2.0}
  assert _save(tmp_path, {5: 1.5, 6: None}) == [2, 6]
  assert _save(tmp_path, {7: 0.5, 8: None}) == [7, 8]
  assert export.best_step(tmp_path, _LOSS) == 7


def test_more_may_be_better(tmp_path):
  assert _save(tmp_path, {1: 1.0, 2: 3.0, 3: 2.0}, highest=True) == [2, 3]
  assert export.best_step(tmp_path, _LOSS, highest=True) == 2


def test_a_figure_that_is_not_there_is_named():
  with pytest.raises(errors.ConfigError, match="'validation/los'.*loss"):
    best.Best('validation/los').is_best({_LOSS: 1.0})


class _Worsening(tiny.TinyValidation):
  """Better until the second time, then worse."""

  def __init__(self):
    self.times = 0

  def units(self):
    return ('a/small',)

  def batches(self, unit):
    self.times += 1
    (batch, *_) = super().batches(unit)
    scale = 1.0 if self.times == 2 else 10.0
    return [{**batch, 'targets': batch['targets'] * scale}]


def test_the_loop_saves_and_keeps_the_best(tmp_path):
  config = loop_config.LoopConfig(
    total_steps=9, log_every=3, save_every=9, validate_every=2, keep=1,
    keep_best=_LOSS, tensorboard=False,
  )  # fmt: skip
  loop.run(
    tiny.TinyTrainable(),
    tiny.TinyBatches(),
    tmp_path,
    config=config,
    optimizer=optimizers.OptimizerConfig(learning_rate=1e-6),
    validation=_Worsening(),
    devices=jax.devices()[:1],
    log=lambda line: None,
  )
  # Saved at 2 since it is the first, at 4 since it is better, not at 6.
  assert manager.complete_steps(tmp_path) == [4, 9]
  params = export.load_params(tmp_path, step=4)[1]
  assert set(params) == {'up', 'down'}
  with pytest.raises(errors.CheckpointError, match=r'no step 5.*4, 9'):
    export.load_params(tmp_path, step=5)
  with pytest.raises(errors.ConfigError, match='validate_every is 0'):
    dataclasses.replace(config, validate_every=0)
