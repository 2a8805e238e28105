"""A super-resolution model so small that a test compiles it in seconds."""

from typing import Any, NamedTuple

import numpy as np

from tests.models import drawn
from videopoet_jax.models.super_resolution import config as config_lib
from videopoet_jax.models.super_resolution import model as model_lib

CODES, LOW_CODES = 64, 16
TEXT_SIZE, SLOTS = 20, 3


class Inputs(NamedTuple):
  """Arguments of `SuperResolution.hidden`."""

  tokens_BTHW: np.ndarray
  masked_BTHW: np.ndarray
  low_BTHW: np.ndarray
  low_visible_B: np.ndarray
  text_BS: np.ndarray
  text_visible_BS: np.ndarray


def config(**changes: Any) -> config_lib.SuperResolutionConfig:
  settings = {
    'num_blocks': 1,
    'width': 16,
    'num_heads': 2,
    'head_dim': 8,
    'mlp_dim': 24,
    'windows': ((1, 0, 2), (1, 2, 4), (5, 2, 2)),
    'low_input': 3,
    'text_encoder_layers': 1,
    'text_vocab_size': TEXT_SIZE,
    'text_slots': SLOTS,
    'text_embedding_dim': 5,
  }
  return config_lib.SuperResolutionConfig(**{**settings, **changes})


def build(
  settings: config_lib.SuperResolutionConfig, seed: int = 0
) -> tuple[model_lib.SuperResolution, Any]:
  """A model and random parameters, drawn without compiling an initializer."""
  model = model_lib.SuperResolution(settings, CODES, LOW_CODES)
  return model, drawn.params(model, 0.4, seed)


def inputs(
  grid: tuple[int, int, int] = (2, 4, 4), batch: int = 2, seed: int = 0
) -> Inputs:
  """Any ids, some masked, all conditions given."""
  generator = np.random.default_rng(seed)
  low = grid[0], grid[1] // 2, grid[2] // 2

  def draw(size: int, *shape: int) -> np.ndarray:
    return generator.integers(0, size, (batch, *shape), np.int32)

  return Inputs(
    draw(CODES, *grid),
    draw(2, *grid).astype(bool),
    draw(LOW_CODES, *low),
    np.ones(batch, bool),
    draw(TEXT_SIZE, SLOTS),
    np.broadcast_to(np.arange(SLOTS) < SLOTS - 1, (batch, SLOTS)).copy(),
  )
