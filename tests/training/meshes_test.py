"""A language model on eight devices is the one on one device.

Stated tolerance: gradients of step 0 to 1e-5 and 50 losses to 1e-3 in float32;
both to 1e-8 in float64, where nothing but a wrong term could show.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.prefix_lm import small
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules
from videopoet_jax.training import optimizers
from videopoet_jax.training import prefix_lm
from videopoet_jax.training import schedules
from videopoet_jax.training import state as state_lib
from videopoet_jax.training import step as step_lib

_LAYOUT = f'image_to_video/{small.SIZE}'
_STEPS, _BATCH = 50, 8
_ONE = {'data': 1}
_MESHES = {
  '8': {'data': 8},
  '4x2_fsdp': {'data': 4, 'fsdp': 2},
  '4x2_tensor': {'data': 4, 'tensor': 2},
  '2x2x2': {'data': 2, 'fsdp': 2, 'tensor': 2},
  'fsdp': {'data': 1, 'fsdp': 8},
  'sequence': {'data': 2, 'fsdp': 2, 'sequence': 2},
  'sequence_tensor': {'data': 1, 'sequence': 4, 'tensor': 2},
}
_OPTIMIZER = optimizers.OptimizerConfig(
  learning_rate=0.01,
  schedule=schedules.ScheduleConfig(name='constant', warmup_steps=5),
)


def _trainable(dtype):
  config = small.config(
    cell_inputs=(),
    text_encoder_layers=0,
    visual_input='table',
    visual_output='softmax',
    loss_vocabulary='full',
    loss_chunk=4,
    remat='minimal',
    positions='rotary',
    dtype=dtype,
    param_dtype=dtype,
  )
  return prefix_lm.PrefixLMTrainable(config, small.SPACE, (_LAYOUT,))


def _batches(layout):
  found = []
  for seed in range(4):
    visible_BL = np.ones((_BATCH, layout.length), bool)
    # Slots that captions leave, and a dropped condition.
    visible_BL[::2, layout.slices['text_i'].stop - 1] = False
    visible_BL[1, layout.slices['text_i']] = False
    tokens_BL = small.tokens(layout, _BATCH, seed)
    found.append({'tokens': tokens_BL, 'visible': visible_BL})
  return found


def _train(dtype, sizes):
  """Gradients of step 0 and the loss of every step."""
  trainable = _trainable(dtype)
  boxed = jax.eval_shape(trainable.init, jax.random.key(0))
  generator = np.random.default_rng(0)
  params = jax.tree.map(
    lambda x: (generator.normal(size=x.shape) * 0.3).astype(dtype),
    rules.unbox(boxed),
  )
  optimizer = optimizers.create(_OPTIMIZER, _STEPS, rules.logical_axes(boxed))
  devices = jax.devices()[: np.prod(list(sizes.values()))]
  mesh = mesh_lib.create(mesh_lib.MeshConfig(**sizes), devices)
  batch_sharding = rules.batch_sharding(mesh)
  batches = _batches(trainable.layouts[_LAYOUT])
  gradients = step_lib.make_gradients(trainable, _LAYOUT, seed=0)
  update = step_lib.make_update(optimizer)
  with mesh_lib.use(mesh, rules.STANDARD):
    where = rules.shardings(boxed, mesh, rules.STANDARD)
    placed = jax.tree.map(jax.device_put, params, where)
    first = None

    # Compiling is what takes the time here.
    @functools.partial(
      jax.jit, compiler_options={'xla_backend_optimization_level': 0}
    )
    def step(state, batch):
      grads, metrics = gradients(state.params, batch, state.step)
      state, _ = update(state, grads, {'loss': metrics['loss']})
      return state, grads, metrics['loss']

    state, losses = state_lib.create(placed, optimizer, False), []
    for number in range(_STEPS):
      batch = jax.device_put(batches[number % len(batches)], batch_sharding)
      state, grads, loss = step(state, batch)
      first = jax.device_get(grads) if first is None else first
      losses.append(loss)
    return first, np.array([float(loss) for loss in losses])


@pytest.fixture(name='one', scope='module', params=['float32', 'float64'])
def _one(request):
  dtype = request.param
  with jax.enable_x64(dtype == 'float64'):
    yield dtype, *_train(dtype, _ONE)


@pytest.mark.parametrize('name', list(_MESHES))
def test_gradients_and_losses_are_those_of_one_device(one, name):
  dtype, grads, losses = one
  found, found_losses = _train(dtype, _MESHES[name])
  assert jnp.asarray(losses).dtype == dtype
  close, of_losses = (1e-5, 1e-3) if dtype == 'float32' else (1e-8, 1e-8)
  chex.assert_trees_all_close(found, grads, atol=close, rtol=close)
  np.testing.assert_allclose(found_losses, losses, atol=of_losses, rtol=0)
  # It learned something: equality of a model at rest would say little.
  assert losses[-1] < 0.8 * losses[0]
