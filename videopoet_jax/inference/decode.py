"""The decoding loop: prefill of the prefix, then token by token.

One compiled loop runs over the target positions of a layout. At each position
only ids that the layout admits can be drawn; a position that admits a single id
is filled without drawing.
"""

from collections.abc import Callable, Iterable
import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import types
from videopoet_jax.inference import draws
from videopoet_jax.inference import sampling
from videopoet_jax.layers import attention
from videopoet_jax.layers import embeddings
from videopoet_jax.layers import kv_cache
from videopoet_jax.layers import masks
from videopoet_jax.layers import transformer
from videopoet_jax.models.prefix_lm import model as model_lib
from videopoet_jax.parallel import compiler


class State(NamedTuple):
  """State of the loop.

  Attributes:
    tokens_BL: int32 global ids, filled up to the current position.
    hidden_BD: normalized, predicts the current position.
    caches: caches of keys and values, one a layer, with room for all positions.
  """

  tokens_BL: jax.Array
  hidden_BD: jax.Array
  caches: tuple[kv_cache.LayerCache, ...]


def last_drawn(layout: layout_lib.SequenceLayout) -> int:
  """The last position that is drawn; the layout fixes all later ones."""
  return (
    max(
      (run.stop for run in layout.target_runs if run.range.size > 1),
      default=layout.prefix_length + 1,
    )
    - 1
  )


class Decoder:
  """Steps of one model through one layout; pure functions of the parameters.

  Attributes:
    model: the network.
    layout: layout of the sequences.
  """

  def __init__(
    self, model: model_lib.PrefixLM, layout: layout_lib.SequenceLayout
  ) -> None:
    self.model = model
    self.layout = layout
    num_layers = model.config.num_layers
    self._block = transformer.Block(model.block_config(num_layers))

  def _apply(self, params: Any, method: str, *args: Any) -> Any:
    return self.model.apply({'params': params}, *args, method=method)

  def start(
    self,
    params: Any,
    tokens_BL: jax.Array,
    visible_BL: jax.Array,
    text_embeddings_BSE: jax.Array | None = None,
  ) -> State:
    """Runs the prefix.

    Args:
      params: parameters, unboxed.
      tokens_BL: int32, with the prefix filled; targets are ignored.
      visible_BL: bool, False for hidden conditions; True in the targets.
      text_embeddings_BSE: embeddings for models that take them.

    Returns:
      The state that predicts the first target position.
    """
    hidden_BD, caches = self._apply(
      params, 'prefill', tokens_BL, visible_BL, self.layout, text_embeddings_BSE
    )
    room = last_drawn(self.layout) + 1
    return State(
      tokens_BL,
      hidden_BD,
      tuple(kv_cache.extend(cache, room) for cache in caches),
    )

  def prepare(self, params: Any) -> tuple[list[Any], model_lib.Places]:
    """Returns constants of the loop: each layer's parameters, the places."""
    layers = transformer.layer_params(
      params['stack'], self.model.config.num_layers
    )
    return layers, self._apply(params, 'places', self.layout)

  def advance(
    self,
    params: Any,
    constants: tuple[list[Any], model_lib.Places],
    state: State,
    visible_BL: jax.Array,
    position: jax.Array,
  ) -> State:
    """Processes the token at `position`, which is written in the state.

    Args:
      params: parameters, unboxed.
      constants: result of `prepare`.
      state: state that predicts `position`.
      visible_BL: as for `start`.
      position: int32 scalar.

    Returns:
      The state that predicts the next position.
    """
    layers, places = constants
    stream_B1D = self._apply(
      params,
      'embed_position',
      state.tokens_BL,
      visible_BL,
      self.layout,
      places,
      position,
    )
    num_keys = state.caches[0].key_BKSD.shape[2]
    angles_1P, bias_N1S = places.angles_LP, places.bias_NLL
    if angles_1P is not None:
      angles_1P = jax.lax.dynamic_slice_in_dim(angles_1P, position, 1)
    if bias_N1S is not None:
      bias_N1S = jax.lax.dynamic_slice_in_dim(bias_N1S, position, 1, axis=1)[
        :, :, :num_keys
      ]
    context = attention.Context(
      masks.PrefixMask(self.layout.prefix_length, position),
      visible_BL[:, :num_keys],
      angles_1P,
      bias_N1S,
    )
    caches = []
    for layer, cache in zip(layers, state.caches):
      stream_B1D, cache = self._block.apply(
        {'params': layer}, stream_B1D, context, cache
      )
      caches.append(cache)
    hidden_BD = self._apply(params, 'normalize', stream_B1D[:, 0])
    return State(state.tokens_BL, hidden_BD, tuple(caches))

  def draw(
    self,
    params: Any,
    hidden_BD: jax.Array,
    run: layout_lib.Run,
    keys_B: jax.Array,
    config: sampling.SamplingConfig,
    guidance: jax.Array | float,
    temperature: jax.Array | float,
  ) -> jax.Array:
    """Draws global ids of a run; guidance merges the batch's halves."""
    number = keys_B.shape[0]
    if run.range.size == 1:
      return jnp.full((number,), run.range.start, jnp.int32)

    def choose(logits: jax.Array, salt: int) -> jax.Array:
      keys = jax.vmap(lambda key: jax.random.fold_in(key, salt))(keys_B)
      guided = sampling.guide(logits, guidance, config.is_guided)
      return sampling.draw(guided, keys, config, temperature)

    heads = self.model.bind({'params': params}).heads
    if not heads.is_factored(run):
      logits = self._apply(params, 'logits', hidden_BD, run)
      return run.range.start + choose(logits, 0)
    first_B = choose(self._apply(params, 'first_factor', hidden_BD), 0)
    both = jnp.tile(first_B, 2) if config.is_guided else first_B
    second = self._apply(params, 'second_factor', hidden_BD, both)
    low_bits = embeddings.code_bits(second.shape[-1])
    return run.range.start + (first_B << low_bits) + choose(second, 1)


def _distinct_runs(
  layout: layout_lib.SequenceLayout,
) -> tuple[list[layout_lib.Run], np.ndarray]:
  """Target runs that admit different ids, and the run of each position."""
  distinct: dict[Any, int] = {}
  runs: list[layout_lib.Run] = []
  index_L = np.zeros(layout.length, np.int32)
  for run in layout.target_runs:
    if run.range not in distinct:
      distinct[run.range] = len(runs)
      runs.append(run)
    index_L[run.start : run.stop] = distinct[run.range]
  return runs, index_L


def _temperatures(
  layout: layout_lib.SequenceLayout, config: sampling.SamplingConfig
) -> np.ndarray:
  """float32 (L,): the temperature at each position."""
  temperature_L = np.full(layout.length, config.temperature, np.float32)
  if config.first_temperature is not None:
    for segment in layout.filled(types.Role.TARGET):
      if segment.modality is types.Modality.VISUAL and segment.start == 0:
        first = layout.slices[segment.name].start
        frame = segment.size // segment.shape[0]
        temperature_L[first : first + frame] = config.first_temperature
  return temperature_L


def fill(
  params: Any,
  tokens_BL: jax.Array,
  visible_BL: jax.Array,
  text_embeddings_BSE: jax.Array | None,
  keys_B: jax.Array,
  guidance: jax.Array,
  *,
  model: model_lib.PrefixLM,
  layout: layout_lib.SequenceLayout,
  config: sampling.SamplingConfig,
) -> jax.Array:
  """Runs the whole call as one program: the prefix, then the loop.

  Args:
    params: parameters, unboxed.
    tokens_BL: int32 with the prefix filled; the two halves follow each other if
      guided.
    visible_BL: bool, False for hidden conditions.
    text_embeddings_BSE: float32, for models that take them.
    keys_B: keys, one a sample, half as many as rows if guided.
    guidance: float32 scalar.
    model: the network.
    layout: layout of the sequences.
    config: settings of sampling.

  Returns:
    int32 (samples, L).
  """
  decoder = Decoder(model, layout)
  constants = decoder.prepare(params)
  runs, index_L = _distinct_runs(layout)
  rules_L = jnp.asarray(index_L)
  temperature_L = jnp.asarray(_temperatures(layout, config))

  def step(state: State, position: jax.Array) -> tuple[State, None]:
    keys = jax.vmap(lambda key: jax.random.fold_in(key, position))(keys_B)
    branches = [
      functools.partial(
        decoder.draw,
        params,
        run=run,
        keys_B=keys,
        config=config,
        guidance=guidance,
        temperature=temperature_L[position],
      )
      for run in runs
    ]
    drawn_B = jax.lax.switch(rules_L[position], branches, state.hidden_BD)
    if config.is_guided:
      drawn_B = jnp.tile(drawn_B, 2)
    tokens_BL = jax.lax.dynamic_update_slice_in_dim(
      state.tokens_BL, drawn_B[:, None], position, axis=1
    )
    state = state._replace(tokens_BL=tokens_BL)
    return decoder.advance(params, constants, state, visible_BL, position), None

  state = decoder.start(params, tokens_BL, visible_BL, text_embeddings_BSE)
  positions = jnp.arange(layout.prefix_length, last_drawn(layout) + 1)
  state, _ = jax.lax.scan(step, state, positions)
  return state.tokens_BL[: keys_B.shape[0]]


compiled_loop = compiler.jit(
  fill, static_argnames=('model', 'layout', 'config')
)


def generate(
  model: model_lib.PrefixLM,
  params: Any,
  layout: layout_lib.SequenceLayout,
  tokens_BL: np.ndarray,
  visible_BL: np.ndarray,
  *,
  config: sampling.SamplingConfig = sampling.DEFAULT,
  seed: int = 0,
  path: draws.Path = (),
  first_sample: int = 0,
  sample_numbers: np.ndarray | None = None,
  text_embeddings_BSE: np.ndarray | None = None,
  against: tuple[np.ndarray, np.ndarray, np.ndarray | None] | None = None,
  place: Callable[[Any], Any] | None = None,
) -> np.ndarray:
  """Fills the target positions of a batch of sequences.

  Args:
    model: the network.
    params: parameters, unboxed.
    layout: layout of the sequences.
    tokens_BL: int32 global ids with the prefix filled (`layout.encode`).
    visible_BL: bool, False for hidden conditions.
    config: settings of sampling.
    seed: seed of the draws; sample i of a seed is the same in any batch.
    path: path of the draws within the seed; see `draws.root`.
    first_sample: number of the first row's sample.
    sample_numbers: int (B,), number of each row's sample, as an alternative.
    text_embeddings_BSE: float32, for models that take them.
    against: tokens, visibility and text embeddings of the guided batch's other
      half, the negative prompt. None hides the conditions in `config.guide_on`.
    place: function that puts an array of rows on the devices; None leaves it to
      JAX.

  Returns:
    int32 (B, L), every position filled with an id that the layout admits.
  """
  number = tokens_BL.shape[0]
  is_prefix_L = np.arange(layout.length) < layout.prefix_length
  tokens = np.where(is_prefix_L, tokens_BL, layout.template_L).astype(np.int32)
  visible, text = np.asarray(visible_BL, bool), text_embeddings_BSE
  if config.is_guided:
    if against is None:
      against = tokens, hide(layout, visible, config.guide_on), text
    tokens = np.concatenate([tokens, against[0]]).astype(np.int32)
    visible = np.concatenate([visible, against[1]])
    if text is not None:
      text = np.concatenate([text, against[2]])
  if sample_numbers is None:
    sample_numbers = np.arange(first_sample, first_sample + number)
  keys_B = draws.sample_keys(seed, sample_numbers, path)
  put = place or (lambda array: array)
  filled = compiled_loop(
    params,
    put(tokens),
    put(visible),
    None if text is None else put(text),
    put(keys_B),
    jnp.float32(config.guidance),
    model=model,
    layout=layout,
    # Visibility is an argument: one program serves every condition.
    config=dataclasses.replace(config, guide_on=sampling.DEFAULT.guide_on),
  )
  return np.asarray(filled)


def hide(
  layout: layout_lib.SequenceLayout,
  visible_BL: np.ndarray,
  features: Iterable[str],
) -> np.ndarray:
  """Returns visibility bool (B, L) without some features' conditions."""
  return np.asarray(visible_BL, bool) & ~conditions_of(layout, features)


def conditions_of(
  layout: layout_lib.SequenceLayout, features: Iterable[str]
) -> np.ndarray:
  """Bool (L,): the positions of the conditions of some features."""
  found_L = np.zeros(layout.length, bool)
  for name, part in layout.droppable.items():
    if layout.segment(name).feature in features:
      found_L[part] = True
  return found_L
