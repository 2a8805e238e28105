"""Converts released T5 1.1 encoders to parameters of `t5_encoder`.

Names are those of the PyTorch checkpoints of the T5 1.1 family; torch is needed
only to open a `.bin` file, neither for `.safetensors` nor for the conversion.
"""

from collections.abc import Mapping
import dataclasses
import json
import pathlib
import re
from typing import Any

import numpy as np
import safetensors

from videopoet_jax.core import errors
from videopoet_jax.models import t5_encoder

_EMBEDDING_NAMES = ('shared.weight', 'encoder.embed_tokens.weight')
_RELATIVE = (
  'encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight'
)
# Our name in a block: (theirs in a block, whether torch stores it transposed).
_BLOCK = {
  ('attention_norm', 'scale'): ('layer.0.layer_norm.weight', False),
  ('attention', 'query', 'kernel'): ('layer.0.SelfAttention.q.weight', True),
  ('attention', 'key', 'kernel'): ('layer.0.SelfAttention.k.weight', True),
  ('attention', 'value', 'kernel'): ('layer.0.SelfAttention.v.weight', True),
  ('attention', 'output', 'kernel'): ('layer.0.SelfAttention.o.weight', True),
  ('mlp_norm', 'scale'): ('layer.1.layer_norm.weight', False),
  ('mlp', 'gate', 'kernel'): ('layer.1.DenseReluDense.wi_0.weight', True),
  ('mlp', 'up', 'kernel'): ('layer.1.DenseReluDense.wi_1.weight', True),
  ('mlp', 'down', 'kernel'): ('layer.1.DenseReluDense.wo.weight', True),
}
_WHOLE = ('model.safetensors', 'pytorch_model.bin')
# Our name: (theirs in config.json, its type).
_SETTINGS = {
  'max_distance': ('relative_attention_max_distance', int),
  'epsilon': ('layer_norm_epsilon', float),
}
_LAYER = re.compile(r'encoder\.block\.(\d+)\.')


def _array(tensor: Any) -> np.ndarray:
  """Converts a numpy array or a torch tensor to float32."""
  if hasattr(tensor, 'detach'):
    tensor = tensor.detach().cpu().float().numpy()
  return np.asarray(tensor, np.float32)


def infer_config(state: Mapping[str, Any]) -> t5_encoder.T5EncoderConfig:
  """Sizes of the encoder in a state dict.

  Raises:
    CheckpointError: if it does not hold a T5 1.1 encoder.
  """
  embedding = _embedding(state)
  relative = _take(state, _RELATIVE)
  query = _take(state, 'encoder.block.0.layer.0.SelfAttention.q.weight')
  if 'encoder.block.0.layer.1.DenseReluDense.wi.weight' in state:
    raise errors.CheckpointError(
      'these are weights of the first T5, whose MLP has no gate; give a T5 1.1 '
      'encoder (such as t5-v1_1-xl).'
    )
  gate = _take(state, 'encoder.block.0.layer.1.DenseReluDense.wi_0.weight')
  layers = {int(m.group(1)) for m in map(_LAYER.match, state) if m}
  num_buckets, num_heads = relative.shape
  return t5_encoder.T5EncoderConfig(
    vocab_size=embedding.shape[0],
    embed_dim=embedding.shape[1],
    num_layers=1 + max(layers),
    num_heads=num_heads,
    head_dim=query.shape[0] // num_heads,
    mlp_dim=gate.shape[0],
    num_buckets=num_buckets,
  )


def convert(
  state: Mapping[str, Any], config: t5_encoder.T5EncoderConfig
) -> dict[str, Any]:
  """Returns parameters of `t5_encoder.T5Encoder` from a state dict.

  Args:
    state: names to arrays or tensors; a decoder's are left out.
    config: sizes, which the arrays must have.

  Returns:
    The tree under 'params', float32 numpy arrays.

  Raises:
    CheckpointError: if a name is missing or an array has another size.
  """
  params: dict[str, Any] = {
    'embedding': _array(_embedding(state)),
    'relative_table': _array(_take(state, _RELATIVE)),
    'final_norm': {
      'scale': _array(_take(state, 'encoder.final_layer_norm.weight'))
    },
  }
  for layer in range(config.num_layers):
    block: dict[str, Any] = {}
    for path, (name, transposed) in _BLOCK.items():
      value = _array(_take(state, f'encoder.block.{layer}.{name}'))
      node = block
      for key in path[:-1]:
        node = node.setdefault(key, {})
      node[path[-1]] = value.T if transposed else value
    params[f'block_{layer}'] = block
  _check_sizes(params, config)
  return params


def load(
  path: pathlib.Path,
) -> tuple[t5_encoder.T5EncoderConfig, dict[str, Any]]:
  """Opens a `.safetensors`, `.bin`, `.pt` or `.pth` file of weights.

  Args:
    path: the file; a folder is searched for `model.safetensors` and
      `pytorch_model.bin`, whole or in parts that an index lists. A
      `config.json` beside it adds what the weights do not hold (the buckets'
      reach).

  Returns:
    Sizes and parameters.

  Raises:
    CheckpointError: if the file is missing, cannot be read, or does not hold
      a T5 1.1 encoder.
  """
  files = _files(path)
  if not files or not all(file.is_file() for file in files):
    raise errors.CheckpointError(
      f'there are no T5 weights at {path}; give a .safetensors or .bin file, '
      'a folder with all of its parts, or the folder of a T5X checkpoint.'
    )
  state: dict[str, Any] = {}
  for file in files:
    state.update(_read(file))
  try:
    config = dataclasses.replace(infer_config(state), **_settings(path))
    return config, convert(state, config)
  except errors.CheckpointError as error:
    raise errors.CheckpointError(f'{path}: {error}') from error


def _files(path: pathlib.Path) -> list[pathlib.Path]:
  """The files of weights at a path; a large model has several."""
  if not path.is_dir():
    return [path]
  for name in _WHOLE:
    if (path / name).is_file():
      return [path / name]
    index = path / f'{name}.index.json'
    if index.is_file():
      try:
        parts = json.loads(index.read_text())['weight_map'].values()
        return [path / part for part in sorted(set(parts))]
      except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.CheckpointError(
          f'{index} does not list the files of the weights ({error}); download '
          'it again.'
        ) from error
  return []


def _settings(path: pathlib.Path) -> dict[str, Any]:
  """Settings in a `config.json` that the weights do not hold."""
  file = (path if path.is_dir() else path.parent) / 'config.json'
  try:
    stored = json.loads(file.read_text()) if file.is_file() else {}
    return {
      ours: kind(stored[theirs])
      for ours, (theirs, kind) in _SETTINGS.items()
      if theirs in stored
    }
  except (ValueError, TypeError, OSError) as error:
    raise errors.CheckpointError(
      f'{file} does not describe a T5 encoder ({error}); download it again.'
    ) from error


def _read(path: pathlib.Path) -> Mapping[str, Any]:
  """Names to arrays or tensors."""
  if path.suffix == '.safetensors':
    try:
      # Flax's arrays support bfloat16, NumPy's do not. A decoder is not read.
      with safetensors.safe_open(path, framework='flax') as file:
        return {
          name: file.get_tensor(name)
          for name in file.keys()
          if name.startswith(('encoder.', 'shared.'))
        }
    except (safetensors.SafetensorError, OSError) as error:
      raise errors.CheckpointError(
        f'{path} cannot be read as safetensors ({error}); download it again.'
      ) from error
  try:
    import torch

    # Only tensors: a pickle from elsewhere must not run code.
    return torch.load(path, map_location='cpu', weights_only=True)
  except ImportError as error:
    raise errors.CheckpointError(
      f'reading {path} needs the package torch; pip install torch.'
    ) from error
  except Exception as error:
    raise errors.CheckpointError(
      f'{path} cannot be read as torch weights ({error}); download it again.'
    ) from error


def _take(state: Mapping[str, Any], name: str) -> Any:
  if name not in state:
    hint = errors.near_names(name, state)
    raise errors.CheckpointError(
      f'not the weights of a T5 1.1 encoder: {name} is missing{hint}'
    )
  return state[name]


def _embedding(state: Mapping[str, Any]) -> Any:
  for name in _EMBEDDING_NAMES:
    if name in state:
      return state[name]
  return _take(state, _EMBEDDING_NAMES[0])


def _check_sizes(
  params: Mapping[str, Any], config: t5_encoder.T5EncoderConfig
) -> None:
  inner = config.num_heads * config.head_dim
  block = params['block_0']
  pairs = (
    ('embedding', params['embedding'], (config.vocab_size, config.embed_dim)),
    (
      'relative_table',
      params['relative_table'],
      (config.num_buckets, config.num_heads),
    ),
    (
      'query',
      block['attention']['query']['kernel'],
      (config.embed_dim, inner),
    ),
    (
      'gate',
      block['mlp']['gate']['kernel'],
      (config.embed_dim, config.mlp_dim),
    ),
  )
  for name, value, shape in pairs:
    if value.shape != shape:
      raise errors.CheckpointError(
        f'T5 weights {name} are of shape {value.shape}; the config wants '
        f'{shape}.'
      )
