"""Reading a checkpoint prints nothing that users cannot act on."""

import logging
import types

import jax.numpy as jnp

from videopoet_jax.checkpoints import contents
from videopoet_jax.checkpoints import export
from videopoet_jax.checkpoints import manager
from videopoet_jax.checkpoints import quiet


def test_reading_warns_of_nothing(tmp_path, caplog):
  run = manager.Manager(tmp_path, {'kind': 'toy'})
  run.save(1, {'params': {'kernel': jnp.ones((2, 3))}}, {'step': 1})
  run.close()
  logger = logging.getLogger('absl')
  before = logger.level
  with caplog.at_level(logging.WARNING):
    logger.setLevel(logging.WARNING)
    try:
      export.load_params(tmp_path, 'toy')
      contents.saved_arrays(tmp_path / 'steps/1/params')
      assert logger.level == logging.WARNING
    finally:
      logger.setLevel(before)
  assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_writes_that_end_late_say_nothing(caplog):
  quiet.saving()
  logging.getLogger('asyncio').error('Future exception was never retrieved')
  logging.getLogger('asyncio').error('Task was destroyed')
  assert [r.message for r in caplog.records] == ['Task was destroyed']
  seen = []
  hook = quiet._Hook(seen.append)
  for text in ('Event loop is closed', 'something else'):
    error = RuntimeError(text)
    hook(types.SimpleNamespace(exc_type=RuntimeError, exc_value=error))
  assert [str(raised.exc_value) for raised in seen] == ['something else']
