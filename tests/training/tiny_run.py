"""A run of the tiny trainable as a process of its own, to be killed.

  python -m tests.training.tiny_run RUN_DIR '{"total_steps": 20}'

Joins other processes if the environment names them (`parallel/start.py`). The
second argument holds fields of `LoopConfig` and, besides:

  mesh: fields of `MeshConfig`
  width: of the network; a larger one makes saves take longer
  float64: whether figures are doubles
  pause: seconds that every batch takes, to leave time for a signal
"""

import json
import os
import sys
import time

import jax
import numpy as np

from tests.training import tiny
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import start
from videopoet_jax.training import loop
from videopoet_jax.training import loop_config
from videopoet_jax.training import optimizers
from videopoet_jax.training import schedules

OPTIMIZER = optimizers.OptimizerConfig(
  learning_rate=0.05,
  schedule=schedules.ScheduleConfig(warmup_steps=2),
  weight_decay=0.01,
)


class Part:
  """Which rows of every batch this host reads."""

  index, count = 0, 1

  def read_part(self, index, count):
    Part.index, Part.count = index, count

  def rows(self, size):
    share = size // self.count
    return slice(self.index * share, (self.index + 1) * share)


class HostBatches(Part, tiny.TinyBatches):
  """This host's rows of the tiny batches."""

  pause = 0.0
  dtype = np.float32

  def batch(self, step):
    time.sleep(self.pause)
    whole = super().batch(step)
    rows = self.rows(self.size)
    return {name: x[rows].astype(self.dtype) for name, x in whole.items()}


class Validation(Part, tiny.TinyValidation):
  """This host's rows of the tiny validation batches."""

  def batches(self, unit):
    return [
      {name: x[self.rows(len(x))] for name, x in batch.items()}
      for batch in super().batches(unit)
    ]


def main(run_dir, options):
  print(f'pid {os.getpid()}', flush=True)
  start.initialize(start.from_environment())
  mesh = mesh_lib.MeshConfig(**options.pop('mesh', {}))
  width = options.pop('width', 8)
  batches = HostBatches(size=8)
  HostBatches.pause = options.pop('pause', 0.0)
  if options.pop('float64', False):
    jax.config.update('jax_enable_x64', True)
    HostBatches.dtype = np.float64
  config = {'log_every': 1, 'save_every': 2, 'tensorboard': False, **options}
  validation = Validation() if config.get('validate_every') else None
  result = loop.run(
    tiny.TinyTrainable(width=width),
    batches,
    run_dir,
    config=loop_config.LoopConfig(**config),
    optimizer=OPTIMIZER,
    mesh=mesh,
    validation=validation,
    log=lambda line: print(line, flush=True),
  )
  return 128 + result.signal if result.signal else 0


if __name__ == '__main__':
  sys.exit(main(sys.argv[1], json.loads(sys.argv[2])))
