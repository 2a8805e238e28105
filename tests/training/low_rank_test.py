"""Low-rank adapters: what is trained, saved and merged, and where it lies."""

import dataclasses
import json
import pathlib
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.prefix_lm import small
from tests.training import tiny
from videopoet_jax.checkpoints import contents
from videopoet_jax.checkpoints import export
from videopoet_jax.checkpoints import opened
from videopoet_jax.core import errors
from videopoet_jax.core import low_rank as low_rank_lib
from videopoet_jax.layers import low_rank as layer
from videopoet_jax.models.prefix_lm import presets
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules
from videopoet_jax.training import loop
from videopoet_jax.training import loop_config
from videopoet_jax.training import low_rank
from videopoet_jax.training import lowering
from videopoet_jax.training import optimizers
from videopoet_jax.training import prefix_lm
from videopoet_jax.training import schedules

_LAYOUT = f'text_to_video/{small.SIZE}'
_CONFIG = low_rank_lib.LowRankConfig(rank=3, alpha=6.0)
_OPTIMIZER = optimizers.OptimizerConfig(
  learning_rate=0.02,
  # A large epsilon: Adam must not blow rounding up to a whole step.
  epsilon=1e-3,
  schedule=schedules.ScheduleConfig(name='constant', warmup_steps=1),
)
_LOOP = loop_config.LoopConfig(
  total_steps=4, log_every=1, save_every=2, keep=5, tensorboard=False,
  # Compiling is what takes the time here.
  compiler_options={'xla_backend_optimization_level': 0},
)  # fmt: skip


def _inner(scan=False, **changes):
  settings = small.config(
    scan_layers=scan,
    cell_inputs=('neighbours',),
    visual_output='softmax',
    text_encoder_layers=0,
    **changes,
  )
  return prefix_lm.PrefixLMTrainable(settings, small.SPACE, (_LAYOUT,))


class _Batches:
  """Random tokens of one layout."""

  def units(self):
    return (_LAYOUT,)

  def unit_at(self, step):
    return _LAYOUT

  def batch(self, step):
    layout = small.SPACE.layout(_LAYOUT)
    return {
      'tokens': small.tokens(layout, 8, step % 2),
      'visible': np.ones((8, layout.length), bool),
    }


def _run(trainable, run_dir, devices=1, mesh=None, **options):
  options = {'config': _LOOP, 'optimizer': _OPTIMIZER, **options}
  return loop.run(
    trainable,
    _Batches(),
    run_dir,
    mesh=mesh_lib.MeshConfig(**(mesh or {})),
    devices=jax.devices()[:devices],
    log=lambda line: None,
    **options,
  )


@pytest.fixture(name='base', scope='module', params=[False, True])
def _base(request, tmp_path_factory):
  """A pretrained model whose layers are in a row, or under a scan."""
  folder = tmp_path_factory.mktemp('base')
  config = dataclasses.replace(_LOOP, total_steps=2)
  _run(_inner(request.param), folder, config=config)
  return request.param, folder


@pytest.fixture(name='adapted', scope='module')
def _adapted(base, tmp_path_factory):
  """A run of four steps of adapters on it."""
  scan, folder = base
  trainable = low_rank.LowRankTrainable(_inner(scan), _CONFIG)
  run_dir = tmp_path_factory.mktemp('adapted')
  result = _run(trainable, run_dir, init_from=folder)
  return trainable, run_dir, result


def _equal(a, b):
  chex.assert_trees_all_equal(a, b)


def _losses(run_dir):
  lines = (pathlib.Path(run_dir) / 'metrics.jsonl').read_text().splitlines()
  records = [json.loads(line) for line in lines]
  return [record['loss'] for record in records if 'loss' in record]


def test_the_first_step_is_the_bases(base, adapted):
  scan, folder = base
  _, params = export.load_params(folder)
  inner = _inner(scan)
  trainable = adapted[0]
  adapters = rules.unbox(trainable.init(jax.random.key(0), None))
  batch = _Batches().batch(0)
  arguments = (batch, jax.random.key(0), jnp.int32(0), _LAYOUT)
  compute = jax.jit(lambda p: inner.loss(p, *arguments))
  with_adapters = jax.jit(
    lambda p, a: trainable.loss(layer.Adapted(p, a), *arguments)[0]
  )
  loss, metrics = compute(params)
  # Adapters add exact zeros; XLA may sum the two programs in another order.
  np.testing.assert_array_max_ulp(loss, with_adapters(params, adapters), 1)
  assert float(metrics['loss']) == pytest.approx(_losses(adapted[1])[0])


def test_only_adapters_are_trained_and_saved(base, adapted):
  _, folder = base
  trainable, run_dir, result = adapted
  # The base in the run's folder is the pretrained one, before and after.
  _, pretrained = export.load_params(folder)
  _equal(opened.read_arrays(run_dir / 'base/params'), pretrained)
  # What was learned is in both factors of every adapter.
  first = rules.unbox(trainable.init(jax.random.key(_LOOP.seed), None))
  for (path, before), after in zip(
    jax.tree_util.tree_leaves_with_path(first),
    jax.tree.leaves(result.state.params),
  ):
    assert np.any(np.asarray(after) != before), path
  # Optimizer state and steps hold nothing of the base's size.
  trained = {x.shape for x in jax.tree.leaves(result.state.params)}
  moments = {x.shape for x in jax.tree.leaves(result.state.optimizer)}
  assert moments <= trained | {()}
  saved = contents.saved_arrays(run_dir / 'steps/4/params')
  assert {shape for shape, _ in saved.values()} == trained
  assert all(name.endswith(('/a', '/b')) for name in saved)
  assert _losses(run_dir)[-1] < _losses(run_dir)[1]


def test_merged_equals_unmerged(base, adapted, tmp_path):
  scan, _ = base
  trainable, run_dir, result = adapted
  described, merged = export.load_params(run_dir)
  assert low_rank_lib.KEY not in described
  # By hand: base + scale a b, the heads' axes multiplied.
  base_params = opened.read_arrays(run_dir / 'base/params')
  inner = 'layers' if scan else 'layer_0'
  pick = (lambda x: x[0]) if scan else (lambda x: x)

  def query(tree):
    node = tree['stack'][inner]['block']['attention']['query']
    return jax.tree.map(lambda x: pick(np.asarray(x)), node)

  pair = query(jax.device_get(result.state.params))
  expected = query(base_params) + 2.0 * np.einsum(
    'dr,rnh->dnh', pair['a'], pair['b']
  )
  np.testing.assert_allclose(query(merged), expected, atol=1e-6)
  assert np.abs(query(merged) - query(base_params)).max() > 1e-4
  # What has no adapter is the base's.
  _equal(merged['embedding'], base_params['embedding'])

  batch = _Batches().batch(0)
  arguments = (batch, jax.random.key(0), jnp.int32(0), _LAYOUT)
  whole = layer.Adapted(base_params, jax.device_get(result.state.params))
  unmerged = jax.jit(lambda p: trainable.loss(p, *arguments)[0])(whole)
  plain = jax.jit(lambda p: trainable.inner.loss(p, *arguments)[0])(merged)
  assert float(plain) == pytest.approx(float(unmerged), abs=1e-5)

  # An export is a folder as any other, and training can start from it.
  out = export.export_params(run_dir, tmp_path / 'out')
  description, exported = export.load_params(out)
  assert low_rank_lib.KEY not in description
  assert not (out / 'base').exists()
  _equal(exported, merged)
  again = _run(
    trainable.inner,
    tmp_path / 'again',
    config=dataclasses.replace(_LOOP, total_steps=1),
    optimizer=dataclasses.replace(_OPTIMIZER, learning_rate=0.0),
    init_from=run_dir,
  )
  _equal(jax.device_get(again.state.params), merged)


def test_a_resumed_run_is_equal_bit_for_bit(adapted, tmp_path):
  trainable, run_dir, result = adapted
  copied = tmp_path / 'copied'
  shutil.copytree(run_dir, copied)
  shutil.rmtree(copied / 'steps/4')
  # The pretrained folder is not asked for again.
  resumed = _run(trainable, copied)
  assert resumed.steps == 4
  for part in ('params', 'optimizer'):
    _equal(getattr(resumed.state, part), getattr(result.state, part))
  _equal(export.load_params(copied)[1], export.load_params(run_dir)[1])


@pytest.mark.parametrize('base', [True], indirect=True)
def test_eight_devices_equal_one(base, adapted, tmp_path):
  _, folder = base
  trainable, _, one = adapted
  eight = _run(
    trainable,
    tmp_path / 'eight',
    devices=8,
    mesh={'data': 2, 'fsdp': 2, 'tensor': 2},
    init_from=folder,
  )
  split = [
    not x.sharding.is_fully_replicated for x in jax.tree.leaves(eight.params)
  ]
  assert sum(split) > len(split) / 2
  chex.assert_trees_all_close(
    jax.device_get(one.params), jax.device_get(eight.params), atol=1e-5
  )
  _equal(
    opened.read_arrays(tmp_path / 'eight/base/params'),
    export.load_params(folder)[1],
  )


def test_a_run_with_adapters_and_one_without_are_not_mixed(adapted, base):
  _, folder = base
  trainable, run_dir, _ = adapted
  longer = dataclasses.replace(_LOOP, total_steps=9)
  files = [p for p in run_dir.rglob('*') if p.is_file()]
  before = {path: path.read_bytes() for path in files}
  with pytest.raises(errors.CheckpointError, match='low_rank'):
    _run(trainable.inner, run_dir, config=longer, init_from=folder)
  with pytest.raises(errors.CheckpointError, match=r'low_rank\.rank: 3 and 4'):
    config = dataclasses.replace(_CONFIG, rank=4)
    _run(dataclasses.replace(trainable, config=config), run_dir, config=longer)
  with pytest.raises(errors.CheckpointError, match='low_rank'):
    _run(trainable, folder, config=longer, init_from=folder)
  assert before == {path: path.read_bytes() for path in before}


def test_what_cannot_act_is_refused(base, tmp_path):
  scan, folder = base
  for settings, message in (
    ({'rank': 0}, 'LowRankConfig.rank is 0'),
    ({'alpha': 0.0}, 'LowRankConfig.alpha is 0'),
    ({'matrices': '('}, 'is no pattern'),
  ):
    with pytest.raises(errors.ConfigError, match=message):
      low_rank_lib.LowRankConfig(**settings)
  for settings, message in (
    ({'matrices': 'atention'}, 'matches no matrix.*attention/query'),
    # Tables and vectors are no matrices.
    ({'matrices': 'table|scale'}, 'matches no matrix'),
    ({'rank': 16}, 'less than its smaller side'),
  ):
    config = low_rank_lib.LowRankConfig(**{'rank': 3, **settings})
    with pytest.raises(errors.ConfigError, match=message):
      trainable = low_rank.LowRankTrainable(_inner(scan), config)
      _run(trainable, tmp_path / 'run', init_from=folder)
  # Nothing is in the way of the run once it is put right.
  assert not (tmp_path / 'run').exists()
  trainable = low_rank.LowRankTrainable(_inner(scan), _CONFIG)
  with pytest.raises(errors.ConfigError, match='no --init_from'):
    _run(trainable, tmp_path / 'none')
  assert not (tmp_path / 'none').exists()
  with pytest.raises(errors.ConfigError, match='trains a tiny'):
    low_rank.LowRankTrainable(tiny.TinyTrainable(), _CONFIG)


def _bytes(tree):
  return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


@pytest.mark.parametrize('name', presets.NAMES)
def test_every_preset_and_what_it_saves(name):
  """Factors lie as their side of the matrix does; state is a small share."""
  trainable = prefix_lm.PrefixLMTrainable(
    presets.preset(name), small.SPACE, (_LAYOUT,)
  )
  mesh = mesh_lib.create(
    mesh_lib.MeshConfig(data=2, fsdp=2, tensor=2), jax.devices()
  )
  steps = [
    lowering.prepare(
      each, _OPTIMIZER, mesh, rules.STANDARD, total_steps=1, ema_decay=0.9
    )
    for each in (
      trainable,
      low_rank.LowRankTrainable(trainable, low_rank_lib.LowRankConfig()),
    )
  ]
  full, adapted = steps
  assert full.frozen is None
  assert full.state.params == adapted.frozen
  boxed = jax.eval_shape(trainable.init, jax.random.key(0))
  for matrix in low_rank.matrices(boxed, low_rank_lib.LowRankConfig()):
    kernel, pair = full.state.params, adapted.state.params
    for part in matrix.path:
      kernel, pair = kernel[part], pair[part]
    spec = tuple(kernel.sharding.spec)
    split = matrix.layers + matrix.rows
    assert tuple(pair['a'].sharding.spec) == (*spec[:split], None)
    assert tuple(pair['b'].sharding.spec) == (
      *spec[: matrix.layers], None, *spec[split:]
    )  # fmt: skip
  # Parameters, average and two moments of Adam: four times the parameters.
  assert _bytes(adapted.state) < 0.35 * _bytes(full.state)


def test_a_merged_matrix_lives_within_one_layer():
  """Neither merged matrices nor their gradients are ever all there at once."""
  inner = prefix_lm.PrefixLMTrainable(
    small.config(
      num_layers=8, width=128, mlp_dim=512, cell_inputs=(),
      visual_input='table', visual_output='softmax', text_encoder_layers=0,
      scan_layers=True, remat='full',
    ),
    small.SPACE,
    (_LAYOUT,),
  )  # fmt: skip
  trainable = low_rank.LowRankTrainable(inner, _CONFIG)
  mesh = mesh_lib.create(mesh_lib.MeshConfig(), jax.devices()[:1])
  with mesh_lib.use(mesh, rules.STANDARD):
    step = lowering.prepare(
      trainable, _OPTIMIZER, mesh, rules.STANDARD, total_steps=1
    )
    batch = inner.batch_shapes(_LAYOUT, 1, rules.batch_sharding(mesh))
    memory = step.lower_gradients(_LAYOUT, batch).compile().memory_analysis()
  stack = _bytes(step.frozen['stack'])
  assert memory.argument_size_in_bytes > stack
  # A layer is an eighth of the stack; activations are a row of 20 tokens.
  assert memory.temp_size_in_bytes < 0.4 * stack
  assert memory.output_size_in_bytes < 0.1 * stack
