"""Configuration of a prefix language model."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from videopoet_jax.checkpoints import describe
from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import types
from videopoet_jax.core import vocabulary as vocabulary_lib
from videopoet_jax.layers import attention
from videopoet_jax.layers import embeddings
from videopoet_jax.layers import neighborhood
from videopoet_jax.layers import transformer

# 'float64' (with JAX_ENABLE_X64) serves to compare runs to the last digit.
POSITIONS = ('learned_3d', 'rotary', 't5_buckets', 't5_sequence')
_RELATIVE = ('t5_buckets', 't5_sequence')
_DTYPES = ('float32', 'bfloat16', 'float64')
_CHOICES = {
  'visual_input': ('table', 'bits'),
  'visual_output': ('softmax', 'factors'),
  'loss_vocabulary': ('full', 'segment'),
  'text': ('tokens', 'embeddings'),
  'positions': POSITIONS,
  'activation': ('gelu', 'silu', 'relu'),
  'remat': transformer.REMAT_POLICIES,
  'attention': attention.IMPLEMENTATIONS,
  'dtype': _DTYPES,
  'param_dtype': _DTYPES,
}


@dataclasses.dataclass(frozen=True)
class PrefixLMConfig:
  """Sizes and choices; sizes by name are in `presets`.

  Attributes:
    num_layers: transformer blocks.
    width: width of the residual stream.
    num_heads: query heads.
    num_kv_heads: key and value heads; divides `num_heads`.
    head_dim: dimensions a head.
    mlp_dim: width within the gated MLP.
    activation: activation of the gated MLP: 'gelu', 'silu' or 'relu'.
    qk_norm: whether queries and keys are RMS-normalized.
    positions: 'learned_3d' (a table for each of time, row and column), 'rotary'
      (angles of the same three), 't5_buckets' (relative, along each of the
      three) or 't5_sequence' (relative, along the sequence, as in earlier `ul2`
      checkpoints; it does not tell frames apart).
    place_limits: rows of the learned tables, identities of features among them.
    lookahead: with 'learned_3d', whether a position also learns the place of
      the token that it predicts.
    cell_inputs: extra inputs, keys of `layers.neighborhood.SOURCES`: tokens
      near the predicted place. Not in the paper; they help small models.
    cell_hidden: width of the layer that reads them.
    visual_input: whether visual ids are embedded by a 'table' or their 'bits'.
    visual_output: whether visual ids are predicted by one 'softmax' (the
      paper's) or by two 'factors' of half the bits each, the second given the
      first.
    loss_vocabulary: 'full' takes the softmax over all ids (the paper's),
      'segment' over those that the layout admits at the position.
    text: 'tokens' (a table learned with the model) or 'embeddings' (a linear
      projection of a frozen encoder's, the paper's).
    text_embedding_dim: width of the given text embeddings (2,048 for T5 XL).
    text_encoder_layers: bidirectional blocks over the text alone before it
      joins the sequence: a small encoder, trained with the model.
    soft_cap: bound of the output logits; 0 leaves them.
    z_loss: weight of the squared logarithm of the softmax's denominator.
    loss_chunk: positions, over the examples of one device, whose logits exist
      at one time and are computed again in the backward pass; 0 for all.
    attention: implementation, one of `layers.attention.IMPLEMENTATIONS`;
      'auto' takes the fused kernel of the devices.
    scan_layers: whether one compiled body serves all layers.
    remat: what the backward pass keeps, one of
      `layers.transformer.REMAT_POLICIES`.
    dtype: dtype of the computation.
    param_dtype: dtype that parameters are stored in.
  """

  num_layers: int = 6
  width: int = 128
  num_heads: int = 4
  num_kv_heads: int = 4
  head_dim: int = 32
  mlp_dim: int = 384
  activation: str = 'gelu'
  qk_norm: bool = True
  positions: str = 'learned_3d'
  place_limits: embeddings.PlaceLimits = embeddings.PlaceLimits()
  lookahead: bool = True
  cell_inputs: tuple[str, ...] = ()
  cell_hidden: int = 256
  visual_input: str = 'table'
  visual_output: str = 'softmax'
  loss_vocabulary: str = 'segment'
  text: str = 'tokens'
  text_embedding_dim: int = 2048
  text_encoder_layers: int = 0
  soft_cap: float = 0.0
  z_loss: float = 1e-4
  loss_chunk: int = 0
  attention: str = 'auto'
  scan_layers: bool = True
  remat: str = 'none'
  dtype: str = 'float32'
  param_dtype: str = 'float32'

  def __post_init__(self) -> None:
    # JSON and gin give lists and dicts.
    object.__setattr__(self, 'cell_inputs', tuple(self.cell_inputs))
    if isinstance(self.place_limits, Mapping):
      limits: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in self.place_limits.items()
      }
      object.__setattr__(self, 'place_limits', embeddings.PlaceLimits(**limits))
    for name, known in _CHOICES.items():
      self._choose(name, getattr(self, name), known)
    for name in self.cell_inputs:
      self._choose('cell_inputs', name, tuple(neighborhood.SOURCES))
    for name in (
      'num_layers',
      'width',
      'num_heads',
      'num_kv_heads',
      'head_dim',
      'mlp_dim',
      'cell_hidden',
    ):
      if getattr(self, name) < 1:
        self._refuse(name, 'it must be at least 1')
    errors.check_range(self, 'text_embedding_dim', least=1)
    errors.check_range(
      self, 'text_encoder_layers', 'soft_cap', 'z_loss', 'loss_chunk'
    )
    if self.num_heads % self.num_kv_heads:
      self._refuse('num_kv_heads', f'it must divide num_heads={self.num_heads}')
    if self.positions == 'rotary' and self.head_dim % 2:
      self._refuse('head_dim', 'it must be even for rotary positions')
    if self.place_limits.features < 0:
      self._refuse('place_limits', 'features must be at least 0')
    if self.positions in _RELATIVE and self.attention in attention.FUSED:
      self._refuse(
        'attention',
        'fused kernels add no bias to the logits, and '
        f"positions={self.positions!r} are one; use 'auto' or 'xla'",
      )
    if self.visual_output == 'factors' and self.loss_vocabulary == 'full':
      self._refuse(
        'loss_vocabulary',
        "factor heads do not make one softmax over all ids; use 'segment'",
      )

  def _refuse(self, name: str, why: str) -> None:
    raise errors.ConfigError(
      f'PrefixLMConfig.{name} is {getattr(self, name)!r}: {why}.'
    )

  def _choose(self, name: str, value: str, known: tuple[str, ...]) -> None:
    errors.check_choice(f'PrefixLMConfig.{name}', value, known)

  def check(
    self,
    vocabulary: vocabulary_lib.Vocabulary,
    layouts: tuple[layout_lib.SequenceLayout, ...] = (),
  ) -> None:
    """Checks that a vocabulary and layouts match this config.

    Raises:
      ConfigError: they do not; the message names the setting to change.
    """
    size = vocabulary.visual_size
    if size & (size - 1) and 'table softmax' != (
      f'{self.visual_input} {self.visual_output}'
    ):
      raise errors.ConfigError(
        f'Vocabulary.visual_size={size} is not a power of two, so visual ids '
        "have no bits; set PrefixLMConfig.visual_input='table' and "
        "visual_output='softmax'."
      )
    for layout in layouts:
      misfit = self.place_limits.misfit(layout, self.positions == 'learned_3d')
      if misfit:
        raise errors.ConfigError(
          f'{layout.name}: {misfit}; raise PrefixLMConfig.place_limits.'
        )
      self._check_alike(layout)
      texts = [s for s in layout.filled() if s.modality is types.Modality.TEXT]
      if self.text == 'embeddings' and len(texts) > 1:
        raise errors.ConfigError(
          f'{layout.name} has {len(texts)} texts, and a model of text '
          "embeddings takes one; set PrefixLMConfig.text='tokens'."
        )

  def _check_alike(self, layout: layout_lib.SequenceLayout) -> None:
    alike = layout.alike(self.place_limits.features > 0)
    if alike and self.place_limits.features:
      raise errors.ConfigError(
        f'{layout.name}: segments {alike[0].name!r} and {alike[1].name!r} hold '
        'the same feature at the same places, so the model cannot tell them '
        'apart; leave one out.'
      )
    if alike:
      raise errors.ConfigError(
        f'{layout.name}: segments {alike[0].name!r} and {alike[1].name!r} look '
        'the same to a model without identities (PlaceLimits.features=0, as in '
        'checkpoints from before there were any); train one that has them, '
        'from the checkpoint with --init_from, or choose another layout.'
      )

  @property
  def is_earlier(self) -> bool:
    """Whether versions before identities could have made this model."""
    return not self.place_limits.features and self.positions != 't5_buckets'


def to_description(config: PrefixLMConfig) -> dict[str, Any]:
  """Returns JSON values; an earlier model's are those of its version.

  So an earlier run resumes with `PlaceLimits.features=0`.
  """
  described = dataclasses.asdict(config)
  if config.is_earlier:
    del described['place_limits']['features']
    if config.positions == 't5_sequence':
      described['positions'] = 't5_buckets'
  return described


def from_description(description: Mapping[str, Any]) -> PrefixLMConfig:
  """Inverse of `to_description`; see `checkpoints.describe.read_config`.

  A description without features is from before they had identities: the model
  has none, and its T5 buckets run along the sequence.
  """
  described = dict(description)
  limits = dict(described.get('place_limits') or {})
  if 'features' not in limits:
    described['place_limits'] = {**limits, 'features': 0}
    if described.get('positions') == 't5_buckets':
      described['positions'] = 't5_sequence'
  return describe.read_config(PrefixLMConfig, described, 'model')
