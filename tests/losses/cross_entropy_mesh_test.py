"""The loss on a mesh: exact, and no table, logits or their like ever gathered.

The model's own heads on eight fake devices, against Optax on one.
"""

import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.models.prefix_lm import small
from videopoet_jax.core import specs
from videopoet_jax.core import tasks
from videopoet_jax.core import vocabulary as vocabulary_lib
from videopoet_jax.models.prefix_lm import heads as heads_lib
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules

# Sizes that are found nowhere else, so that a shape tells what it is of.
_VISUAL = 4096
_SPACE = tasks.LayoutSpace(
  vocabulary_lib.Vocabulary(
    visual_size=_VISUAL, audio_levels=2, audio_codes=512, text_size=20
  ),
  specs.VisualSpec(codebook_size=_VISUAL, spatial_stride=8),
  specs.AudioSpec(levels=2, codes=512, sampling_rate=800, hop=400),
  text_slots=3,
)
_BATCH = 8
_MESHES = [
  {'data': 1, 'fsdp': 8},
  {'data': 2, 'fsdp': 2, 'tensor': 2},
  {'data': 2, 'sequence': 2, 'tensor': 2},
]


def _build(loss_vocabulary, loss_chunk, soft_cap=0.0):
  config = small.config(
    loss_vocabulary=loss_vocabulary,
    visual_output='softmax',
    cell_inputs=(),
    loss_chunk=loss_chunk,
    soft_cap=soft_cap,
  )
  heads = heads_lib.Heads(config, _SPACE.vocabulary)
  hidden_1D = jnp.zeros((1, config.width))
  boxed = jax.eval_shape(
    lambda key: heads.init(key, hidden_1D, method='touch')['params'],
    jax.random.key(0),
  )
  generator = np.random.default_rng(0)
  params = jax.tree.map(
    lambda x: jnp.asarray(generator.normal(size=x.shape), jnp.float32),
    rules.unbox(boxed),
  )
  return config, heads, boxed, params


def _run_of(layout, modality, config):
  runs = heads_lib.predicted(config, layout)
  return next(r for r in runs if r.range.modality.value == modality)


def _problem(run, width):
  generator = np.random.default_rng(1)
  shape = (_BATCH, run.stop - run.start)
  labels_BT = generator.integers(run.range.start, run.range.stop, shape)
  hidden_BTD = generator.normal(size=(*shape, width)).astype(np.float32)
  return hidden_BTD, labels_BT.astype(np.int32)


def _ours(heads, run):
  def loss(params, hidden_BTD, labels_BT):
    result = heads.apply(
      {'params': params}, hidden_BTD, labels_BT, run, method='loss'
    )
    return jnp.mean(result.loss_BT)

  return jax.value_and_grad(loss, argnums=(0, 1))


def _optax(config, run):
  """The plain cross-entropy over the same ids."""
  ranges = _SPACE.vocabulary.ranges
  if config.loss_vocabulary == 'full':
    parts = [(m.value, 0, r.start, r.size) for m, r in ranges.items()]
  else:
    admitted = run.range
    parts = [
      (
        admitted.modality.value,
        admitted.table_offset,
        admitted.start,
        admitted.size,
      )
    ]
  ids = np.concatenate([start + np.arange(size) for _, _, start, size in parts])

  def loss(params, hidden_BTD, labels_BT):
    rows_VD = jnp.concatenate(
      [
        params[f'{name}_table'][first : first + size]
        for name, first, _, size in parts
      ]
    )
    logits = jnp.einsum('btd,vd->btv', hidden_BTD, rows_VD)
    if config.soft_cap:
      logits = config.soft_cap * jnp.tanh(logits / config.soft_cap)
    local = jnp.searchsorted(ids, labels_BT)
    found = optax.softmax_cross_entropy_with_integer_labels(logits, local)
    return jnp.mean(found)

  return jax.value_and_grad(loss, argnums=(0, 1))


def _compile(mesh, config, heads, boxed, run, arrays):
  batch = rules.batch_sharding(mesh)
  where = (rules.shardings(boxed, mesh, rules.STANDARD), batch, batch)
  out = (rules.replicated(mesh), (where[0], batch))
  function = jax.jit(_ours(heads, run), in_shardings=where, out_shardings=out)
  return function.lower(*arrays).compile(), where


@pytest.mark.parametrize('sizes', [None, *_MESHES])
@pytest.mark.parametrize(
  ('loss_vocabulary', 'modality', 'loss_chunk', 'soft_cap'),
  [
    ('full', 'visual', 2, 0.0),
    ('full', 'visual', 0, 5.0),
    ('segment', 'visual', 2, 5.0),
    # A part of the audio table's rows.
    ('segment', 'audio', 0, 0.0),
  ],
)
def test_equals_optax(sizes, loss_vocabulary, modality, loss_chunk, soft_cap):
  config, heads, boxed, params = _build(loss_vocabulary, loss_chunk, soft_cap)
  task = 'video_to_audio' if modality == 'audio' else 'unconditional'
  layout = _SPACE.layout(f'{task}/{small.SIZE}')
  run = _run_of(layout, modality, config)
  if modality == 'audio':
    run = [r for r in layout.target_runs if r.range.size > 1][-1]
  hidden_BTD, labels_BT = _problem(run, config.width)
  arrays = (params, hidden_BTD, labels_BT)
  wanted = jax.jit(_optax(config, run))(*arrays)
  if sizes is None:
    found = jax.jit(_ours(heads, run))(*arrays)
  else:
    mesh = mesh_lib.create(mesh_lib.MeshConfig(**sizes))
    with mesh_lib.use(mesh, rules.STANDARD):
      function, where = _compile(mesh, config, heads, boxed, run, arrays)
      placed = jax.tree.map(jax.device_put, arrays, where)
      found = function(*placed)
  chex.assert_trees_all_close(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('sizes', _MESHES)
@pytest.mark.parametrize('loss_vocabulary', ['full', 'segment'])
def test_no_device_ever_holds_a_whole_table_or_its_logits(
  sizes, loss_vocabulary
):
  config, heads, boxed, params = _build(loss_vocabulary, 2)
  layout = _SPACE.layout(f'unconditional/{small.SIZE}')
  run = _run_of(layout, 'visual', config)
  mesh = mesh_lib.create(mesh_lib.MeshConfig(**sizes))
  arrays = (params, *_problem(run, config.width))
  with mesh_lib.use(mesh, rules.STANDARD):
    compiled, _ = _compile(mesh, config, heads, boxed, run, arrays)
  shapes = {
    tuple(map(int, found.split(',')))
    for found in re.findall(r'f32\[([0-9,]+)\]', compiled.as_text())
  }
  parts = mesh.size // mesh.shape['data']
  dimensions = {size for shape in shapes for size in shape}
  assert _VISUAL // parts in dimensions
  # Neither gathered, nor reduced, nor computed whole.
  assert _VISUAL not in dimensions
  # At no time the logits of more positions than a chunk's.
  positions = run.stop - run.start
  largest = max(int(np.prod(shape)) for shape in shapes)
  assert largest < _BATCH * positions * _VISUAL // mesh.size
