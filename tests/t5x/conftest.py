"""T5X is on no package index: without it these tests are skipped."""

from collections.abc import Iterator
import contextlib

import pytest

from videopoet_jax.core import errors
from videopoet_jax.data import layout_tasks
from videopoet_jax.t5x import experiment
from videopoet_jax.t5x import shims

with contextlib.suppress(errors.ConfigError):
  shims.install()


@pytest.fixture(autouse=True)
def _always_clean(clean_registries) -> Iterator[None]:
  """Every test here binds gin and registers tasks."""
  yield
  experiment.current.cache_clear()
  layout_tasks.reset()
