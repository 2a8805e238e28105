"""Chooses the checkpoints to evaluate: one step of a folder, or all."""

from collections.abc import Sequence
import dataclasses
import hashlib
import pathlib

from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import export
from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.models.prefix_lm import description

# Files up to this size are hashed by content: descriptions, and the metadata
# that
# records when a step was saved. Larger ones are hashed by size.
_SMALL = 2**16


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """One checkpoint.

  Attributes:
    folder: folder of the language model.
    step: step of training; None for a folder of parameters alone.
    fingerprint: hash of its files, 16 hexadecimal digits.
  """

  folder: pathlib.Path
  step: int | None
  fingerprint: str

  @property
  def key(self) -> str:
    """Name of the folder of its evaluation."""
    step = 'params' if self.step is None else f'{self.step:08d}'
    return f'{self.folder.absolute().name}_{step}_{self.fingerprint[:8]}'


def find(folder: pathlib.Path, step: int | None = None) -> Checkpoint:
  """Finds a checkpoint in a folder.

  Args:
    folder: folder of a run or an export.
    step: step to take; the newest unless given.

  Raises:
    CheckpointError: there is none, or it has another kind.
  """
  describe.read_description(folder, description.KIND)
  steps = export.saved_steps(folder)
  if step is not None and step not in steps:
    raise errors.CheckpointError(
      f'{folder} has no step {step}; it has {", ".join(map(str, steps))}.'
    )
  if steps:
    step = steps[-1] if step is None else step
    inner = export.step_folder(folder, step)
  else:
    inner = folder / export.PARAMS
    if not inner.is_dir():
      raise errors.CheckpointError(
        f'{folder} has no finished step; train until the first save, or give '
        'another --checkpoint.'
      )
  return Checkpoint(folder, step, _fingerprint(folder, inner))


def find_all(
  folders: Sequence[pathlib.Path], all_steps: bool = False
) -> list[Checkpoint]:
  """Finds the newest checkpoint of each folder, or all that are on disk."""
  found = []
  for folder in folders:
    steps = export.saved_steps(folder) if all_steps else []
    if steps:
      found += [find(folder, step) for step in steps]
    else:
      found.append(find(folder))
  return found


def _fingerprint(folder: pathlib.Path, inner: pathlib.Path) -> str:
  """Hash of the description and of all files of a step."""
  digest = hashlib.sha256((folder / describe.FILE_NAME).read_bytes())
  for path in storage.files(inner):
    size = storage.size(path)
    content = path.read_bytes() if size <= _SMALL else b''
    name = path.relative_to(inner).as_posix()
    digest.update(f'{name} {size}'.encode() + content)
  return digest.hexdigest()[:16]
