"""Chooses the checkpoints to evaluate: one step of a folder, or all."""

from collections.abc import Sequence
import dataclasses
import hashlib
import pathlib

from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import opened as opened_lib
from videopoet_jax.core import storage
from videopoet_jax.models.prefix_lm import description

# Files up to this size are hashed by content: descriptions, and the metadata
# that records when a step was saved. Larger ones are hashed by size.
_SMALL = 2**16


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """One checkpoint.

  Attributes:
    opened: folder of the language model.
    step: step of training; None for a folder of parameters alone.
    fingerprint: hash of its files, 16 hexadecimal digits.
  """

  opened: opened_lib.Opened
  step: int | None
  fingerprint: str

  @property
  def folder(self) -> pathlib.Path:
    """Folder of the language model, an absolute path."""
    return self.opened.directory

  @property
  def key(self) -> str:
    """Name of the folder of its evaluation."""
    step = 'params' if self.step is None else f'{self.step:08d}'
    return f'{self.folder.name}_{step}_{self.fingerprint[:8]}'


def find(folder: pathlib.Path, step: int | None = None) -> Checkpoint:
  """Finds a checkpoint in a folder.

  Args:
    folder: absolute path of a run or an export.
    step: step to take; the newest unless given.

  Raises:
    CheckpointError: there is none, or it has another kind.
  """
  return _choose(opened_lib.open_folder(folder, description.KIND), step)


def find_all(
  folders: Sequence[pathlib.Path], all_steps: bool = False
) -> list[Checkpoint]:
  """Finds the newest checkpoint of each folder, or all that are on disk."""
  found = []
  for folder in folders:
    opened = opened_lib.open_folder(folder, description.KIND)
    steps = opened.steps if all_steps else ()
    found += [_choose(opened, step) for step in steps or (None,)]
  return found


def _choose(opened: opened_lib.Opened, step: int | None) -> Checkpoint:
  chosen = opened.choose(step)
  inner = opened.step_folder(chosen)
  return Checkpoint(opened, chosen, _fingerprint(opened.directory, inner))


def _fingerprint(folder: pathlib.Path, inner: pathlib.Path) -> str:
  """Hash of the description and of all files of a step."""
  digest = hashlib.sha256((folder / describe.FILE_NAME).read_bytes())
  for path in storage.files(inner):
    size = storage.size(path)
    content = path.read_bytes() if size <= _SMALL else b''
    name = path.relative_to(inner).as_posix()
    digest.update(f'{name} {size}'.encode() + content)
  return digest.hexdigest()[:16]
