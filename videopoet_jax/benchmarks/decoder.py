"""The train step of a plain decoder, at a size that other trainers run too.

Four layers, 256 wide, a gated MLP and two tables of 8,192 ids, 512 positions:
`docs/maxtext_cpu.md` holds it beside MaxText's. One sequence length, three
losses: on every position, as a text model has it; on a layout's targets alone,
over all ids; and on those over the ids that the layout admits.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any

import jax
import numpy as np

from videopoet_jax.benchmarks import cost
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import specs
from videopoet_jax.core import tasks
from videopoet_jax.core import types
from videopoet_jax.core import vocabulary as vocabulary_lib
from videopoet_jax.models.prefix_lm import config as config_lib
from videopoet_jax.models.prefix_lm import heads
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules as rules_lib
from videopoet_jax.planning import flops
from videopoet_jax.training import lowering
from videopoet_jax.training import optimizers
from videopoet_jax.training import prefix_lm

# 8,192 ids, no row of a table being padding.
_VOCABULARY = vocabulary_lib.Vocabulary(
  visual_size=4096, audio_levels=2, audio_codes=256, text_size=3328
)
# Slots such that the model is run on 512 positions.
_SPACE = tasks.LayoutSpace(
  _VOCABULARY,
  specs.VisualSpec(_VOCABULARY.visual_size),
  specs.AudioSpec(_VOCABULARY.audio_levels, _VOCABULARY.audio_codes),
  text_slots=56,
)
_LAYOUT = 'text_to_video/25x64x64'
_PLAIN = 'every_position'
_GRID = (8, 8, 8)
# A plain decoder: nothing that a model of text would not have.
CONFIG = config_lib.PrefixLMConfig(
  num_layers=4,
  width=256,
  num_heads=4,
  num_kv_heads=4,
  head_dim=64,
  mlp_dim=1024,
  activation='silu',
  qk_norm=False,
  positions='rotary',
  loss_vocabulary='full',
  z_loss=0.0,
  remat='full',
)
_OPTIMIZER = optimizers.OptimizerConfig(
  name='adamw', beta2=0.95, weight_decay=0.1, decay_excluded=''
)
_TOTAL_STEPS = 1000  # Of the schedule; costs nothing.


class _EveryPosition(prefix_lm.PrefixLMTrainable):
  """A decoder with a loss on all that it reads, as of text."""

  @functools.cached_property
  def layouts(self) -> dict[str, layout_lib.SequenceLayout]:
    first = layout_lib.Segment(
      'first', types.Modality.SPECIAL, types.Role.PREFIX, (1,), token='<bos>'
    )
    rest = layout_lib.Segment(
      'rest', types.Modality.VISUAL, types.Role.TARGET, _GRID, 'video_tokens'
    )
    return {
      _PLAIN: layout_lib.SequenceLayout(
        _PLAIN, (first, rest), self.space.vocabulary
      )
    }


def trainables(
  config: config_lib.PrefixLMConfig = CONFIG,
) -> dict[str, prefix_lm.PrefixLMTrainable]:
  """The model with each of the three losses, by name.

  Args:
    config: of the model.
  """
  segment = dataclasses.replace(config, loss_vocabulary='segment')
  make = prefix_lm.PrefixLMTrainable
  return {
    'every_position': _EveryPosition(config, _SPACE, (_PLAIN,)),
    'targets': make(config, _SPACE, (_LAYOUT,)),
    'targets_admitted_ids': make(segment, _SPACE, (_LAYOUT,)),
  }


def positions_with_loss(trainable: prefix_lm.PrefixLMTrainable) -> int:
  """Of a sequence; an id that is alone in being admitted carries none."""
  (layout,) = trainable.layouts.values()
  runs = heads.predicted(trainable.config, layout)
  return sum(run.stop - run.start for run in runs)


def decoder_step(
  rounds: int, batch: int = 4, config: config_lib.PrefixLMConfig = CONFIG
) -> dict[str, Any]:
  """Times the programs that training runs, the losses in turn.

  Args:
    rounds: how often each is timed.
    batch: sequences.
    config: of the model.

  Returns:
    By loss: parameters, positions and those with a loss, seconds of a step and
    their spread, positions a second, the model's FLOPs, and bytes that the
    compiler sets aside for the gradients.
  """
  # One device: the others of a machine, if there are any, would change what
  # is measured.
  mesh = mesh_lib.create(mesh_lib.MeshConfig(), jax.devices()[:1])
  made, steps = {}, {}
  with mesh_lib.use(mesh, rules_lib.STANDARD):
    for name, trainable in trainables(config).items():
      (layout,) = trainable.layouts.values()
      tokens_BL = cost.random_tokens(layout, batch)
      step, temporary_bytes, parameters = _step(trainable, tokens_BL, mesh)
      steps[name] = step
      made[name] = {
        'parameters': parameters,
        'batch': batch,
        'positions': layout.input_length,
        'positions_with_loss': positions_with_loss(trainable),
        'model_flops': batch * flops.of_layout(trainable.config, layout).train,
        'temporary_bytes': temporary_bytes,
      }
    times = cost.alternate(steps, rounds)
  for name, found in made.items():
    seconds = times[name]['seconds']
    found |= times[name]
    found['tokens_per_second'] = batch * found['positions'] / seconds
    found['model_flops_per_second'] = found['model_flops'] / seconds
  return made


def _step(
  trainable: prefix_lm.PrefixLMTrainable,
  tokens_BL: np.ndarray,
  mesh: jax.sharding.Mesh,
) -> tuple[Callable[[], Any], int, int]:
  """A whole step as a function, its temporaries, and the parameters."""
  (unit,) = trainable.layouts
  train_step = lowering.prepare(
    trainable, _OPTIMIZER, mesh, rules_lib.STANDARD, total_steps=_TOTAL_STEPS
  )
  batch = jax.device_put(
    {'tokens': tokens_BL, 'visible': np.ones(tokens_BL.shape, bool)},
    rules_lib.batch_sharding(mesh, rules_lib.STANDARD),
  )
  gradients = train_step.lower_gradients(unit, batch).compile()
  update = train_step.lower_update().compile()
  state = jax.jit(
    lambda key: train_step.create(rules_lib.unbox(trainable.init(key))),
    out_shardings=train_step.shardings,
  )(jax.random.key(0))

  def run() -> Any:
    nonlocal state
    found, metrics = gradients(
      state.params, batch, state.step, train_step.frozen
    )
    state, values = update(state, found, {'loss': metrics['loss']})
    return values['gradient_norm']

  return (
    run,
    gradients.memory_analysis().temp_size_in_bytes,
    sum(leaf.size for leaf in jax.tree.leaves(state.params)),
  )
