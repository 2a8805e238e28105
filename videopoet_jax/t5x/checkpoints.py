"""Conversion between checkpoints of T5X and of this project's loop.

A run of T5X here writes this project's description and tokenizers beside its
`checkpoint_<n>` folders, so that `generate` and `evaluate` can use its folder
directly. To resume in the other trainer, the whole state is written anew: both
hold the same parameters and the same flat dict of an optimizer's moments.
"""

from collections.abc import Sequence
from typing import Any

import gin
import jax
from t5x import gin_utils

from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import folders as folders_lib
from videopoet_jax.checkpoints import manager
from videopoet_jax.checkpoints import t5x_convert
from videopoet_jax.core import storage
from videopoet_jax.parallel import start
from videopoet_jax.t5x import experiment

# Entries that a checkpoint and a run that reads it must have in common.
_SAME = (
  'kind',
  'config',
  'vocabulary',
  'fingerprints',
  'text_tokenizer',
  'text_encoder',
)


@gin.register
def describe_run(model_dir: str, summary_writer: Any, step: int) -> None:
  """T5X's `summarize_config_fn`: writes its summary and our description.

  Args:
    model_dir: the run's folder.
    summary_writer: TensorBoard's writer.
    step: step that the run begins with.

  Raises:
    CheckpointError: the folder holds another model, or cannot be written.
  """
  made = experiment.current()
  folder = storage.path(model_dir)
  description = made.parts.trainable.describe()
  # Every process checks, so that all of them end on a mistake.
  t5x_convert.check_other(folder, is_t5x=True)
  if (folder / describe.FILE_NAME).exists():
    manager.check_description(folder, description)
  start.barrier('the folder of the run is looked at')
  gin_utils.summarize_gin_config(model_dir, summary_writer, step)
  if jax.process_index() == 0:
    folders_lib.copy(made.parts.folders, folder)
    describe.write_description(folder, description)


@gin.register
def checked(path: str | Sequence[str] = ()) -> str | Sequence[str]:
  """T5X's `RestoreCheckpointConfig.path`, compared with the run.

  Args:
    path: folder of a step, `runs/lm/checkpoint_1000`; () for none. If there is
      a description beside it, it must have the run's model and ids.

  Raises:
    CheckpointError: it holds another model.
  """
  if isinstance(path, str):
    folder = storage.path(path).parent
    if (folder / describe.FILE_NAME).is_file():
      description = experiment.current().parts.trainable.describe()
      manager.check_description(folder, description, _SAME)
  return path
