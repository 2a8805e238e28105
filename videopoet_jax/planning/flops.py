"""The FLOPs of a model on a layout, independent of the implementation.

The field's convention: a matrix of N parameters costs 2 N FLOPs for each token
that it is applied to, 6 N with the backward pass; attention counts only the
pairs of query and key that the layout's mask admits; the unembedding counts at
target positions only, over the ids of the loss. Embedding by look-up, norms and
activations are not counted, and neither is recomputation in the backward pass.
"""

import dataclasses

import numpy as np

from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import types
from videopoet_jax.layers import embeddings
from videopoet_jax.models.prefix_lm import config as config_lib
from videopoet_jax.models.prefix_lm import heads

# A backward pass costs twice its forward pass.
_TRAIN = 3


@dataclasses.dataclass(frozen=True)
class Work:
  """FLOPs of one sequence's forward pass.

  Attributes:
    blocks: FLOPs of the matrices of the transformer blocks.
    attention: FLOPs of queries by keys and weights by values, where visible.
    inputs: FLOPs of the projections of text and of bits.
    heads: FLOPs of the unembedding.
  """

  blocks: float
  attention: float
  inputs: float
  heads: float

  @property
  def forward(self) -> float:
    """Sum of all FLOPs."""
    return self.blocks + self.attention + self.inputs + self.heads

  @property
  def train(self) -> float:
    """FLOPs of forward and backward pass."""
    return _TRAIN * self.forward


def visible_pairs(length: int, prefix_length: int) -> int:
  """Pairs of query and key that a prefix mask admits.

  Args:
    length: positions, queries and keys alike.
    prefix_length: number of them that all queries see.
  """
  return int(np.maximum(np.arange(1, length + 1), prefix_length).sum())


def block_parameters(config: config_lib.PrefixLMConfig) -> int:
  """Parameters in the matrices of one transformer block."""
  projections = 2 * config.num_heads + 2 * config.num_kv_heads
  attention = config.width * config.head_dim * projections
  return attention + 3 * config.width * config.mlp_dim


def of_layout(
  config: config_lib.PrefixLMConfig, layout: layout_lib.SequenceLayout
) -> Work:
  """The work of one sequence.

  Args:
    config: config of the model; cell inputs are not counted.
    layout: layout of the sequence.
  """
  pairs = visible_pairs(layout.input_length, layout.prefix_length)
  inner = config.num_heads * config.head_dim
  matrices = 2.0 * config.num_layers * block_parameters(config)
  return Work(
    blocks=matrices * layout.input_length,
    attention=4.0 * pairs * inner * config.num_layers,
    inputs=_inputs(config, layout),
    heads=_heads(config, layout),
  )


def recomputation(
  config: config_lib.PrefixLMConfig, layout: layout_lib.SequenceLayout
) -> float:
  """FLOPs that the backward pass may compute again, a sequence.

  These are the results that the remat policy drops, and the logits of a loss in
  chunks. It is an upper bound: the compiler leaves out results that no gradient
  needs.
  """
  work = of_layout(config, layout)
  again = 0.0
  if config.remat == 'full':
    again += work.blocks + work.attention
  elif config.remat != 'none':
    again += work.attention
  if config.loss_chunk:
    again += work.heads
  return again


def _inputs(
  config: config_lib.PrefixLMConfig, layout: layout_lib.SequenceLayout
) -> float:
  total = 0.0
  for segment in layout.segments:
    rows = 0
    if segment.modality is types.Modality.TEXT and config.text == 'embeddings':
      rows = config.text_embedding_dim
    if (
      segment.modality is types.Modality.VISUAL
      and config.visual_input == 'bits'
    ):
      rows = embeddings.num_bits(layout.vocabulary)
    total += 2.0 * rows * config.width * segment.size
  return total


def _heads(
  config: config_lib.PrefixLMConfig, layout: layout_lib.SequenceLayout
) -> float:
  total = 0.0
  for run in heads.predicted(config, layout):
    if config.loss_vocabulary == 'full':
      rows = layout.vocabulary.size
    elif (
      config.visual_output == 'factors'
      and run.range.modality is types.Modality.VISUAL
    ):
      # Two small tables, and the matrix that mixes in the first factor.
      bits = embeddings.factor_bits(layout.vocabulary)
      rows = sum(2**b for b in bits) + config.width
    else:
      rows = run.range.size
    total += 2.0 * config.width * rows * (run.stop - run.start)
  return total
