"""Importing what stands on TensorFlow prints nothing; other lines stay."""

import os
import pathlib
import subprocess
import sys

import pytest

from videopoet_jax.core import tensorflow_notices


@pytest.mark.slow
def test_importing_data_prints_nothing():
  code = 'import videopoet_jax.data.registry'
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert (done.stdout, done.stderr) == ('', '')


def test_a_library_may_ask_for_tensorflow_before(tmp_path):
  (tmp_path / 'tensorflow.py').write_text(
    'import os, types\n'
    "os.write(2, b'I0000 00:00:17 a notice\\n')\n"
    'config = types.SimpleNamespace(set_visible_devices=print)\n'
  )
  code = (
    'import importlib.util, sys\n'
    'from videopoet_jax.core import tensorflow_notices\n'
    'before = len(sys.meta_path)\n'
    'tensorflow_notices.install()\n'
    'tensorflow_notices.install()\n'
    'assert importlib.util.find_spec("tensorflow") is not None\n'
    'import tensorflow\n'
    'assert len(sys.meta_path) == before'
  )
  root = pathlib.Path(__file__).parents[2]
  path = os.pathsep.join([str(tmp_path), str(root)])
  done = subprocess.run(
    [sys.executable, '-c', code],
    capture_output=True,
    text=True,
    check=True,
    env={**os.environ, 'PYTHONPATH': path},
  )
  assert (done.stdout, done.stderr) == ('[] GPU\n', '')


def test_other_lines_stay(capfd):
  with tensorflow_notices.without_notices():
    os.write(2, b'I0000 00:00:17 port.cc:153] oneDNN\nout of memory\n')
  assert capfd.readouterr().err == 'out of memory\n'


def test_an_error_inside_passes_with_what_was_written(capfd):
  with pytest.raises(ImportError), tensorflow_notices.without_notices():
    os.write(2, b'libcuda is broken\n')
    raise ImportError('no TensorFlow')
  assert capfd.readouterr().err == 'libcuda is broken\n'
