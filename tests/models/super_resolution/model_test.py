"""Sizes, conditions, places and losses of the super-resolution model."""

import json
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.models.super_resolution import small
from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.core import upscaling
from videopoet_jax.models.super_resolution import config as config_lib
from videopoet_jax.models.super_resolution import description
from videopoet_jax.models.super_resolution import model as model_lib
from videopoet_jax.models.super_resolution import presets
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules

_SPEC = specs.VisualSpec()


@pytest.mark.parametrize(
  ('stage', 'size', 'grid', 'windows'),
  [
    ('sr_stage1', 1e9, (5, 56, 32), ((1, 56, 4), (1, 8, 32), (5, 8, 8))),
    ('sr_stage2', 5e8, (5, 112, 64), ((1, 112, 2), (1, 4, 64), (5, 8, 8))),
  ],
)
def test_stages_of_the_paper(stage, size, grid, windows):
  name, unit = presets.STAGES[stage]
  config = presets.preset(name)
  assert config.windows == windows
  size_of = upscaling.Upscaling.parse(unit)
  config.check(size_of, _SPEC, _SPEC)
  assert size_of.latent(_SPEC) == grid
  model = model_lib.SuperResolution(config, _SPEC.codebook_size)
  shapes = rules.unbox(
    jax.eval_shape(
      lambda key: model.init(key, method='declare'), jax.random.key(0)
    )['params']
  )
  number = sum(math.prod(x.shape) for x in jax.tree.leaves(shapes['stack']))
  assert abs(number / size - 1) < 0.05
  # Two heads of 512 ids in place of one of 262,144.
  assert shapes['head']['first_table'].shape == (512, config.width)
  assert shapes['head']['second_table'].shape == (512, config.width)

  def struct(*shape, dtype=jnp.int32):
    return jax.ShapeDtypeStruct((2, *shape), dtype)

  low_grid = size_of.low_latent(_SPEC)
  assert low_grid == (grid[0], grid[1] // 2, grid[2] // 2)
  losses = jax.eval_shape(
    lambda p, *given: model.apply({'params': p}, *given, method='losses'),
    shapes,
    struct(*grid),
    struct(*grid, dtype=bool),
    struct(*low_grid),
    struct(dtype=bool),
    struct(64, 2048, dtype=jnp.float32),
    struct(64, dtype=bool),
  )
  assert losses.loss_BT.shape == (2, *grid)


@pytest.fixture(scope='module')
def built():
  model, params = small.build(small.config())
  run = jax.jit(lambda *given: model.apply({'params': params}, *given))
  return lambda given: np.asarray(run(*given))


def test_masked_ids_are_not_looked_at_and_known_ones_are(built):
  given = small.inputs()
  masked = given.masked_BTHW
  base = built(given)
  other = (given.tokens_BTHW + 7) % small.CODES
  hidden = np.where(masked, other, given.tokens_BTHW)
  np.testing.assert_array_equal(built(given._replace(tokens_BTHW=hidden)), base)
  known = np.where(masked, given.tokens_BTHW, other)
  assert (built(given._replace(tokens_BTHW=known)) != base).any()


@pytest.mark.parametrize(
  ('values', 'visible', 'size'),
  [
    ('low_BTHW', 'low_visible_B', small.LOW_CODES),
    ('text_BS', 'text_visible_BS', small.TEXT_SIZE),
  ],
)
def test_a_dropped_condition_has_no_influence(built, values, visible, size):
  given = small.inputs()
  others = given._replace(**{values: (getattr(given, values) + 3) % size})
  assert (built(others) != built(given)).any(axis=(1, 2, 3, 4)).all()
  # Of the first example alone: nothing reaches over to the second.
  kept = getattr(given, visible).copy()
  kept[0] = False
  dropped = built(given._replace(**{visible: kept}))
  assert np.isfinite(dropped).all()
  np.testing.assert_array_equal(dropped[1], built(given)[1])
  assert (dropped[0] != built(given)[0]).any()
  again = built(others._replace(**{visible: kept}))
  np.testing.assert_array_equal(again[0], dropped[0])


def test_padding_of_the_text_is_hidden(built):
  given = small.inputs()
  text = given.text_BS.copy()
  text[:, -1] = (text[:, -1] + 1) % small.TEXT_SIZE
  np.testing.assert_array_equal(
    built(given._replace(text_BS=text)), built(given)
  )


def test_a_tile_is_what_it_is_within_a_larger_frame():
  """Places are differences: a tile of whole windows does not know where it is.

  A whole-column window and the convolution over the condition would reach out
  of the tile, so there are none here.
  """
  model, params = small.build(
    small.config(windows=((1, 4, 2), (1, 2, 4), (5, 2, 2)), low_input=0)
  )
  run = jax.jit(lambda *given: model.apply({'params': params}, *given))
  whole = small.inputs((2, 8, 8))
  frame = np.asarray(run(*whole))
  tile = whole._replace(
    tokens_BTHW=whole.tokens_BTHW[:, :, 4:, :4],
    masked_BTHW=whole.masked_BTHW[:, :, 4:, :4],
    low_BTHW=whole.low_BTHW[:, :, 2:, :2],
  )
  np.testing.assert_allclose(run(*tile), frame[:, :, 4:, :4], atol=1e-5)
  # The same weights take an image.
  image = run(*small.inputs((1, 4, 4)))
  assert image.shape == (2, 1, 4, 4, 16) and np.isfinite(image).all()


def test_loss_is_the_sum_of_both_factors():
  model, params = small.build(small.config())
  variables = {'params': params}
  generator = np.random.default_rng(0)
  hidden = generator.normal(size=(2, 1, 2, 3, 16)).astype(np.float32)
  labels = generator.integers(0, small.CODES, (2, 1, 2, 3), np.int32)
  result = model.apply(variables, hidden, labels, method='loss')
  rows, ids = hidden.reshape(-1, 16), labels.reshape(-1)
  first = model.apply(variables, rows, method='first_factor')
  second = model.apply(variables, rows, ids >> 3, method='second_factor')
  expected = optax.softmax_cross_entropy_with_integer_labels(
    first, ids >> 3
  ) + optax.softmax_cross_entropy_with_integer_labels(second, ids & 7)
  np.testing.assert_allclose(
    result.loss_BT, np.asarray(expected).reshape(labels.shape), rtol=1e-5
  )


@pytest.mark.parametrize('certain', [True, False])
def test_blocks_under_scan_and_on_a_mesh_are_the_same(certain):
  # Plain, as the paper's; or with all that `sr_tiny` has.
  plain = {'low_input': 0, 'text_encoder_layers': 0}
  settings = {
    'num_blocks': 2,
    **({'conditioning': 'joint'} if certain else plain),
  }
  scanned, params = small.build(small.config(**settings, remat='minimal'))
  unrolled, _ = small.build(small.config(**settings, scan_layers=False))
  given = small.inputs(batch=4)
  if not certain:
    shape = (*given.low_BTHW.shape, 4)
    codes = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    given = given._replace(low_BTHW=codes)

  def gradients(model, params):
    def loss(params):
      result = model.apply({'params': params}, *given, method='losses')
      return jnp.mean(result.loss_BT * given.masked_BTHW)

    return jax.jit(jax.grad(loss))(params)

  mesh = mesh_lib.create(mesh_lib.MeshConfig(data=2, fsdp=2, tensor=2))
  boxed = jax.eval_shape(
    lambda key: scanned.init(key, method='declare'), jax.random.key(0)
  )['params']
  with mesh_lib.use(mesh, rules.STANDARD):
    placed = jax.device_put(
      params, rules.shardings(boxed, mesh, rules.STANDARD)
    )
    spread = gradients(scanned, placed)
  stacked = params['stack']['blocks']
  blocks = {
    f'block_{i}': jax.tree.map(lambda leaf, i=i: leaf[i], stacked)
    for i in range(2)
  }
  apart = gradients(unrolled, {**params, 'stack': blocks})
  apart['stack'] = {
    'blocks': jax.tree.map(
      lambda *leaves: jnp.stack(leaves), *apart['stack'].values()
    )
  }
  chex.assert_trees_all_close(spread, apart, rtol=1e-4, atol=1e-5)


def test_description_comes_back_whole():
  described = description.Description(
    small.config(),
    specs.VisualSpec(codebook_size=small.CODES),
    specs.VisualSpec(codebook_size=small.LOW_CODES),
    ('super_resolution/17x64x64', 'super_resolution/1x64x64'),
    {'visual': 'a', 'low': 'b'},
  )
  values = json.loads(json.dumps(description.describe(described)))
  assert description.read(values) == described
  assert described.upscalings()[1].frames == 1
  with pytest.raises(errors.CheckpointError, match="'prefix_lm'"):
    description.read({'kind': 'prefix_lm'})
  values['config']['depth'] = 3
  with pytest.raises(errors.CheckpointError, match='depth'):
    description.read(values)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'conditioning': 'crss'}, "did you mean 'cross'"),
    ({'windows': ((1, 8, 3), (1, 4, 8), (5, 4, 4))}, 'use 2 or 4'),
    ({'windows': ((1, 8, 4),)}, 'expected three'),
    ({'low_input': 2}, 'odd, or 0'),
    ({'width': 0}, 'at least 1'),
  ],
)
def test_impossible_configs_are_refused(changes, message):
  with pytest.raises(errors.ConfigError, match=message):
    config_lib.SuperResolutionConfig(**changes)


def test_units_that_do_not_fit_are_refused():
  config = small.config(windows=((1, 8, 4), (1, 4, 8), (5, 4, 4)))
  unit = upscaling.Upscaling(17, 128, 96)
  with pytest.raises(errors.LayoutError, match=r'12 columns .* 8 or 16'):
    config.check(unit, _SPEC, _SPEC)
  with pytest.raises(errors.ConfigError, match='make them equal'):
    config.check(upscaling.Upscaling(17, 128, 128, 4), _SPEC, _SPEC)
  # 4,096 codes of a learned codebook have ids of 12 bits without a meaning.
  without = specs.VisualSpec(codebook_size=4096, has_bits=False)
  for grids in ((without, _SPEC), (_SPEC, without)):
    with pytest.raises(errors.ConfigError, match='super-resolution reads.*bit'):
      config.check(upscaling.Upscaling(17, 128, 128), *grids)
  with pytest.raises(errors.ConfigError, match='low codebook of 1000'):
    config.check(
      upscaling.Upscaling(17, 128, 128),
      _SPEC,
      specs.VisualSpec(codebook_size=1000),
    )
  model, params = small.build(config)
  given = small.inputs((1, 8, 8))
  with pytest.raises(errors.LayoutError, match=r'condition of \(1, 4, 4\)'):
    model.apply({'params': params}, *given._replace(low_BTHW=given.tokens_BTHW))


@pytest.mark.parametrize(
  'name', ['masked_BTHW', 'low_BTHW', 'low_visible_B', 'text_BS']
)
def test_one_example_is_not_broadcast(name):
  model, params = small.build(small.config())
  given = small.inputs()
  one = given._replace(**{name: getattr(given, name)[:1]})
  with pytest.raises(AssertionError, match='shape'):
    model.apply({'params': params}, *one)


def test_labels_lie_in_the_grid_of_the_hidden_states():
  model, params = small.build(small.config())
  hidden = jnp.zeros((2, 2, 4, 4, model.config.width))
  with pytest.raises(AssertionError, match='shape'):
    model.apply(
      {'params': params}, hidden, jnp.zeros((2, 4, 4, 2), int), method='loss'
    )
