"""Clips whose latent frames no window divides: 41 frames as one unit."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.inference import folder
from tests.inference import super_resolution_folder
from tests.models.super_resolution import small
from videopoet_jax.core import specs
from videopoet_jax.core import upscaling
from videopoet_jax.inference.super_resolution import config as config_lib
from videopoet_jax.inference.super_resolution import upscaler
from videopoet_jax.models.super_resolution import model as model_lib
from videopoet_jax.models.super_resolution import presets
from videopoet_jax.parallel import rules
from videopoet_jax.training import super_resolution as training_lib

LONG = 'super_resolution/41x32x32'
_FULL = 'super_resolution/41x448x256'


def test_the_first_stage_of_the_paper_takes_41_frames():
  spec, unit = specs.VisualSpec(), upscaling.Upscaling.parse(_FULL)
  config = presets.preset('sr_1b')
  config.check(unit, spec, spec)
  grid, low_grid = unit.latent(spec), unit.low_latent(spec)
  assert grid == (11, 56, 32)
  model = model_lib.SuperResolution(config, spec.codebook_size)

  def struct(*shape, dtype=jnp.int32):
    return jax.ShapeDtypeStruct((2, *shape), dtype)

  def losses(key, *given):
    params = model.init(key, method='declare')['params']
    return model.apply({'params': params}, *given, method='losses')

  made = jax.eval_shape(
    losses,
    jax.random.key(0),
    struct(*grid),
    struct(*grid, dtype=bool),
    struct(*low_grid),
    struct(dtype=bool),
    struct(64, 2048, dtype=jnp.float32),
    struct(64, dtype=bool),
  )
  assert made.loss_BT.shape == (2, *grid)


@pytest.mark.parametrize('conditioning', ('joint', 'cross'))
def test_a_train_step_of_41_frames_has_gradients(conditioning):
  trainable = training_lib.SuperResolutionTrainable(
    small.config(conditioning=conditioning, low_input=1),
    specs.VisualSpec(codebook_size=64),
    specs.VisualSpec(codebook_size=16),
    (LONG,),
    training_lib.SuperResolutionRecipe(),
    {'visual': 'v', 'low': 'l'},
  )
  drawn = np.random.default_rng(0)
  shapes = trainable.batch_shapes(LONG, 8)
  assert shapes['video_tokens'].shape == (8, 11, 4, 4)
  batch = {}
  for name, struct in shapes.items():
    high = {'video_tokens': 64, 'low_tokens': 16, 'text': 20}.get(name, 2)
    batch[name] = drawn.integers(0, high, struct.shape).astype(struct.dtype)
  params = rules.unbox(trainable.init(jax.random.key(0)))
  params = jax.tree.map(
    lambda leaf: leaf + 0.3 * drawn.normal(size=leaf.shape), params
  )

  def loss(params):
    return trainable.loss(params, batch, jax.random.key(1), jnp.int32(0), LONG)[
      0
    ]

  value, slopes = jax.jit(jax.value_and_grad(loss))(params)
  assert np.isfinite(value)
  for path, slope in jax.tree_util.tree_leaves_with_path(slopes):
    assert np.isfinite(slope).all(), path
    # What is dropped or not there by chance has none; the layers have.
    if 'temporal' in jax.tree_util.keystr(path):
      assert np.any(slope), path


def test_clips_of_41_frames_are_sampled():
  described = super_resolution_folder.described(units=(LONG,))
  codes = super_resolution_folder.CODES
  model = model_lib.SuperResolution(described.config, codes)
  shapes = jax.eval_shape(
    lambda key: model.init(key, method='declare'), jax.random.key(0)
  )
  stage = upscaler.Upscaler(
    'long', model, folder.drawn(shapes['params']), described
  )
  low = np.random.default_rng(0).integers(0, codes, (2, 11, 2, 2), np.int32)
  few = config_lib.UpscaleConfig(num_steps=2, low_guidance=2.0)
  made = stage.upscale(low, config=few, decode_signals=False)
  assert made.ids_BTHW.shape == (2, 11, 4, 4)
  # What comes after a window in time has no influence on it.
  other = low.copy()
  other[:, 8:] = (other[:, 8:] + 1) % codes
  greedy = dataclasses.replace(few, num_steps=1, temperature=0.0)
  first, second = (
    stage.upscale(ids, config=greedy, decode_signals=False).ids_BTHW
    for ids in (low, other)
  )
  np.testing.assert_array_equal(first[:, :8], second[:, :8])
  assert (first[:, 8:] != second[:, 8:]).any()
