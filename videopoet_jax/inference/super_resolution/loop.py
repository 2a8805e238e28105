"""The compiled loop: masked tokens are drawn in parallel, the best kept.

Each step runs the model on the known ids, draws both factors of every masked
token, the second given the first, and keeps a scheduled number of draws: those
whose log probability, the sum of both factors', plus noise that falls from step
to step is highest (MaskGIT, arXiv 2202.04200; MAGVIT, arXiv 2212.05199). A
token once kept is never drawn again.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.inference import draws as draws_lib
from videopoet_jax.inference.super_resolution import config as config_lib
from videopoet_jax.inference.super_resolution import mask_schedule
from videopoet_jax.layers import embeddings
from videopoet_jax.parallel import compiler
from videopoet_jax.tokenizers.quantizers import lfq

_FIRST, _SECOND, _CONFIDENCE = range(3)  # Folded into a step's key.


class State(NamedTuple):
  """State of the loop.

  Attributes:
    ids_BTHW: int32 local ids; arbitrary where masked.
    masked_BTHW: bool, True where an id is still to be decided.
    codes_BTHWC: float32, expected code of each id when it was drawn, from -1 to
      1 a bit; None unless needed.
  """

  ids_BTHW: jax.Array
  masked_BTHW: jax.Array
  codes_BTHWC: jax.Array | None = None


class Draws(NamedTuple):
  """A drawn id for every position.

  Attributes:
    ids_BN: int32 local ids.
    confidence_BN: float32, log probabilities under the guided logits at
      temperature 1.
    codes_BNC: float32, the expectation of each id's code under the same logits:
      of its high bits, and of its low ones given the high ones drawn. None
      unless needed.
  """

  ids_BN: jax.Array
  confidence_BN: jax.Array
  codes_BNC: jax.Array | None = None


class Filled(NamedTuple):
  """Fully decided ids as NumPy arrays; see `State`."""

  ids_BTHW: np.ndarray
  codes_BTHWC: np.ndarray | None


class Conditions(NamedTuple):
  """Conditions of the model.

  Attributes:
    low_BTHW: int32 local ids of the low-resolution clip, or float32 (B, T, h,
      w, bits), their expected codes.
    text: int32 (B, S) or float32 (B, S, E), depending on the model.
    text_visible_BS: bool, False for unused slots.
  """

  low_BTHW: jax.Array
  text: jax.Array
  text_visible_BS: jax.Array


class Plan(NamedTuple):
  """Values that differ from step to step, and the weights of the passes.

  Attributes:
    step_S: int32, number of each step.
    still_masked_SB: int32, tokens masked after each step.
    noise_S: float32, scale of the noise on the confidence.
    temperature: float32 scalar that divides the logits.
    weights_P: float32, one weight a pass.
  """

  step_S: jax.Array | np.ndarray
  still_masked_SB: jax.Array | np.ndarray
  noise_S: jax.Array | np.ndarray
  temperature: jax.Array | np.ndarray
  weights_P: jax.Array | np.ndarray


def plan(
  config: config_lib.UpscaleConfig, masked_BTHW: np.ndarray, has_text: bool
) -> tuple[tuple[config_lib.Pass, ...], Plan]:
  """Returns the passes of a step, and the plan of all steps.

  Args:
    config: settings of sampling.
    masked_BTHW: bool, True where an id is to be decided.
    has_text: whether there is a text.
  """
  passes, weights_P = config.passes(has_text)
  numbers_B = masked_BTHW.sum(axis=(1, 2, 3))
  steps_S = np.arange(config.num_steps, dtype=np.int32)
  left_S = 1.0 - (steps_S + 1.0) / config.num_steps
  return passes, Plan(
    steps_S,
    mask_schedule.still_masked(config.schedule, config.num_steps, numbers_B),
    (config.confidence_temperature * left_S).astype(np.float32),
    np.array(config.temperature or 1.0, np.float32),
    weights_P,
  )


def sample_keys(
  seed: int, samples_B: np.ndarray, tile: int = 0, path: draws_lib.Path = ()
) -> jax.Array:
  """A key for each sample, the same in any batch.

  Args:
    seed: seed of all draws.
    samples_B: int (B,), numbers of the samples.
    tile: number of the tile of the frame.
    path: path of the stage and of the piece of a longer video.
  """
  keys_B = draws_lib.sample_keys(
    seed, samples_B, (draws_lib.Part.SUPER_RESOLUTION, *path)
  )
  return _fold(keys_B, tile)


def _draw(
  logits_BNV: jax.Array,
  keys_B: jax.Array,
  temperature: jax.Array | np.ndarray,
  greedy: bool,
) -> tuple[jax.Array, jax.Array]:
  """Draws ids, int32 (B, N), and their log probabilities, float32 (B, N)."""
  if greedy:
    drawn_BN = jnp.argmax(logits_BNV, axis=-1)
  else:
    drawn_BN = jax.vmap(jax.random.categorical)(
      keys_B, logits_BNV / temperature
    )
  chosen_BN = jnp.take_along_axis(logits_BNV, drawn_BN[..., None], axis=-1)
  log_z_BN = jax.nn.logsumexp(logits_BNV, axis=-1)
  return drawn_BN.astype(jnp.int32), chosen_BN[..., 0] - log_z_BN


def _expected_codes(logits_BNV: jax.Array) -> jax.Array:
  """Mean code of a factor: float32 (B, N, bits), lowest bit first."""
  values = logits_BNV.shape[-1]
  codes_VC = lfq.ids_to_codes(jnp.arange(values), embeddings.code_bits(values))
  return jnp.matmul(
    jax.nn.softmax(logits_BNV),
    codes_VC,
    precision=jax.lax.Precision.HIGHEST,
  )


def candidates(
  model: Any,
  params: Any,
  state: State,
  conditions: Conditions,
  weights_P: jax.Array | np.ndarray,
  temperature: jax.Array | np.ndarray,
  keys_B: jax.Array,
  *,
  passes: tuple[config_lib.Pass, ...],
  greedy: bool,
) -> Draws:
  """Draws an id for every position.

  Args:
    model: a `SuperResolution`; its passes run as one larger batch.
    params: parameters, unboxed.
    state: known ids; with `codes_BTHWC` if codes are needed.
    conditions: conditions of the batch.
    weights_P: weights of the passes.
    temperature: divides the logits.
    keys_B: keys, one a sample.
    passes: conditions that each pass uses.
    greedy: whether the most likely id is taken.
  """
  number = state.ids_BTHW.shape[0]

  def tiled(array: jax.Array) -> jax.Array:
    return jnp.concatenate([array] * len(passes))

  def guided(logits: jax.Array) -> jax.Array:
    """Combines the passes: (P B N, V) to (B, N, V)."""
    logits_PBNV = logits.reshape(len(passes), number, -1, logits.shape[-1])
    # Not a matrix product: a TPU would round its operands to bfloat16.
    return jnp.sum(logits_PBNV * weights_P[:, None, None, None], axis=0)

  low_visible_B = np.repeat([kind.low_visible for kind in passes], number)
  text_visible_BS = jnp.concatenate(
    [conditions.text_visible_BS & kind.text_visible for kind in passes]
  )
  apply = functools.partial(model.apply, {'params': params})
  hidden_BTHWD = apply(
    tiled(state.ids_BTHW),
    tiled(state.masked_BTHW),
    tiled(conditions.low_BTHW),
    jnp.asarray(low_visible_B),
    tiled(conditions.text),
    text_visible_BS,
    method='hidden',
  )
  hidden_ND = hidden_BTHWD.reshape(-1, hidden_BTHWD.shape[-1])
  keys = functools.partial(_fold, keys_B)
  first_logits_BNV = guided(apply(hidden_ND, method='first_factor'))
  first_BN, surely_BN = _draw(
    first_logits_BNV, keys(_FIRST), temperature, greedy
  )
  # All passes compute the second factor for the same first one.
  second_logits_BNV = guided(
    apply(hidden_ND, tiled(first_BN).reshape(-1), method='second_factor')
  )
  second_BN, then_BN = _draw(
    second_logits_BNV, keys(_SECOND), temperature, greedy
  )
  low_bits = embeddings.code_bits(second_logits_BNV.shape[-1])
  codes_BNC = None
  if state.codes_BTHWC is not None:
    codes_BNC = jnp.concatenate(
      [_expected_codes(second_logits_BNV), _expected_codes(first_logits_BNV)],
      axis=-1,
    )
  return Draws(
    (first_BN << low_bits) + second_BN, surely_BN + then_BN, codes_BNC
  )


def _fold(keys_B: jax.Array, number: jax.Array | int) -> jax.Array:
  return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys_B)


def keep(state: State, draws: Draws, still_masked_B: jax.Array) -> State:
  """Fills in the most confident draws.

  Args:
    state: state before.
    draws: draws for all positions; those of known ones are ignored.
    still_masked_B: exact number of positions that stay masked.

  Returns:
    The state in which no known id has changed.
  """
  shape = state.ids_BTHW.shape
  masked_BN = state.masked_BTHW.reshape(shape[0], -1)
  confidence_BN = jnp.where(masked_BN, draws.confidence_BN, jnp.inf)
  # Ranks, not a threshold: equal confidences must not change the number.
  order_BN = jnp.argsort(confidence_BN, axis=-1)
  rank_BN = jnp.argsort(order_BN, axis=-1)
  left_BN = rank_BN < still_masked_B[:, None]
  ids_BTHW = jnp.where(
    state.masked_BTHW, draws.ids_BN.reshape(shape), state.ids_BTHW
  )
  codes_BTHWC = state.codes_BTHWC
  if codes_BTHWC is not None and draws.codes_BNC is not None:
    codes_BTHWC = jnp.where(
      state.masked_BTHW[..., None],
      draws.codes_BNC.reshape(codes_BTHWC.shape),
      codes_BTHWC,
    )
  return State(ids_BTHW, left_BN.reshape(shape), codes_BTHWC)


def decode(
  params: Any,
  state: State,
  conditions: Conditions,
  steps: Plan,
  keys_B: jax.Array,
  *,
  model: Any,
  passes: tuple[config_lib.Pass, ...],
  greedy: bool,
) -> State:
  """Decides every masked id, in one loop; a pure function to be compiled.

  Args:
    params: parameters, unboxed.
    state: known and masked ids.
    conditions: conditions of the batch.
    steps: plan from `plan`.
    keys_B: keys, one a sample, so that a sample does not depend on its batch.
    model: a `SuperResolution`.
    passes: passes from `plan`.
    greedy: whether the most likely ids are taken.

  Returns:
    The state with nothing masked.
  """

  def step(state: State, now: Any) -> tuple[State, None]:
    number, still_masked_B, noise = now
    keys = _fold(keys_B, number)
    draws = candidates(
      model,
      params,
      state,
      conditions,
      steps.weights_P,
      steps.temperature,
      keys,
      passes=passes,
      greedy=greedy,
    )
    gumbel_BN = jax.vmap(
      lambda key: jax.random.gumbel(key, draws.confidence_BN.shape[1:])
    )(_fold(keys, _CONFIDENCE))
    draws = draws._replace(
      confidence_BN=draws.confidence_BN + noise * gumbel_BN
    )
    return keep(state, draws, still_masked_B), None

  state, _ = jax.lax.scan(
    step, state, (steps.step_S, steps.still_masked_SB, steps.noise_S)
  )
  return state


compiled = compiler.jit(decode, static_argnames=('model', 'passes', 'greedy'))


def fill(
  model: Any,
  params: Any,
  conditions: Conditions,
  ids_BTHW: np.ndarray,
  masked_BTHW: np.ndarray,
  *,
  config: config_lib.UpscaleConfig,
  keys_B: jax.Array,
  codes_BTHWC: np.ndarray | None = None,
) -> Filled:
  """Decides the masked ids of a batch.

  Args:
    model: a `SuperResolution`.
    params: parameters, unboxed.
    conditions: conditions of the batch.
    ids_BTHW: int32 local ids; those not masked stay as they are.
    masked_BTHW: bool, True where an id is to be decided.
    config: settings of sampling.
    keys_B: a key for each sample.
    codes_BTHWC: float32 codes of the known ids, if expected codes are needed.
  """
  has_text = bool(np.any(conditions.text_visible_BS))
  passes, steps = plan(config, masked_BTHW, has_text)
  made = compiled(
    params,
    State(
      jnp.asarray(ids_BTHW, jnp.int32),
      jnp.asarray(masked_BTHW),
      None if codes_BTHWC is None else jnp.asarray(codes_BTHWC, jnp.float32),
    ),
    conditions,
    steps,
    keys_B,
    model=model,
    passes=passes,
    greedy=config.temperature == 0.0,
  )
  codes = None if made.codes_BTHWC is None else np.asarray(made.codes_BTHWC)
  return Filled(np.asarray(made.ids_BTHW), codes)
