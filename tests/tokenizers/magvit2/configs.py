"""Tokenizers small enough to compile in a test."""

from videopoet_jax.tokenizers.magvit2 import config as config_lib

CONVOLUTIONAL = config_lib.VisualTokenizerConfig(
  architecture='magvit2',
  num_bits=6,
  channels=4,
  channel_multipliers=(1, 1, 2, 2),
  num_residual_blocks=1,
  norm_groups=2,
)
PATCH = config_lib.VisualTokenizerConfig(
  architecture='patch',
  num_bits=6,
  patch_hidden_dim=16,
  patch_dim=8,
  latent_dim=16,
  output_hidden_dim=16,
)
BOTH = {'magvit2': CONVOLUTIONAL, 'patch': PATCH}
