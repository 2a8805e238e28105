"""Makes tokenizer folders of checkpoints that others have published."""

from collections.abc import Mapping
import dataclasses
import importlib
import os
import pathlib
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from videopoet_jax.checkpoints import published_files
from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.core import storage
from videopoet_jax.tokenizers import exporting
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers.published import family as family_lib
from videopoet_jax.tokenizers.published import layout
from videopoet_jax.tokenizers.published import visual

# Family -> the module whose `FAMILY` describes it.
FAMILIES = {
  'cosmos': 'videopoet_jax.tokenizers.cosmos.convert',
  'open_magvit2': 'videopoet_jax.tokenizers.open_magvit2.convert',
  'vidtok': 'videopoet_jax.tokenizers.vidtok.convert',
}
# What `exporting` wrote.
EXPORTED = 'videopoet'
_AVERAGED = 'model_ema.'


@dataclasses.dataclass(frozen=True)
class Imported:
  """What was read.

  Attributes:
    directory: the tokenizer's folder.
    family: name of the family.
    tokenizer: the tokenizer.
    title: the family's name in text.
    parameters: number of its parameters.
    averaged: whether they are the averaged ones of the checkpoint.
    left_out: number of arrays of the checkpoint that were not read.
  """

  directory: pathlib.Path
  family: str
  tokenizer: interface.TokenizerBundle
  title: str
  parameters: int
  averaged: bool
  left_out: int

  @property
  def spec(self) -> specs.VisualSpec | specs.AudioSpec:
    """Shape of the tokenizer's grid of ids."""
    return self.tokenizer.spec

  def __str__(self) -> str:
    """Describes the tokenizer in lines of text."""
    weights = 'averaged weights, ' if self.averaged else ''
    left_out = f', {self.left_out} arrays left out' if self.left_out else ''
    notes = (
      self.tokenizer.notes
      if isinstance(self.tokenizer, visual.PublishedTokenizer)
      else ()
    )
    lines = [
      f'{self.directory}: {self.title}, {weights}'
      f'{self.parameters:,} parameters{left_out}',
      *(f'  {line}' for line in _described(self.spec)),
      *(f'  {note}' for note in notes),
      f'  settings: {_shown(self.tokenizer.config)}',
    ]
    return '\n'.join(lines)


def _described(
  spec: specs.VisualSpec | specs.AudioSpec,
) -> tuple[str, ...]:
  if isinstance(spec, specs.AudioSpec):
    return (
      f'{spec.levels} levels of {spec.codes:,} codes; {spec.hop} samples a'
      f' latent frame at {spec.sampling_rate} Hz',
    )
  if spec.temporal_stride > 1:
    rule = f'1 + {spec.temporal_stride} k frames'
  else:
    rule = 'any number of frames, each for itself'
  side = spec.spatial_stride
  return (
    f'{spec.codebook_size:,} codes; a cell is {side} x {side} pixels and'
    f' {spec.temporal_stride} frames',
    f'clips of {rule}; height and width are multiples of {side}',
  )


def import_tokenizer(
  family: str,
  path: str | os.PathLike[str],
  output: str | os.PathLike[str],
  settings: Mapping[str, str] | None = None,
  *,
  averaged: bool = True,
  trust_pickle: bool = False,
) -> Imported:
  """Reads a published checkpoint and writes a tokenizer folder.

  Args:
    family: one of `FAMILIES`, or 'videopoet' for what `export_tokenizer` wrote.
    path: the checkpoint; a `.safetensors` file needs no PyTorch.
    output: the folder to write, which `interface.load` opens.
    settings: settings that the checkpoint does not hold, as text.
    averaged: whether averaged weights are taken where the checkpoint has them.
    trust_pickle: whether a pickle may hold more than tensors, hence run code.

  Returns:
    The tokenizer and what was read.

  Raises:
    CheckpointError: the file cannot be read, is not of this family, or the
      folder cannot be written.
    ConfigError: the family or a setting is not known, or there are no averaged
      weights to leave out.
  """
  if family == EXPORTED:
    return _import_exported(path, output, settings, averaged, trust_pickle)
  found = _family(family)
  given = _settings(found, settings or {})
  source = storage.path(path)
  state: dict[str, np.ndarray] = {}
  for file in _files(source, found):
    state.update(published_files.read(file, trust_pickle))
  total = len(state)
  averages = _has_averages(state)
  if not averaged and not averages:
    raise errors.ConfigError(
      f'{source} has no averaged weights beside the last ones; leave out'
      ' --last_weights.'
    )
  try:
    chosen = _chosen(state, found, averaged and averages)
    config = found.infer(chosen, given, source)
    params = layout.to_params(
      chosen,
      found.bundle.shapes(config),
      f'a tokenizer of {found.bundle.family}',
      found.unused,
    )
  except errors.CheckpointError as error:
    raise errors.CheckpointError(f'{source}: {error}') from error
  tokenizer = found.bundle(config, params)
  tokenizer.save(output)
  read = len(layout.shapes_of(params))
  return Imported(
    directory=storage.path(output),
    family=family,
    tokenizer=tokenizer,
    title=found.bundle.family,
    parameters=layout.count(params),
    averaged=averaged and averages,
    left_out=total - read,
  )


def _import_exported(
  path: str | os.PathLike[str],
  output: str | os.PathLike[str],
  settings: Mapping[str, str] | None,
  averaged: bool,
  trust_pickle: bool,
) -> Imported:
  if settings or not averaged or trust_pickle:
    raise errors.ConfigError(
      f'{path} says all of an exported tokenizer: leave out --set,'
      ' --last_weights and --trust_pickle.'
    )
  tokenizer = exporting.read_exported(path)
  tokenizer.save(output)
  return Imported(
    directory=storage.path(output),
    family=EXPORTED,
    tokenizer=tokenizer,
    title=f'exported {tokenizer.kind}',
    parameters=layout.count(tokenizer.params),
    averaged=False,
    left_out=0,
  )


def _family(name: str) -> family_lib.Family:
  errors.check_choice('--from', name, (*FAMILIES, EXPORTED))
  return importlib.import_module(FAMILIES[name]).FAMILY


def _files(
  source: pathlib.Path, family: family_lib.Family
) -> list[pathlib.Path]:
  """The files of a checkpoint at a path."""
  if not source.is_dir():
    return [source]
  for names in family.files:
    if all((source / name).is_file() for name in names):
      return [source / name for name in names]
  wanted = ' or '.join(' and '.join(names) for names in family.files)
  raise errors.CheckpointError(
    f'{source} is a folder; give a checkpoint file'
    + (f', or a folder that holds {wanted}.' if wanted else '.')
  )


def _has_averages(state: Mapping[str, np.ndarray]) -> bool:
  return any(
    key.startswith(_AVERAGED) and array.ndim for key, array in state.items()
  )


def _chosen(
  state: Mapping[str, np.ndarray], family: family_lib.Family, averaged: bool
) -> dict[str, np.ndarray]:
  """The tokenizer's arrays: the averaged ones where they are asked for."""
  chosen = {
    key: array
    for key, array in state.items()
    if key.startswith(family.prefixes)
  }
  if averaged:
    for key in chosen:
      # Buffers, whose names cannot have dots, hold the averages.
      average = _AVERAGED + key.replace('.', '')
      if average in state:
        chosen[key] = state[average]
  return chosen


def _settings(
  family: family_lib.Family, settings: Mapping[str, str]
) -> dict[str, Any]:
  """Converts settings to the types of the config's fields."""
  hints = get_type_hints(family.bundle.config_class)
  values: dict[str, Any] = {}
  for name, text in settings.items():
    if name not in family.settings:
      known = '; '.join(
        f'{key}: {what}' for key, what in family.settings.items()
      )
      raise errors.ConfigError(
        f'--set {name}={text}: {family.bundle.family} has no such setting, or'
        f' the checkpoint holds it. Settings are {known}.'
      )
    hint = hints[name]
    try:
      if get_origin(hint) is tuple:
        kind = get_args(hint)[0]
        values[name] = tuple(kind(part) for part in text.split(','))
      else:
        values[name] = hint(text)
    except ValueError as error:
      raise errors.ConfigError(
        f'--set {name}={text}: it must be {family.settings[name]}.'
      ) from error
  return values


def _shown(config: Any) -> str:
  fields = dataclasses.asdict(config).items()
  return ', '.join(
    f'{name}={",".join(map(str, value)) if isinstance(value, tuple) else value}'
    for name, value in fields
  )
