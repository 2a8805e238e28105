"""The time of super-resolution: all steps of a clip's ids, without pixels."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.benchmarks import cost
from videopoet_jax.core import specs
from videopoet_jax.core import upscaling
from videopoet_jax.inference.super_resolution import config as upscale_config
from videopoet_jax.inference.super_resolution import loop
from videopoet_jax.models.super_resolution import model as model_lib
from videopoet_jax.models.super_resolution import presets
from videopoet_jax.parallel import rules
from videopoet_jax.planning import super_resolution_work

_TINY_UNIT = 'super_resolution/17x64x64'
# Few clips a second: a fraction of the batch of other benchmarks suffices.
_BATCH_SHARE = 4


def super_resolution(size_name: str, rounds: int, batch: int) -> dict[str, Any]:
  """Times a stage with the paper's guidance for its first stage.

  Args:
    size_name: 'tiny' for the small model at 64 pixels, else the paper's first
      stage.
    rounds: number of times that it is timed.
    batch: number of clips in other benchmarks; a quarter of it is used here.

  Returns:
    Seconds and their spread, rates, and the model's FLOPs, all passes counted.
  """
  if size_name.startswith('tiny'):
    config = presets.preset('sr_tiny', text_vocab_size=128, text_slots=12)
    unit, spec = upscaling.Upscaling.parse(_TINY_UNIT), specs.VisualSpec(4096)
  else:
    name, unit_name = presets.STAGES['sr_stage1']
    config, spec = presets.preset(name), specs.VisualSpec()
    unit = upscaling.Upscaling.parse(unit_name)
  batch = max(1, batch // _BATCH_SHARE)
  grid, low_grid = unit.latent(spec), unit.low_latent(spec)
  network = model_lib.SuperResolution(config, spec.codebook_size)
  params = jax.jit(
    lambda key: rules.unbox(network.init(key, method='declare')['params'])
  )(jax.random.key(0))
  text: tuple[int, ...] = (batch, config.text_slots)
  if config.text == 'embeddings':
    text = (*text, config.text_embedding_dim)
  conditions = loop.Conditions(
    jnp.zeros((batch, *low_grid), jnp.int32),
    jnp.zeros(text, jnp.float32 if len(text) == 3 else jnp.int32),
    jnp.ones((batch, config.text_slots), bool),
  )
  sampled = upscale_config.STAGE_1
  passes, _ = sampled.passes(has_text=True)
  nothing = np.zeros((batch, *grid), np.int32)

  def run() -> Any:
    return loop.fill(
      network,
      params,
      conditions,
      nothing,
      np.ones(nothing.shape, bool),
      config=sampled,
      keys_B=loop.sample_keys(0, np.arange(batch)),
    )

  rows = min(nothing.size, 4096)
  shape = (rows, config.width, config.mlp_dim)
  times = cost.alternate(
    {'model': run, 'floor': cost.matrix_floor(*shape)}, rounds
  )
  work = super_resolution_work.of_grid(
    config, grid, spec.codebook_size, spec.codebook_size
  )
  flops = work.forward * batch * len(passes) * sampled.num_steps
  seconds = times['model']['seconds']
  floor = cost.floor_flops(*shape) / times['floor']['seconds']
  return times['model'] | {
    'unit': unit.name,
    'steps': sampled.num_steps,
    'passes': len(passes),
    'batch': batch,
    'tokens_per_second': nothing.size / seconds,
    'clips_per_second': batch / seconds,
    'model_flops': flops,
    'model_flops_per_second': flops / seconds,
    'floor_flops_per_second': floor,
    'of_floor': flops / seconds / floor,
  }
