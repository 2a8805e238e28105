"""The work that a size asks of a super-resolution model.

Counted as in `planning.flops`: matrices by the tokens that meet them, attention
by its pairs of query and key. Every place of the result has its logits, masked
or not.
"""

import math

from videopoet_jax.layers import embeddings
from videopoet_jax.layers import windows
from videopoet_jax.models.super_resolution import config as config_lib
from videopoet_jax.planning import flops as flops_lib


def of_grid(
  config: config_lib.SuperResolutionConfig,
  grid: windows.Window,
  codebook_size: int,
  low_codebook_size: int,
) -> flops_lib.Work:
  """The work of one example.

  Args:
    config: of the model.
    grid: latent frames, rows and columns of the result.
    codebook_size: codes of the result.
    low_codebook_size: codes of the condition.
  """
  cells = math.prod(grid)
  low_cells = cells // config.scale**2
  slots = config.text_slots + 1
  width, inner = config.width, config.num_heads * config.head_dim
  matrix = 2.0 * width * inner
  # Queries and outputs of each attention, keys and values of each source.
  attentions = 1 if config.conditioning == 'joint' else 3
  projections = 2 * matrix * (attentions * cells + cells + low_cells + slots)
  mlp = 6.0 * width * config.mlp_dim * cells
  layers = config.num_blocks * len(config_lib.LAYERS)
  pairs = 0.0
  for window in config.windows:
    fitted = windows.fitted(window, grid)
    seen = windows.size(fitted) + slots
    seen += windows.size(windows.coarse(fitted, config.scale))
    pairs += config.num_blocks * cells * seen
  bits = embeddings.code_bits(codebook_size)
  rows = sum(2**part for part in embeddings.halves(bits)) + width
  return flops_lib.Work(
    blocks=layers * (projections + mlp) + _text_encoder(config, slots),
    attention=4.0 * inner * pairs,
    inputs=_inputs(config, cells, low_cells, bits, low_codebook_size),
    heads=2.0 * width * rows * cells,
  )


def recomputation(
  config: config_lib.SuperResolutionConfig, work: flops_lib.Work
) -> float:
  """FLOPs that the backward pass may spend a second time, an example."""
  if config.remat == 'full':
    return work.blocks + work.attention
  return 0.0 if config.remat == 'none' else work.attention


def _text_encoder(
  config: config_lib.SuperResolutionConfig, slots: int
) -> float:
  inner = config.num_heads * config.head_dim
  block = 4 * config.width * inner + 3 * config.width * config.mlp_dim
  each = 2.0 * block * slots + 4.0 * inner * slots**2
  return config.text_encoder_layers * each


def _inputs(
  config: config_lib.SuperResolutionConfig,
  cells: int,
  low_cells: int,
  bits: int,
  low_codebook_size: int,
) -> float:
  width = config.width
  low_bits = embeddings.code_bits(low_codebook_size)
  total = 2.0 * width * (bits * cells + low_bits * low_cells)
  total += 2.0 * (config.low_input * width * config.scale) ** 2 * low_cells
  if config.text == 'embeddings':
    total += 2.0 * config.text_embedding_dim * width * config.text_slots
  return total
