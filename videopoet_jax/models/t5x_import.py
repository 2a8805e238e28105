"""Converts encoders of T5X's T5 1.1 checkpoints to `t5_encoder` parameters.

The published ones are in `gs://t5-data/pretrained_models/t5x/`, such as
`t5_1_1_xl/checkpoint_1000000`. Names are those of t5x/examples/t5/network.py;
checkpoints of t5x/examples/scalable_t5/network.py, where layers may be stacked
along an axis, are recognised by their names. T5X's matrices are (in, out), like
ours; only its table of relative positions, (heads, buckets), is transposed.

A checkpoint does not hold every setting. The rest is taken from T5X's code: the
buckets reach 128 positions and the norms' epsilon is 1e-6, the defaults of
`t5_encoder.T5EncoderConfig`.
"""

from collections.abc import Iterable, Mapping
import pathlib
import re
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.checkpoints import t5x
from videopoet_jax.core import errors
from videopoet_jax.models import t5_encoder

VOCABULARY = 'gs://t5-data/vocabs/cc_all.32000.100extra/sentencepiece.model'

_EMBEDDING = 'token_embedder.embedding'
_NORM = 'encoder.encoder_norm.scale'
_TABLE = 'relpos_bias.rel_embedding'
_STACKED = 'encoder.encoder.'
_FIRST_MLP = 'mlp.wi.kernel'
# Our name in a block: their name in a layer.
_BLOCK = {
  ('attention_norm', 'scale'): 'pre_attention_layer_norm.scale',
  ('attention', 'query', 'kernel'): 'attention.query.kernel',
  ('attention', 'key', 'kernel'): 'attention.key.kernel',
  ('attention', 'value', 'kernel'): 'attention.value.kernel',
  ('attention', 'output', 'kernel'): 'attention.out.kernel',
  ('mlp_norm', 'scale'): 'pre_mlp_layer_norm.scale',
  ('mlp', 'gate', 'kernel'): 'mlp.wi_0.kernel',
  ('mlp', 'up', 'kernel'): 'mlp.wi_1.kernel',
  ('mlp', 'down', 'kernel'): 'mlp.wo.kernel',
}
_LAYER = re.compile(r'encoder\.layers_(\d+)\.')


def load(
  path: pathlib.Path,
) -> tuple[t5_encoder.T5EncoderConfig, dict[str, Any]]:
  """Reads the encoder of a checkpoint; the decoder's arrays are not opened.

  Args:
    path: folder of one step (see `checkpoints.t5x`), here or in a bucket.

  Returns:
    Sizes, and the tree under 'params', float32 numpy arrays.

  Raises:
    CheckpointError: it is missing or damaged, or holds no T5 1.1 encoder.
  """
  target = t5x.open_target(path)
  try:
    names = encoder_names(target.names)
    return convert(target.read(names))
  except _NotAnEncoder as error:
    raise errors.CheckpointError(f'{target.path}: {error}') from error


class _NotAnEncoder(errors.CheckpointError):
  """Names or sizes are not those of a T5 1.1 encoder; path not yet added."""


def encoder_names(names: Iterable[str]) -> list[str]:
  """Names of an encoder's parameters among those of a checkpoint.

  Raises:
    CheckpointError: one is missing, or they are those of the first T5.
  """
  known = set(names)
  layers = {int(m.group(1)) for m in map(_LAYER.match, known) if m}
  if any(name.startswith(_STACKED) for name in known):
    folders = [_STACKED]
  else:
    folders = [
      f'encoder.layers_{n}.' for n in range(1 + max(layers, default=0))
    ]
  if any(folder + _FIRST_MLP in known for folder in folders):
    raise _NotAnEncoder(
      'these are weights of the first T5, whose MLP has no gate; give a T5 1.1 '
      'encoder (such as t5_1_1_xl).'
    )
  wanted = [_EMBEDDING, _NORM]
  wanted += [folder + name for folder in folders for name in _BLOCK.values()]
  own = [folder + _TABLE for folder in folders if folder + _TABLE in known]
  wanted += own or [f'encoder.{_TABLE}']
  for name in wanted:
    if name not in known:
      encoder = [n for n in known if n.startswith(('encoder.', 'token_'))]
      raise _NotAnEncoder(
        f'not a T5 1.1 encoder: target.{name} is missing'
        f'{errors.near_names(name, encoder)}'
      )
  return wanted


def convert(
  arrays: Mapping[str, np.ndarray],
) -> tuple[t5_encoder.T5EncoderConfig, dict[str, Any]]:
  """Returns sizes and parameters of `t5_encoder.T5Encoder` from arrays.

  Args:
    arrays: float32 arrays that `encoder_names` names.

  Returns:
    Sizes, and the tree under 'params'.

  Raises:
    CheckpointError: sizes do not match, or layers have different tables of
      relative positions.
  """
  if any(name.startswith(_STACKED) for name in arrays):
    arrays = _unstacked(arrays)
  arrays = {name: _joined(name, value) for name, value in arrays.items()}
  table = _table(arrays)
  query = arrays['encoder.layers_0.attention.query.kernel']
  gate = arrays['encoder.layers_0.mlp.wi_0.kernel']
  layers = {int(m.group(1)) for m in map(_LAYER.match, arrays) if m}
  try:
    (vocab_size, embed_dim) = arrays[_EMBEDDING].shape
    (num_buckets, num_heads) = table.shape
    config = t5_encoder.T5EncoderConfig(
      vocab_size=vocab_size,
      embed_dim=embed_dim,
      num_layers=len(layers),
      num_heads=num_heads,
      head_dim=query.shape[-1] // num_heads,
      mlp_dim=gate.shape[-1],
      num_buckets=num_buckets,
    )
  except (ValueError, ZeroDivisionError, errors.ConfigError) as error:
    raise _NotAnEncoder(
      f'the sizes are not those of a T5 1.1 encoder ({error}).'
    ) from error
  theirs = {
    ('embedding',): _EMBEDDING,
    ('final_norm', 'scale'): _NORM,
    **{
      (f'block_{layer}', *path): f'encoder.layers_{layer}.{name}'
      for layer in range(config.num_layers)
      for path, name in _BLOCK.items()
    },
  }
  params: dict[str, Any] = {'relative_table': table}
  shapes = _shapes(config)
  for path, name in theirs.items():
    node, shape = params, shapes
    for key in path[:-1]:
      node, shape = node.setdefault(key, {}), shape[key]
    node[path[-1]] = arrays[name]
    if arrays[name].shape != shape[path[-1]].shape:
      raise _NotAnEncoder(
        f'target.{name} is of shape {arrays[name].shape}, beside the others '
        f'{shape[path[-1]].shape} is expected; give a T5 1.1 encoder.'
      )
  return config, params


def _shapes(config: t5_encoder.T5EncoderConfig) -> Any:
  ids = jax.ShapeDtypeStruct((1, 1), jnp.int32)
  init = t5_encoder.T5Encoder(config).init
  return nn.unbox(jax.eval_shape(init, jax.random.key(0), ids)['params'])


def _table(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
  """The one table of relative positions, (buckets, heads)."""
  found = [arrays[name] for name in sorted(arrays) if name.endswith(_TABLE)]
  if any(not np.array_equal(found[0], other) for other in found[1:]):
    raise _NotAnEncoder(
      'each layer has a table of relative positions of its own, as in umT5; '
      'give a T5 1.1 encoder, whose layers share one.'
    )
  return found[0].T


def _joined(name: str, value: np.ndarray) -> np.ndarray:
  """Joins heads and their width into one axis; scalable_t5 has two."""
  if '.attention.' not in name or value.ndim != 3:
    return value
  if name.endswith('.out.kernel'):
    return value.reshape(-1, value.shape[-1])
  return value.reshape(value.shape[0], -1)


def _unstacked(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Splits arrays that hold all layers along an axis into one a layer."""
  stack = arrays[f'{_STACKED}pre_attention_layer_norm.scale']
  # T5X's `param_scan_axis` is 1 unless configured to be 0.
  axis = int(stack.shape[0] == arrays[_EMBEDDING].shape[-1])
  layers = stack.shape[axis] if stack.ndim == 2 else 0
  single = {}
  for name, value in arrays.items():
    if not name.startswith(_STACKED):
      single[name] = value
      continue
    if value.ndim < 2 or not layers or value.shape[axis] != layers:
      raise _NotAnEncoder(
        f'target.{name} is of shape {value.shape}; layers are expected along '
        f'axis {axis}, {layers} of them.'
      )
    rest = name.removeprefix(_STACKED)
    for layer in range(layers):
      single[f'encoder.layers_{layer}.{rest}'] = np.take(value, layer, axis)
  return single
