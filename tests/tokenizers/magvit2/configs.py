"""Tokenizers small enough to compile in a test."""

from flax import linen as nn
import jax
import numpy as np

from videopoet_jax.tokenizers.magvit2 import bundle
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


def drawn(config):
  """Random weights; no norm or bias is at a neutral value. Compiles nothing."""
  shapes = nn.unbox(
    jax.eval_shape(
      lambda rng: bundle.init_params(config, rng), jax.random.key(0)
    )
  )
  rng = np.random.default_rng(0)

  def draw(path, leaf):
    if leaf.ndim > 1:
      scale, middle = np.prod(leaf.shape[:-1]) ** -0.5, 0.0
    else:
      scale, middle = 0.1, float("'scale'" in jax.tree_util.keystr(path[-1:]))
    return rng.normal(middle, scale, leaf.shape).astype(np.float32)

  return jax.tree_util.tree_map_with_path(draw, shapes)
