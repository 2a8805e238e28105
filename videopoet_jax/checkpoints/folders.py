"""Names of the folders that stand beside a model's parameters.

Training copies there what the model was trained with, and generation opens it:
a checkpoint needs nothing else.
"""

import os
import pathlib

from videopoet_jax.checkpoints import describe
from videopoet_jax.core import storage

VISUAL = 'visual_tokenizer'
AUDIO = 'audio_tokenizer'
# Of super-resolution's condition, where it is another than that of the result.
LOW_VISUAL = 'low_tokenizer'
TEXT = 'text'
TEXT_ENCODER = 'text_encoder'
# The frozen model of a run that trains low-rank adapters.
BASE = 'base'


def within(directory: str | os.PathLike[str], *names: str) -> pathlib.Path:
  """A folder, or the first of some folders that stands in it.

  So that a tokenizer may be given by its own folder or by that of a checkpoint
  which it travels with.

  Args:
    directory: a tokenizer's folder or a checkpoint's.
    *names: such as `VISUAL`.
  """
  folder = storage.path(directory)
  for name in names:
    if (folder / name / describe.FILE_NAME).is_file():
      return folder / name
  return folder
