"""Names of the folders that stand beside a model's parameters.

Training copies there the tokenizers that the model was trained with, and
generation opens them: a checkpoint needs nothing else.
"""

from collections.abc import Mapping
import os
import pathlib
from typing import Protocol, runtime_checkable

from videopoet_jax.checkpoints import describe
from videopoet_jax.core import errors
from videopoet_jax.core import storage

VISUAL = 'visual_tokenizer'
AUDIO = 'audio_tokenizer'
# The tokenizer of super-resolution's condition, if another than the result's.
LOW_VISUAL = 'low_tokenizer'
TEXT = 'text'
TEXT_ENCODER = 'text_encoder'
# The frozen model of a run that trains low-rank adapters.
BASE = 'base'


@runtime_checkable
class Saveable(Protocol):
  """What writes its folder itself."""

  def save(self, directory: str | os.PathLike[str]) -> None:
    """Writes a folder; CheckpointError if it cannot be written."""


def within(directory: pathlib.Path, *names: str) -> pathlib.Path:
  """Finds a folder, or the first of the named folders inside it.

  A tokenizer may thus be given by its own folder or by that of a checkpoint
  which contains it.

  Args:
    directory: a tokenizer's folder or a checkpoint's.
    *names: names of folders such as `VISUAL`.
  """
  for name in names:
    if (directory / name / describe.FILE_NAME).is_file():
      return directory / name
  return directory


def copy(
  folders: Mapping[str, str | os.PathLike[str] | Saveable],
  run_dir: pathlib.Path,
) -> None:
  """Puts tokenizers beside the checkpoints.

  Args:
    folders: folders to copy or objects with `save(directory)`, by name.
    run_dir: the run's folder, which receives them.

  Raises:
    CheckpointError: it cannot be written.
  """
  try:
    run_dir.mkdir(parents=True, exist_ok=True)
    for name, origin in folders.items():
      if isinstance(origin, Saveable):
        origin.save(run_dir / name)
      elif storage.path(origin).resolve() != (run_dir / name).resolve():
        storage.copy_folder(origin, run_dir / name)
  except OSError as error:
    raise errors.CheckpointError(
      f'cannot write the run folder {run_dir}: {storage.failure(error)}; make '
      'room, or give a --run_dir that can be written'
    ) from error
