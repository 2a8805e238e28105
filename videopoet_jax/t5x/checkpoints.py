"""Checkpoints of T5X and of this project's loop, each made of the other.

A run of T5X here writes this project's description and tokenizers beside its
`checkpoint_<n>` folders, so that `generate` and `evaluate` serve its folder as
it is. To go on in the other trainer, the whole state is written anew: both
hold the same parameters and the same flat dict of an optimizer's moments.
"""

import os
from typing import Any

import gin
import jax
from t5x import gin_utils

from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import manager
from videopoet_jax.core import storage
from videopoet_jax.jobs import train as train_job
from videopoet_jax.t5x import experiment


@gin.register
def describe_run(model_dir: str, summary_writer: Any, step: int) -> None:
  """T5X's `summarize_config_fn`: its own, and what this project reads.

  Args:
    model_dir: of the run.
    summary_writer: of TensorBoard.
    step: that the run begins with.

  Raises:
    CheckpointError: the folder is of another model, or cannot be written.
  """
  gin_utils.summarize_gin_config(model_dir, summary_writer, step)
  if jax.process_index() == 0:
    write_description(model_dir)


def write_description(directory: str | os.PathLike[str]) -> None:
  """Writes `checkpoint.json` of the current run and the folders beside it.

  Args:
    directory: of a run.

  Raises:
    CheckpointError: it is of another model, or cannot be written.
  """
  made = experiment.current()
  folder = storage.path(directory)
  description = made.parts.trainable.describe()
  if (folder / describe.FILE_NAME).exists():
    manager.check_description(folder, description)
  train_job.copy_folders(made.parts.folders, folder)
  describe.write_description(folder, description)
