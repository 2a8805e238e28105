"""Sizes by name; the name counts the parameters without embeddings.

VideoPoet (section 5.2) has models of 300M, 1B and 8B; their shapes are not
published, so these are ours. The `ul2` variants follow UL2 (arXiv 2205.05131),
its
stated starting point: T5's relative position buckets (along every axis of a
clip, `layers.place_bias`), a SiLU-gated MLP, and no normalization of queries
and keys.
"""

from typing import Any

from videopoet_jax.models import named
from videopoet_jax.models.prefix_lm import config as config_lib

_LARGE: dict[str, Any] = {
  'head_dim': 128,
  'text': 'embeddings',
  'visual_input': 'bits',
  'loss_vocabulary': 'full',
  'loss_chunk': 256,
  'remat': 'full',
  'dtype': 'bfloat16',
}
_UL2: dict[str, Any] = {
  'positions': 't5_buckets',
  'activation': 'silu',
  'qk_norm': False,
}


def _heads(number: int) -> dict[str, int]:
  return {'num_heads': number, 'num_kv_heads': number}


_PRESETS: dict[str, dict[str, Any]] = {
  'tiny': {
    'num_layers': 1,
    'width': 192,
    **_heads(6),
    'head_dim': 32,
    'mlp_dim': 512,
    'cell_hidden': 1024,
    'visual_input': 'bits',
    'visual_output': 'factors',
    'cell_inputs': ('neighbours', 'condition', 'sound', 'echo', 'sight'),
    'text_encoder_layers': 1,
    'scan_layers': False,
  },
  '300m': {
    'num_layers': 24,
    'width': 1024,
    **_heads(8),
    'mlp_dim': 2816,
    **_LARGE,
  },
  '1b': {
    'num_layers': 20,
    'width': 2048,
    **_heads(16),
    'mlp_dim': 5632,
    **_LARGE,
  },
  '8b': {
    'num_layers': 33,
    'width': 4096,
    **_heads(32),
    'mlp_dim': 14336,
    **_LARGE,
  },
}
NAMES = tuple(_PRESETS) + tuple(f'{name}_ul2' for name in _PRESETS)


def preset(name: str = 'tiny', **changes: Any) -> config_lib.PrefixLMConfig:
  """Returns the config of a name, with changed settings.

  Args:
    name: one of `NAMES`.
    **changes: fields of `PrefixLMConfig`.

  Raises:
    ConfigError: the name or a field is not known.
  """
  named.check(config_lib.PrefixLMConfig, 'model', name, NAMES, changes)
  base = name.removesuffix('_ul2')
  variant = _UL2 if base != name else {}
  return config_lib.PrefixLMConfig(**{**_PRESETS[base], **variant, **changes})
