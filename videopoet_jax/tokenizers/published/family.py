"""What an import needs to know of a family of published tokenizers."""

from collections.abc import Callable, Mapping
import dataclasses
import pathlib
import re
from typing import Any

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.tokenizers.published import visual

State = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Family:
  """One family.

  Attributes:
    bundle: the class of its tokenizers.
    prefixes: prefixes of the keys that belong to the tokenizer; other keys of a
      checkpoint (losses, discriminators, optimizers) are left out.
    settings: fields of the config that the arrays do not tell and `--set` may
      give, with what they are.
    infer: function from arrays, settings and the file's path to a config.
    files: names of the files that make up a tokenizer in a folder; each entry
      is one way, several files are read together.
    unused: whether a key belongs to a part that the network does not use.
  """

  bundle: type[visual.PublishedTokenizer]
  prefixes: tuple[str, ...]
  settings: Mapping[str, str]
  infer: Callable[[State, Mapping[str, Any], pathlib.Path], Any]
  files: tuple[tuple[str, ...], ...] = ()
  unused: Callable[[str], bool] = lambda key: False


def shape(state: State, key: str, what: str) -> tuple[int, ...]:
  """Returns the shape of an array that every checkpoint of a family has.

  Args:
    state: arrays by key.
    key: its key.
    what: name of the family, for the message.

  Raises:
    CheckpointError: it is missing.
  """
  if key not in state:
    hint = errors.near_names(key, state) if len(state) < 1000 else ''
    raise errors.CheckpointError(
      f'these are not the weights of {what}: {key} is missing{hint}.'
    )
  return tuple(state[key].shape)


def count(state: State, pattern: str) -> int:
  """Number of different values of a pattern's group, a number, in keys."""
  found = (re.match(pattern, key) for key in state)
  return len({int(match.group(1)) for match in found if match})


def numbers(state: State, pattern: str) -> tuple[int, ...]:
  """Different values of a pattern's group, a number, in keys; sorted."""
  found = (re.match(pattern, key) for key in state)
  return tuple(sorted({int(match.group(1)) for match in found if match}))
