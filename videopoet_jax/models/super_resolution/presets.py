"""Sizes by name; `sr_1b` and `sr_500m` count parameters without embeddings.

VideoPoet (section 3.4, appendix) has a first stage of 1B for ids of (5, 56, 32)
and a second of 500M for (5, 112, 64), and states their windows; the other sizes
are ours.
"""

from typing import Any

from videopoet_jax.models import named
from videopoet_jax.models.super_resolution import config as config_lib

_LARGE: dict[str, Any] = {
  # Short windows spend their time on softmaxes, one a head: few, wide heads.
  'head_dim': 256,
  'text': 'embeddings',
  # Windows are too short to gain from the fused kernels.
  'attention': 'xla',
  'remat': 'full',
  'dtype': 'bfloat16',
}
_PRESETS: dict[str, dict[str, Any]] = {
  'sr_tiny': {
    'num_blocks': 1,
    'width': 160,
    'num_heads': 5,
    'head_dim': 32,
    'mlp_dim': 448,
    'windows': ((1, 0, 4), (1, 4, 0), (5, 4, 4)),
    'conditioning': 'joint',
    'low_input': 3,
    'text_encoder_layers': 1,
    'scan_layers': False,
  },
  'sr_1b': {
    'num_blocks': 4,
    'width': 2048,
    'num_heads': 8,
    'mlp_dim': 5632,
    'windows': ((1, 56, 4), (1, 8, 32), (5, 8, 8)),
    **_LARGE,
  },
  'sr_500m': {
    'num_blocks': 3,
    'width': 1536,
    'num_heads': 6,
    'mlp_dim': 6144,
    'windows': ((1, 112, 2), (1, 4, 64), (5, 8, 8)),
    **_LARGE,
  },
}
NAMES = tuple(_PRESETS)
# The paper's stages: preset and unit.
STAGES = {
  'sr_stage1': ('sr_1b', 'super_resolution/17x448x256'),
  'sr_stage2': ('sr_500m', 'super_resolution/17x896x512'),
}


def preset(
  name: str = 'sr_tiny', **changes: Any
) -> config_lib.SuperResolutionConfig:
  """Returns the config of a name, with changed settings.

  Args:
    name: one of `NAMES`.
    **changes: fields of `SuperResolutionConfig`.

  Raises:
    ConfigError: the name or a field is not known.
  """
  named.check(
    config_lib.SuperResolutionConfig, 'super-resolution', name, NAMES, changes
  )
  return config_lib.SuperResolutionConfig(**{**_PRESETS[name], **changes})
