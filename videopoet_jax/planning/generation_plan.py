"""`videopoet plan --program sample | decode | encode`: calls without training.

The programs are inference's own, compiled for a slice with the parameters of
models in bfloat16 and, unless `--mesh` says otherwise, a copy on every chip.
"""

from collections.abc import Sequence
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from videopoet_jax.core import errors
from videopoet_jax.inference import decode
from videopoet_jax.inference import sampling
from videopoet_jax.inference.super_resolution import config as upscale_config
from videopoet_jax.inference.super_resolution import loop
from videopoet_jax.models.super_resolution import presets
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.planning import generation as generation_lib
from videopoet_jax.planning import outcome as outcome_lib
from videopoet_jax.planning import planner as planner_lib
from videopoet_jax.planning import specification
from videopoet_jax.planning import subjects
from videopoet_jax.planning import visual_tokenizer
from videopoet_jax.tokenizers.magvit2 import config as tokenizer_config

# The paper's sampling of each stage: one pass a step for each distinct set of
# conditions.
_SAMPLED = dict(zip(presets.STAGES, upscale_config.STAGES))


def generation(
  plan: specification.Specification,
  program: str,
  *,
  model: str = '',
  steps: int = 24,
) -> generation_lib.Generation:
  """Returns the call that generates a plan's batch.

  Args:
    plan: the model, the slice, and the batch.
    program: 'sample' for super-resolution, 'decode' for the language model,
      'encode' or 'decode' for the visual tokenizer.
    model: name in the request; stages of the paper's super-resolution are
      guided as in the paper.
    steps: number of steps for 'sample'.

  Raises:
    ConfigError: the program does not belong to the model.
  """
  subject = plan.subject
  programs: tuple[str, ...] = ('decode',)
  if isinstance(subject, subjects.SuperResolution):
    programs = ('sample',)
  elif isinstance(subject, visual_tokenizer.VisualTokenizer):
    programs = ('encode', 'decode')
  if program not in programs:
    raise errors.ConfigError(
      f'--program {program} is not of the model of {plan.layout}; give '
      f'--program {" or ".join(programs)}.'
    )
  if isinstance(subject, visual_tokenizer.VisualTokenizer):
    return _tokenizer(plan, subject, program)
  assert not isinstance(plan.config, tokenizer_config.VisualTokenizerConfig)
  # Generation needs no remat, and no float32 copy of its parameters.
  config = dataclasses.replace(
    plan.config, remat='none', param_dtype='bfloat16'
  )
  plan = dataclasses.replace(plan, config=config)
  if program == 'decode':
    return _decode(plan)
  sampled = _SAMPLED.get(model, upscale_config.STAGE_1)
  return _sample(plan, dataclasses.replace(sampled, num_steps=steps))


def _tokenizer(
  plan: specification.Specification,
  subject: visual_tokenizer.VisualTokenizer,
  program: str,
) -> generation_lib.Generation:
  """Maps pixels to ids, or ids to pixels; one step.

  Parameters are float32, as a tokenizer's folder holds them.
  """
  return generation_lib.Generation(
    plan,
    program,
    subject.function(program),
    (subject.method_input(program, plan.batch),),
    whole=(),
    steps=1,
    flops=plan.batch * subject.method_work(program),
  )


def _keys(batch: int) -> Any:
  return jax.eval_shape(lambda: jax.random.split(jax.random.key(0), batch))


def _sample(
  plan: specification.Specification, config: upscale_config.UpscaleConfig
) -> generation_lib.Generation:
  """Decides every token of a batch, starting from none."""
  trainable = plan.subject.trainable()
  shapes = trainable.batch_shapes(plan.layout, plan.batch)
  ids = shapes['video_tokens']
  masked: Any = jax.ShapeDtypeStruct(ids.shape, jnp.bool_)
  state = loop.State(ids, masked)
  text = shapes.get('text_embeddings', shapes.get('text'))
  conditions = loop.Conditions(
    shapes['low_tokens'], text, shapes['text_visible']
  )
  passes, weights = config.passes(has_text=True)

  def struct(*shape: int, dtype: Any = jnp.float32) -> Any:
    return jax.ShapeDtypeStruct(shape, dtype)

  steps = loop.Plan(
    struct(config.num_steps, dtype=jnp.int32),
    struct(config.num_steps, plan.batch, dtype=jnp.int32),
    struct(config.num_steps),
    struct(),
    struct(*weights.shape),
  )

  def function(params: Any, *inputs: Any) -> Any:
    return loop.decode(
      params, *inputs, model=trainable.module, passes=passes, greedy=False
    ).ids_BTHW

  return generation_lib.Generation(
    plan,
    f'sample in {config.num_steps} steps of {len(passes)} passes',
    function,
    (state, conditions, steps, _keys(plan.batch)),
    whole=(2,),
    steps=config.num_steps,
    flops=(
      plan.subject.work().forward * plan.batch * len(passes) * config.num_steps
    ),
  )


def _decode(plan: specification.Specification) -> generation_lib.Generation:
  """Fills every target position of a batch, guided: two sequences a clip."""
  trainable = plan.subject.trainable()
  layout = trainable.layouts[plan.layout]
  shapes = trainable.batch_shapes(plan.layout, 2 * plan.batch)

  def function(params: Any, *inputs: Any) -> Any:
    return decode.compiled_loop(
      params,
      *inputs,
      jnp.float32(2.0),
      model=trainable.module,
      layout=layout,
      config=sampling.SamplingConfig(guidance=2.0),
    )

  return generation_lib.Generation(
    plan,
    'decode, guided',
    function,
    (
      shapes['tokens'],
      shapes['visible'],
      shapes.get('text_embeddings'),
      _keys(plan.batch),
    ),
    whole=(),
    steps=layout.length - layout.prefix_length,
    flops=2 * plan.batch * plan.subject.work().forward,
  )


def copied(
  plan: specification.Specification,
) -> specification.Specification:
  """Returns the plan with a copy of the model on every chip."""
  mesh = mesh_lib.MeshConfig(data=-1, slices=plan.topology.slices)
  return dataclasses.replace(plan, mesh=mesh)


def run(
  planner: planner_lib.Planner,
  plans: Sequence[specification.Specification],
  program: str,
  *,
  model: str,
  steps: int,
) -> outcome_lib.Outcome:
  """Plans the calls that generate; see `generation` for the arguments."""
  found = [
    planner.generation(generation(plan, program, model=model, steps=steps))
    for plan in plans
  ]
  values = [estimate.to_json() for estimate in found]
  lines = [estimate.text() for estimate in found]
  lines += outcome_lib.compare(
    [
      (estimate.generation.plan.layout, estimate.seconds, shown)
      for estimate, shown in zip(found, values, strict=True)
    ]
  )
  return outcome_lib.Outcome(
    all(estimate.fits for estimate in found), values, '\n'.join(lines)
  )
