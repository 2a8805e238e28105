"""Checkpoints in T5X's layouts, of a tiny random T5 1.1 or of given weights.

Written as t5x/checkpoints.py writes them: `Checkpointer` puts a sharded array
in a zarr folder and TensorStore's description of it in the msgpack file, the
others in the file itself; `OrbaxCheckpointManagerInterface` goes by Orbax.
"""

from collections.abc import Mapping
import pathlib
from typing import Any

from flax import serialization
from flax import traverse_util
import numpy as np
import orbax.checkpoint as ocp
import tensorstore

_BLOCK = {
  'layer.0.layer_norm.weight': 'pre_attention_layer_norm.scale',
  'layer.0.SelfAttention.q.weight': 'attention.query.kernel',
  'layer.0.SelfAttention.k.weight': 'attention.key.kernel',
  'layer.0.SelfAttention.v.weight': 'attention.value.kernel',
  'layer.0.SelfAttention.o.weight': 'attention.out.kernel',
  'layer.1.layer_norm.weight': 'pre_mlp_layer_norm.scale',
  'layer.1.DenseReluDense.wi_0.weight': 'mlp.wi_0.kernel',
  'layer.1.DenseReluDense.wi_1.weight': 'mlp.wi_1.kernel',
  'layer.1.DenseReluDense.wo.weight': 'mlp.wo.kernel',
}
_RELATIVE = (
  'encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight'
)


def target(state: Mapping[str, np.ndarray], layers: int) -> dict[str, Any]:
  """T5X's names of weights in the transformers' naming, and a decoder's.

  Args:
    state: as `tests.inference.t5_folder.write` returns.
    layers: number of layers of the encoder.

  Returns:
    Arrays by dotted name.
  """
  arrays = {
    'token_embedder.embedding': state['shared.weight'],
    'encoder.encoder_norm.scale': state['encoder.final_layer_norm.weight'],
    'encoder.relpos_bias.rel_embedding': state[_RELATIVE].T,
    'decoder.decoder_norm.scale': state['decoder.final_layer_norm.weight'],
    'decoder.logits_dense.kernel': state['shared.weight'].T,
  }
  for layer in range(layers):
    for theirs, name in _BLOCK.items():
      value = state[f'encoder.block.{layer}.{theirs}']
      arrays[f'encoder.layers_{layer}.{name}'] = value.T
  return {name: np.ascontiguousarray(value) for name, value in arrays.items()}


def stacked(
  arrays: Mapping[str, Any], layers: int, heads: int, axis: int
) -> dict[str, Any]:
  """The arrays as scalable_t5 keeps them, all layers along an axis."""
  single = dict(arrays)
  table = single.pop('encoder.relpos_bias.rel_embedding')
  result = {
    'encoder.encoder.relpos_bias.rel_embedding': np.stack(
      [table] * layers, axis
    )
  }
  for name in _BLOCK.values():
    values = [single.pop(f'encoder.layers_{n}.{name}') for n in range(layers)]
    if name == 'attention.out.kernel':
      values = [v.reshape(heads, -1, v.shape[-1]) for v in values]
    elif name.startswith('attention.'):
      values = [v.reshape(v.shape[0], heads, -1) for v in values]
    result[f'encoder.encoder.{name}'] = np.stack(values, axis)
  return single | result


def nested(arrays: Mapping[str, Any]) -> dict[str, Any]:
  """A training state with the values, by dotted name, as its target."""
  tree = traverse_util.unflatten_dict(dict(arrays), sep='.')
  return {'target': tree, 'state': {'step': np.int32(7)}}


def write(
  directory: pathlib.Path,
  arrays: Mapping[str, Any],
  inside: tuple[str, ...] = (),
  old: bool = False,
) -> None:
  """Writes the layout of the published T5.

  Args:
    directory: `checkpoint_1000000`.
    arrays: float32 or bfloat16, by dotted name.
    inside: names of those that stand in the msgpack file itself.
    old: whether TensorStore's descriptions are of a version before 0.1.14 and
      of a bucket.
  """
  directory.mkdir(parents=True)
  leaves = {}
  for name, value in arrays.items():
    if name in inside:
      leaves[name] = np.asarray(value)
      continue
    folder = f'target.{name}'
    # Two chunks, so that one of them can be lost.
    chunks = [-(-value.shape[0] // 2), *value.shape[1:]]
    spec = {
      'driver': 'zarr',
      'dtype': value.dtype.name,
      'kvstore': {'driver': 'file', 'path': folder},
      'metadata': {
        'shape': list(value.shape),
        'chunks': chunks,
        'compressor': {'id': 'gzip'},
      },
    }
    place = {'driver': 'file', 'path': str(directory / folder)}
    made = tensorstore.open(spec | {'kvstore': place}, create=True).result()
    made.write(value).result()
    leaves[name] = tensorstore.Spec(spec).to_json()
    if old:
      bucket = {'driver': 'gcs', 'bucket': 't5x-dummy-bucket'}
      leaves[name] = spec | {'kvstore': bucket, 'path': folder}
  content = serialization.msgpack_serialize(
    {'version': 3, 'optimizer': nested(leaves)}
  )
  (directory / 'checkpoint').write_bytes(content)


def write_orbax(
  directory: pathlib.Path, arrays: Mapping[str, Any], ocdbt: bool = True
) -> None:
  """Writes the layout of T5X today, `checkpoint_7/state`, by Orbax."""
  handler = ocp.PyTreeCheckpointHandler(use_ocdbt=ocdbt)
  with ocp.Checkpointer(handler) as checkpointer:
    checkpointer.save(directory / 'state', nested(arrays))


def text_decoder(
  *, width: int, heads: int, head_dim: int, mlp: int, vocab: int, layers: int
) -> dict[str, np.ndarray]:
  """Random arrays of t5x/examples/decoder_only, by dotted name."""
  draw = np.random.default_rng(3)
  joined = heads * head_dim
  shapes: dict[str, tuple[int, ...]] = {
    'decoder.token_embedder.embedding': (vocab, width),
    'decoder.decoder_norm.scale': (width,),
    'decoder.relpos_bias.rel_embedding': (heads, 32),
    'decoder.logits_dense.kernel': (width, vocab),
  }
  for n in range(layers):
    layer = f'decoder.layers_{n}.'
    shapes |= {
      f'{layer}pre_self_attention_layer_norm.scale': (width,),
      f'{layer}pre_mlp_layer_norm.scale': (width,),
      f'{layer}self_attention.query.kernel': (width, joined),
      f'{layer}self_attention.key.kernel': (width, joined),
      f'{layer}self_attention.value.kernel': (width, joined),
      f'{layer}self_attention.out.kernel': (joined, width),
      f'{layer}mlp.wi_0.kernel': (width, mlp),
      f'{layer}mlp.wi_1.kernel': (width, mlp),
      f'{layer}mlp.wo.kernel': (mlp, width),
    }
  return {
    name: draw.normal(size=shape).astype(np.float32)
    for name, shape in shapes.items()
  }
