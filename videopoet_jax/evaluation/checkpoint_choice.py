"""Which checkpoints an evaluation is of: of a folder, one step or all."""

from collections.abc import Sequence
import dataclasses
import hashlib
import os
import pathlib

from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import export
from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.models.prefix_lm import description

# Files of this size and less count by their content: descriptions, and the
# metadata that says when a step was saved. Of larger ones the size counts.
_SMALL = 2**16


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """One checkpoint.

  Attributes:
    folder: of the language model.
    step: of training; None for a folder of parameters alone.
    fingerprint: of its files, 16 hexadecimal digits.
  """

  folder: pathlib.Path
  step: int | None
  fingerprint: str

  @property
  def key(self) -> str:
    """Name of the folder of its evaluation."""
    step = 'params' if self.step is None else f'{self.step:08d}'
    name = self.folder.absolute().name
    if name == description.KIND:  # A demo's folder in a folder.
      name = self.folder.absolute().parent.name
    return f'{name}_{step}_{self.fingerprint[:8]}'


def home(directory: str | os.PathLike[str]) -> pathlib.Path:
  """The folder that holds the language model of a run or of a demo."""
  folder = storage.path(directory)
  inner = folder / description.KIND
  return inner if (inner / describe.FILE_NAME).is_file() else folder


def find(
  directory: str | os.PathLike[str], step: int | None = None
) -> Checkpoint:
  """A checkpoint of a folder.

  Args:
    directory: a run's or an exported folder.
    step: the newest unless given.

  Raises:
    CheckpointError: there is none, or it is of another kind.
  """
  folder = home(directory)
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
  directories: Sequence[str | os.PathLike[str]], all_steps: bool = False
) -> list[Checkpoint]:
  """The newest checkpoint of each folder, or all that are on disk."""
  found = []
  for directory in directories:
    steps = export.saved_steps(home(directory)) if all_steps else []
    if steps:
      found += [find(directory, step) for step in steps]
    else:
      found.append(find(directory))
  return found


def _fingerprint(folder: pathlib.Path, inner: pathlib.Path) -> str:
  """Of the description and of all files of a step."""
  digest = hashlib.sha256((folder / describe.FILE_NAME).read_bytes())
  for path in storage.files(inner):
    size = storage.size(path)
    content = path.read_bytes() if size <= _SMALL else b''
    name = path.relative_to(inner).as_posix()
    digest.update(f'{name} {size}'.encode() + content)
  return digest.hexdigest()[:16]
