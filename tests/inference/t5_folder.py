"""A tiny random T5 1.1 encoder in a folder as released ones come."""

import json
import pathlib

import numpy as np
from safetensors import numpy as safetensors_numpy

from videopoet_jax.tokenizers import text as text_lib

WIDTH = 16
CAPTIONS = [
  f'a {c} ball goes {w}' for c in ('red', 'blue') for w in ('up', 'on')
]


def _state(vocab_size: int) -> dict[str, np.ndarray]:
  draw = np.random.default_rng(3)

  def drawn(*shape: int) -> np.ndarray:
    return draw.normal(size=shape).astype(np.float32) * 0.5

  state = {
    'shared.weight': drawn(vocab_size, WIDTH),
    'decoder.final_layer_norm.weight': drawn(WIDTH),
    'encoder.final_layer_norm.weight': drawn(WIDTH),
  }
  first = 'encoder.block.0.layer.0.SelfAttention'
  state[f'{first}.relative_attention_bias.weight'] = drawn(8, 2)
  for layer in range(2):
    block = f'encoder.block.{layer}.layer'
    state |= {
      f'{block}.0.layer_norm.weight': drawn(WIDTH),
      f'{block}.1.layer_norm.weight': drawn(WIDTH),
      f'{block}.1.DenseReluDense.wi_0.weight': drawn(24, WIDTH),
      f'{block}.1.DenseReluDense.wi_1.weight': drawn(24, WIDTH),
      f'{block}.1.DenseReluDense.wo.weight': drawn(WIDTH, 24),
      f'{block}.0.SelfAttention.o.weight': drawn(WIDTH, 8),
    }
    for name in 'qkv':
      state[f'{block}.0.SelfAttention.{name}.weight'] = drawn(8, WIDTH)
  return state


def write(directory: pathlib.Path) -> dict[str, np.ndarray]:
  """Writes the folder; returns the weights."""
  directory.mkdir(parents=True, exist_ok=True)
  tokenizer = text_lib.train_sentencepiece(CAPTIONS, vocab_size=40)
  (directory / text_lib.MODEL_FILE).write_bytes(
    tokenizer.files()[text_lib.MODEL_FILE]
  )
  state = _state(tokenizer.vocab_size)
  safetensors_numpy.save_file(state, directory / 'model.safetensors')
  (directory / 'config.json').write_text(
    json.dumps({'relative_attention_max_distance': 20, 'd_model': WIDTH})
  )
  return state
