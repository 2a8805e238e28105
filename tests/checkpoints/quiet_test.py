"""Reading a checkpoint says nothing that nobody can do anything about."""

import logging

import jax.numpy as jnp

from videopoet_jax.checkpoints import contents
from videopoet_jax.checkpoints import export
from videopoet_jax.checkpoints import manager


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
