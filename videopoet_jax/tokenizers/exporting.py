"""Tokenizers as two files for other programs: safetensors and JSON.

    directory/model.safetensors   the parameters, by path joined with dots
    directory/config.json         format, kind, config, fingerprint, spec

They are read back bit for bit.
"""

import dataclasses
import json
import os
import pathlib
from typing import Any

import jax
import numpy as np
import safetensors.numpy

from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers.published import layout
from videopoet_jax.tokenizers.published import visual

WEIGHTS = 'model.safetensors'
CONFIG = 'config.json'
_FORMAT = 'videopoet_jax tokenizer 1'
# What the keys of the weights are.
_OURS, _ORIGINAL = 'paths', 'original'


def export_tokenizer(
  directory: str | os.PathLike[str],
  output: str | os.PathLike[str],
  *,
  original_keys: bool = False,
) -> pathlib.Path:
  """Writes a tokenizer as `model.safetensors` and `config.json`.

  Args:
    directory: a tokenizer's folder, or a checkpoint's that contains one.
    output: the folder to write.
    original_keys: whether the weights get the keys and axes of the PyTorch
      checkpoints of their family, for the authors' code; imported tokenizers
      only.

  Returns:
    `output`.

  Raises:
    CheckpointError: the tokenizer cannot be read or the files not written.
    ConfigError: it has no original keys.
  """
  tokenizer = interface.load(directory)
  published = isinstance(tokenizer, visual.PublishedTokenizer)
  if original_keys and not published:
    raise errors.ConfigError(
      f'{directory} holds a {tokenizer.kind!r}, which is of this project: it'
      ' has no other keys; leave out --original_keys.'
    )
  params = jax.device_get(tokenizer.params)
  state = layout.to_state(params) if original_keys else _flat(params)
  description = {
    'format': _FORMAT,
    'keys': _ORIGINAL if original_keys else _OURS,
    'kind': tokenizer.kind,
    'config': dataclasses.asdict(tokenizer.config),
    'fingerprint': tokenizer.fingerprint,
    'spec': dataclasses.asdict(tokenizer.spec),
  }
  target = storage.path(output)
  try:
    target.mkdir(parents=True, exist_ok=True)
    storage.write_whole(target / WEIGHTS, safetensors.numpy.save(state))
    text = json.dumps(description, indent=2, sort_keys=True)
    storage.write_whole(target / CONFIG, text + '\n')
  except OSError as error:
    raise errors.CheckpointError(
      f'cannot write {target}: {storage.failure(error)}; make room, or give a'
      ' folder that can be written.'
    ) from error
  return target


def read_exported(
  directory: str | os.PathLike[str],
) -> interface.TokenizerBundle:
  """Reads the two files that `export_tokenizer` wrote.

  Args:
    directory: their folder.

  Returns:
    The tokenizer; its fingerprint is that of the exported one.

  Raises:
    CheckpointError: a file is missing, damaged or not of the other.
  """
  folder = storage.path(directory)
  try:
    description = json.loads((folder / CONFIG).read_text(encoding='utf-8'))
    if description['format'] != _FORMAT:
      raise ValueError(f'its format is {description["format"]!r}')
    kind, keys = description['kind'], description['keys']
    state = safetensors.numpy.load((folder / WEIGHTS).read_bytes())
  except (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    safetensors.SafetensorError,
  ) as error:
    raise errors.CheckpointError(
      f'{folder} does not hold {WEIGHTS} and {CONFIG} of an exported tokenizer'
      f' ({error}); export it again.'
    ) from error
  builder = interface.builder_of(kind, folder)
  config = description['config']
  if keys == _ORIGINAL:
    shapes = _shapes(builder(config, {}), folder)
    params = layout.to_params(state, shapes, f'a {kind!r}')
  else:
    params = _nested(state)
  tokenizer = builder(config, jax.tree.map(jax.numpy.asarray, params))
  if tokenizer.fingerprint != description['fingerprint']:
    raise errors.CheckpointError(
      f'{folder / WEIGHTS} does not belong to {folder / CONFIG}: its'
      f' fingerprint is {tokenizer.fingerprint} instead of'
      f' {description["fingerprint"]}; export the tokenizer again.'
    )
  return tokenizer


def _shapes(tokenizer: interface.TokenizerBundle, folder: pathlib.Path) -> Any:
  if isinstance(tokenizer, visual.PublishedTokenizer):
    return tokenizer.shapes(tokenizer.config)
  raise errors.CheckpointError(
    f'{folder / CONFIG} says that a {tokenizer.kind!r} has the keys of another'
    ' program; export the tokenizer again.'
  )


def _flat(params: Any) -> dict[str, np.ndarray]:
  leaves, _ = jax.tree_util.tree_flatten_with_path(params)
  return {
    '.'.join(part.key for part in path): np.ascontiguousarray(leaf)
    for path, leaf in leaves
  }


def _nested(state: dict[str, np.ndarray]) -> dict[str, Any]:
  params: dict[str, Any] = {}
  for key, array in state.items():
    *modules, leaf = key.split('.')
    node = params
    for name in modules:
      node = node.setdefault(name, {})
    node[leaf] = array
  return params
