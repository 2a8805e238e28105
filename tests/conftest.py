"""The test environment: eight fake devices, strict shapes, fixed seeds.

The environment variables have to be set before JAX is imported, hence here and
not in a fixture.
"""

from collections.abc import Iterator
import os
import pathlib
import random
import sys

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_CACHE = pathlib.Path(
  os.environ.get('JAX_COMPILATION_CACHE_DIR') or _ROOT / '.cache' / 'jax'
)

# Tests never use an accelerator: they compare bit for bit and count devices.
os.environ['JAX_PLATFORMS'] = 'cpu'
_DEVICES = '--xla_force_host_platform_device_count=8'
if _DEVICES not in os.environ.get('XLA_FLAGS', ''):
  os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {_DEVICES}'
# A job started by a test inherits the cache.
os.environ['JAX_COMPILATION_CACHE_DIR'] = str(_CACHE)
# Without a cache two thirds of the suite's time are compilation, and the
# programs are too small to gain from LLVM's costly passes. XLA's own passes all
# run; with 0 in the environment, tests compile as users do.
os.environ.setdefault('JAX_DISABLE_MOST_OPTIMIZATIONS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('MPLBACKEND', 'agg')
# As `evaluation.networks.pytorch` does, for tests that import torch themselves.
sys.modules.setdefault('triton', None)  # type: ignore[arg-type]

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

from videopoet_jax.core import tensorflow_notices  # noqa: E402

# Before a test imports TensorFlow by itself: its notices would go to whichever
# test reads standard error when they come.
tensorflow_notices.install()
jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_compilation_cache_dir', str(_CACHE))
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.3)


@pytest.fixture(autouse=True)
def _seeds() -> None:
  """Fixes what a test draws from global generators, whatever ran before."""
  random.seed(0)
  np.random.seed(0)  # noqa: NPY002 (others' code may draw from it)


@pytest.fixture
def clean_registries() -> Iterator[None]:
  """No test sees another's gin bindings or SeqIO tasks."""
  import gin

  from videopoet_jax.data import registry

  def clean() -> None:
    gin.clear_config()
    registry.reset()
    # Where nothing imported it, nothing is registered by it.
    layout_tasks = sys.modules.get('videopoet_jax.data.layout_tasks')
    if layout_tasks is not None:
      layout_tasks.reset()

  clean()
  yield
  clean()


@pytest.fixture(scope='session')
def repository() -> pathlib.Path:
  """The root of the clone."""
  return _ROOT
