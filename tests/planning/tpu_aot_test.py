"""Plans compiled for TPUs (`pytest -m tpu_aot`): minutes, and libtpu.

They run the command, as the environment has to be set before JAX starts.
"""

import gzip
import importlib.util
import json
import os
import subprocess
import sys

import pytest

from videopoet_jax.core import tasks
from videopoet_jax.planning import hlo

pytestmark = [
  pytest.mark.tpu_aot,
  pytest.mark.skipif(
    importlib.util.find_spec('libtpu') is None,
    reason='libtpu is not installed: pip install videopoet_jax[tpu]',
  ),
]
_LAYOUT = 'text_to_video/17x128x128'
# Settings of `tests/conftest.py` that a plan would compile with.
_OF_TESTS = ('XLA_FLAGS', 'JAX_PLATFORMS', 'JAX_DISABLE_MOST_OPTIMIZATIONS')


@pytest.fixture(autouse=True)
def _asked_for(request):
  if 'tpu_aot' not in request.config.option.markexpr:
    pytest.skip('minutes of compiling: pytest -m tpu_aot')


def _plan(tmp_path, *flags):
  environment = {
    name: value for name, value in os.environ.items() if name not in _OF_TESTS
  }
  run = subprocess.run(
    [sys.executable, '-m', 'videopoet_jax.jobs.plan', '--json', *flags]
    + ['--cache_dir', str(tmp_path)],
    capture_output=True,
    text=True,
    env=environment,
    timeout=3600,
    check=False,
  )
  assert run.returncode == 0, run.stderr[-2000:]
  return json.loads(run.stdout)


def test_8b_fits_64_v5p_chips(tmp_path):
  shown = _plan(
    tmp_path, '--model', '8b', '--topology', 'v5p:4x4x4', '--layout', _LAYOUT,
    '--remat', 'full', '--batch_per_chip', '4',
  )  # fmt: skip
  found = shown['layouts'][_LAYOUT]
  assert shown['fits']
  assert found['per_chip']['peak_bytes'] < found['per_chip']['hbm_bytes']
  assert 0.3 < found['mfu'] < 1.0
  # Nothing is computed but the model's work and what remat asks for.
  allowed = found['model_flops'] + found['recomputed_flops']
  assert found['hlo_flops'] <= 1.03 * allowed


def test_nothing_as_large_as_all_logits_exists(tmp_path):
  _plan(
    tmp_path, '--model', '8b', '--topology', 'v5p:4x4x4', '--layout', _LAYOUT,
    '--mesh', 'data=4,fsdp=16', '--batch_per_chip', '4',
  )  # fmt: skip
  layout = tasks.LayoutSpace().layout(_LAYOUT)
  # A chip's share of the logits of all target positions, if it had all ids.
  limit = 4 * layout.target_length * layout.vocabulary.visual_size
  for path in tmp_path.iterdir():
    with gzip.open(path, 'rt') as file:
      module = hlo.parse(json.load(file)['text'])
    for _, instruction in module.walk():
      for array in instruction.arrays:
        assert array.elements < limit, instruction.name
        if instruction.opcode == 'all-gather':
          assert layout.vocabulary.visual_size not in array.shape


def test_the_papers_clips_decode_in_half_a_second(tmp_path):
  (found,) = _plan(
    tmp_path, '--model', 'visual_tokenizer', '--program', 'decode',
    '--topology', 'v5p:2x2x1',
    "--gin.VisualTokenizerConfig.convolution='native'",
  )  # fmt: skip
  assert found['fits'] and found['batch'] == 4
  assert found['estimated_seconds'] < 0.5
  # Nothing is computed but the model's work.
  assert found['hlo_flops'] == pytest.approx(found['model_flops'], rel=0.05)


def test_1b_fits_8_v5e_chips(tmp_path):
  shown = _plan(
    tmp_path, '--model', '1b', '--topology', 'v5e:2x4', '--layout', _LAYOUT
  )
  assert shown['fits']
  found = shown['layouts'][_LAYOUT]
  # Loops that pass weights from chip to chip, which are unrolled here, do what
  # whole products would: counted in single steps they come to half as much
  # again.
  allowed = found['model_flops'] + found['recomputed_flops']
  assert 0.9 < found['hlo_flops'] / allowed < 1.1
