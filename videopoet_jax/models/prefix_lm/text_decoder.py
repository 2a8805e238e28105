"""Uses a text decoder that T5X trained to initialize a prefix LM.

Names are those of t5x/examples/decoder_only/network.py; of an encoder-decoder,
the decoder is taken without its cross-attention. Arrays with the same shape
here are taken: attention, gated MLPs, norms and the table of text ids. The rest
keeps its own initial values: the tables of other modalities, places, identities
and heads have no counterpart in a text model.
"""

from collections.abc import Callable, Iterator, Mapping
import os
import re
from typing import Any

import numpy as np

from videopoet_jax.checkpoints import t5x
from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.models.prefix_lm import config as config_lib

_EMBEDDINGS = ('decoder.token_embedder.embedding', 'token_embedder.embedding')
_NORM = 'decoder.decoder_norm.scale'
_LAYER = re.compile(r'decoder\.layers_(\d+)\.')
# Our name in a block: their name in a layer.
_BLOCK = {
  ('attention_norm', 'scale'): 'pre_self_attention_layer_norm.scale',
  ('attention', 'query'): 'self_attention.query.kernel',
  ('attention', 'key'): 'self_attention.key.kernel',
  ('attention', 'value'): 'self_attention.value.kernel',
  ('attention', 'out'): 'self_attention.out.kernel',
  ('mlp_norm', 'scale'): 'pre_mlp_layer_norm.scale',
  ('mlp', 'gate'): 'mlp.wi_0.kernel',
  ('mlp', 'up'): 'mlp.wi_1.kernel',
  ('mlp', 'down'): 'mlp.wo.kernel',
}

_Path = tuple[str, ...]


def is_text_decoder(path: str | os.PathLike[str]) -> bool:
  """Whether a path is a T5X checkpoint with a text decoder in it."""
  folder = storage.path(path)
  if not t5x.is_checkpoint(folder):
    return False
  return any(_LAYER.match(name) for name in t5x.open_target(folder).names)


def take(
  path: str | os.PathLike[str],
  params: Mapping[str, Any],
  config: config_lib.PrefixLMConfig,
  log: Callable[[str], None] = print,
) -> dict[_Path, np.ndarray]:
  """Reads the matching arrays of a text decoder.

  Args:
    path: folder of one step that T5X wrote, `checkpoint_1000000`.
    params: unboxed parameters of the model, or their shapes.
    config: the model's config.
    log: receives lines that name what was taken and what was not.

  Returns:
    float32 arrays of their shapes, by path within the parameters. Arrays of
    scanned layers and of the text table keep the model's own values where the
    checkpoint has none, for which `params` must be arrays.

  Raises:
    CheckpointError: there is no such checkpoint, or nothing in it matches.
  """
  target = t5x.open_target(storage.path(path))
  wanted = dict(_wanted(target.names, params, config))
  found = target.read(sorted({name for name, _ in wanted.values()}))
  taken: dict[_Path, np.ndarray] = {}
  used: set[str] = set()
  misfits: list[str] = []
  for key, (name, layer) in wanted.items():
    own = _at(params, key)
    shape = own.shape if layer is None else own.shape[1:]
    value = _fitted(found[name], shape, key, config)
    if value is None:
      misfits.append(f'{name} {found[name].shape} for {shape}')
      continue
    used.add(name)
    place = key if layer is None else key[:-1]
    if layer is None and value.shape == own.shape:
      taken[key] = value
      continue
    filled = taken.get(place)
    if filled is None:
      filled = np.array(_at(params, place), np.float32)
    filled[slice(len(value)) if layer is None else layer] = value
    taken[place] = filled
  if not taken:
    raise errors.CheckpointError(
      f'nothing of the text decoder in {path} fits this model: '
      f'{"; ".join(misfits[:3]) or "it has no decoder layers"}. Set the sizes '
      'of prefix_lm_preset to its own (width, head_dim, num_heads, mlp_dim).'
    )
  log(f'of {path}: {_listed(used)}')
  left = [name for name in target.names if name not in used]
  if left:
    log(f'not taken: {_listed(left)}')
  for line in misfits[:5]:
    log(f'of another shape: {line}')
  return taken


def _wanted(
  names: tuple[str, ...],
  params: Mapping[str, Any],
  config: config_lib.PrefixLMConfig,
) -> Iterator[tuple[_Path, tuple[str, int | None]]]:
  """Yields paths here with names there, and the layer of a stacked array."""
  has = set(names)
  if _NORM in has:
    yield ('final_norm', 'scale'), (_NORM, None)
  if 'text_table' in params['embedding']:
    for name in _EMBEDDINGS:
      if name in has:
        yield ('embedding', 'text_table'), (name, None)
        break
  stacked = 'layers' in params['stack']
  for layer in range(config.num_layers):
    for inner, name in _BLOCK.items():
      theirs = f'decoder.layers_{layer}.{name}'
      if theirs not in has:
        continue
      if stacked:
        # The path ends in the layer's number, which is not part of the tree.
        path = ('stack', 'layers', 'block', *inner, str(layer))
        yield path, (theirs, layer)
      else:
        yield ('stack', f'layer_{layer}', 'block', *inner), (theirs, None)


def _at(params: Any, path: _Path) -> Any:
  for key in path:
    if not isinstance(params, Mapping):
      break  # The layer's number of a stacked array.
    params = params[key]
  return params


def _fitted(
  value: np.ndarray,
  shape: tuple[int, ...],
  path: _Path,
  config: config_lib.PrefixLMConfig,
) -> np.ndarray | None:
  """Returns the array in our shape, or None if its shape differs."""
  if 'text_table' in path:
    # Tables are longer than the number of ids, each rounded in its own way.
    return value[: shape[0]] if value.shape[1:] == shape[1:] else None
  if value.size != np.prod(shape):
    return None
  if 'attention' in path and len(shape) == 3:
    # Heads and their width are one axis in T5X.
    joined = (shape[0], -1) if 'out' not in path else (-1, shape[-1])
    if value.shape != np.empty(shape).reshape(joined).shape:
      return None
    value = value.reshape(shape)
    if 'query' in path and not config.qk_norm:
      # T5X's attention does not divide by the square root of the head width.
      value = value * np.float32(np.sqrt(config.head_dim))
    return value
  return value if value.shape == tuple(shape) else None


def _listed(names: Any) -> str:
  """Joins names, those of layers as `decoder.layers_*.mlp.wo.kernel`."""
  joined = (re.sub(r'layers_\d+', 'layers_*', name) for name in names)
  return ', '.join(sorted(dict.fromkeys(joined)))
