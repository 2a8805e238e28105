"""The import of PyTorch beside what else is in the process."""

import subprocess
import sys

from videopoet_jax.evaluation.networks import pytorch


def test_triton_is_not_loaded_beside_tensorflow(tmp_path):
  # The real one ends a process that has TensorFlow in it by a signal.
  (tmp_path / 'triton.py').write_text('import os\nos._exit(139)\n')
  program = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from {pytorch.__name__.rpartition('.')[0]} import pytorch
pytorch.imported('json')
try:
  import triton
except ImportError:
  print('not found')
"""
  done = subprocess.run(
    [sys.executable, '-c', program],
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  assert (done.returncode, done.stdout) == (0, 'not found\n'), done.stderr
