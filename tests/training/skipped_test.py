"""Steps that are not finite: when a run ends, and the rate that is logged."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.training import tiny
from videopoet_jax.training import loop
from videopoet_jax.training import loop_config
from videopoet_jax.training import metrics
from videopoet_jax.training import optimizers
from videopoet_jax.training import schedules

_CONFIG = loop_config.LoopConfig(
  total_steps=6,
  log_every=1,
  save_every=6,
  tensorboard=False,
  compile_ahead=False,
)


@dataclasses.dataclass(frozen=True)
class _Asked(tiny.TinyBatches):
  """Notes which steps are asked for."""

  asked: list[int] = dataclasses.field(default_factory=list)

  def batch(self, step):
    self.asked.append(step)
    return super().batch(step)


def test_a_run_ends_a_few_steps_after_too_many_were_skipped(tmp_path):
  config = dataclasses.replace(
    _CONFIG, total_steps=60, log_every=60, save_every=60, max_skipped_in_a_row=3
  )
  batches = _Asked(bad=tuple(range(3, 60)))
  with pytest.raises(FloatingPointError, match='3 steps .* at step 5 of'):
    loop.run(
      tiny.TinyTrainable(), batches, tmp_path, config=config, log=lambda _: None
    )
  # Four steps later at most, and a few that are read ahead.
  assert max(batches.asked) <= 5 + 4 + 4
  # The batch is that of the step at which the number was reached.
  dump = np.load(tmp_path / 'not_finite_6.npz')
  assert dump['unit'] == 'b/large' and dump['step'] == 5
  np.testing.assert_array_equal(dump['inputs'], batches.batch(5)['inputs'])


@pytest.mark.parametrize('schedule', schedules.SCHEDULES)
@pytest.mark.parametrize('name', optimizers.OPTIMIZERS)
@pytest.mark.parametrize('bad', [(1, 2), (1, 5)])
def test_the_logged_rate_is_the_one_the_optimizer_used(
  tmp_path, name, schedule, bad
):
  optimizer = optimizers.OptimizerConfig(
    name=name,
    schedule=schedules.ScheduleConfig(
      name=schedule, warmup_steps=3, decay_share=0.5
    ),
  )
  result = loop.run(
    tiny.TinyTrainable(),
    tiny.TinyBatches(bad=bad),
    tmp_path,
    config=_CONFIG,
    optimizer=optimizer,
    log=lambda _: None,
  )
  # The optimizer's own counters of its updates.
  counts = {
    int(leaf)
    for path, leaf in jax.tree_util.tree_leaves_with_path(
      result.state.optimizer
    )
    if 'count' in jax.tree_util.keystr(path) and leaf.ndim == 0
  }
  assert counts == {4}
  rate = schedules.create(optimizer.schedule, optimizer.learning_rate, 6)
  expected, count = [], 0
  for step in range(6):
    expected.append(float(rate(count)))
    count += step not in bad
  logged = [
    record['learning_rate']
    for record in metrics.read(tmp_path / metrics.FILE_NAME)
    if 'learning_rate' in record
  ]
  np.testing.assert_allclose(logged[:6], expected, rtol=1e-6)
