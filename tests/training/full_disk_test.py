"""A disk that fills up ends a run with one line; later it resumes."""

import subprocess
import sys

import numpy as np
import pytest

from tests.training import tiny
from videopoet_jax.checkpoints import export
from videopoet_jax.checkpoints import manager
from videopoet_jax.training import loop
from videopoet_jax.training import loop_config

_WIDTH = 4096
_RUN = """
import dataclasses, resource, sys
from tests.training import tiny
from videopoet_jax.core import errors
from videopoet_jax.core import entry
from videopoet_jax.training import loop, loop_config

class Batches(tiny.TinyBatches):
  def batch(self, step):
    if step == 7:  # From here on no file may grow beyond the limit.
      limits = (int(sys.argv[2]), resource.RLIM_INFINITY)
      resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    return super().batch(step)

def main(argv):
  config = loop_config.LoopConfig(
    total_steps=12, log_every=1, save_every=2, keep=1, tensorboard=False
  )
  loop.run(
    tiny.TinyTrainable(width=int(argv[2])), Batches(), argv[0],
    config=config, log=lambda line: None,
  )

sys.exit(entry.run(main, sys.argv[1:]))
"""


@pytest.mark.parametrize(
  'limit, expected',
  [(20_000, 'cannot save step'), (0, 'cannot ')],
)
def test_a_full_disk_is_one_line_and_the_run_resumes(tmp_path, limit, expected):
  found = subprocess.run(
    [
      sys.executable,
      '-c',
      _RUN,
      str(tmp_path / 'run'),
      str(limit),
      str(_WIDTH),
    ],
    capture_output=True,
    text=True,
    check=False,
    timeout=300,
  )
  assert found.returncode == 2, found.stderr
  line = found.stderr.strip().splitlines()[-1]
  assert line.startswith('CheckpointError: ') and expected in line
  assert str(tmp_path / 'run') in line and 'File too large' in line
  assert 'Traceback' not in found.stderr
  saved = manager.complete_steps(tmp_path / 'run')
  assert saved and max(saved) >= 2
  config = loop_config.LoopConfig(
    total_steps=12, log_every=1, save_every=2, keep=1, tensorboard=False
  )
  said = []
  for folder in ('run', 'whole'):
    loop.run(
      tiny.TinyTrainable(width=_WIDTH),
      tiny.TinyBatches(),
      tmp_path / folder,
      config=config,
      log=said.append,
    )
  assert any(f'after step {max(saved)}' in line for line in said)
  assert not any('damaged' in line for line in said)
  resumed = export.load_params(tmp_path / 'run')[1]
  whole = export.load_params(tmp_path / 'whole')[1]
  np.testing.assert_array_equal(resumed['up'], whole['up'])
