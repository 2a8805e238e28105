"""Attention within windows is full attention under the windows' mask."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.layers import positions
from videopoet_jax.layers import transformer
from videopoet_jax.layers import windowed
from videopoet_jax.layers import windows
from videopoet_jax.parallel import rules

_CONFIG = transformer.BlockConfig(
  num_heads=2, num_kv_heads=2, head_dim=8, mlp_dim=24, num_layers=2
)
_WIDTH, _BATCH, _SCALE = 16, 2, 2
_GRID = (2, 8, 4)


def _split_places(grid: tuple[int, ...], window: tuple[int, ...]) -> np.ndarray:
  """Int (cells,): number of each cell's window."""
  places = np.indices(grid).reshape(3, -1)
  numbers = [axis // size for axis, size in zip(places, window)]
  counts = [size // part for size, part in zip(grid, window)]
  return np.ravel_multi_index(numbers, counts)


def _normal(inputs: np.ndarray, scale: np.ndarray) -> np.ndarray:
  square = np.mean(np.square(inputs), axis=-1, keepdims=True)
  return inputs / np.sqrt(square + 1e-6) * scale


def _turned(heads_BNLD: np.ndarray, places_L3: np.ndarray) -> np.ndarray:
  angles = positions.rotary_angles(places_L3, heads_BNLD.shape[-1])
  first, second = np.split(heads_BNLD, 2, axis=-1)
  turned = (first + 1j * second) * np.exp(1j * angles)
  return np.concatenate([turned.real, turned.imag], axis=-1)


class _Full:
  """The layer written out over all cells of an example at once, in NumPy."""

  def __init__(self, params, window, cells, low, text, visible, within):
    self.params = params
    # Angles of places in the grid do as well as those in the window, except
    # for text, which has no place: its keys are as if at the window's start.
    size = np.array(window if within else _GRID)
    self.places = np.indices(_GRID).reshape(3, -1).T % size
    low_grid = (_GRID[0], _GRID[1] // _SCALE, _GRID[2] // _SCALE)
    # A cell of the condition is where the middle of what it covers is.
    low_size = size // [1, _SCALE, _SCALE]
    self.low_places = (
      np.indices(low_grid).reshape(3, -1).T % low_size * [1, _SCALE, _SCALE]
    ) + [0, (_SCALE - 1) / 2, (_SCALE - 1) / 2]
    mine = _split_places(_GRID, window)
    theirs = _split_places(
      low_grid, (window[0], window[1] // _SCALE, window[2] // _SCALE)
    )
    ones = np.ones((_BATCH, 1, 1), bool)
    self.seen = {
      'self': ones & (mine[:, None] == mine[None]),
      'low': ones & (mine[:, None] == theirs[None]),
      'text': np.broadcast_to(
        visible[:, None], (_BATCH, len(mine), visible.shape[1])
      ),
    }
    self.cells = cells.reshape(_BATCH, -1, _WIDTH)
    self.vectors = {'low': low.reshape(_BATCH, -1, _WIDTH), 'text': text}

  def _heads(self, of, name, vectors, norm=None, places=None):
    heads = np.einsum('bld,dnh->bnlh', vectors, of[name])
    if norm:
      heads = _normal(heads, of[norm]['scale'])
    return heads if places is None else _turned(heads, places)

  def attend(self, name, inputs, sources):
    of = self.params[name]
    vectors = {**self.vectors, 'self': inputs}
    places = {'self': self.places, 'low': self.low_places, 'text': None}
    place = None if sources == ('text',) else self.places
    query = self._heads(of, 'query', inputs, 'query_norm', place)
    keys, values = [], []
    for source in sources:
      end = f'_{source}' if len(sources) > 1 else ''
      given = (vectors[source], f'key_norm{end}', places[source])
      keys.append(self._heads(of, f'key{end}', *given))
      values.append(self._heads(of, f'value{end}', vectors[source]))
    logits = np.einsum('bnld,bnsd->bnls', query, np.concatenate(keys, 2))
    seen = np.concatenate([self.seen[s] for s in sources], axis=-1)
    weights = np.where(seen[:, None], np.exp(logits / np.sqrt(8)), 0.0)
    weights /= weights.sum(-1, keepdims=True)
    mixed = np.einsum('bnls,bnsd->blnd', weights, np.concatenate(values, 2))
    return np.einsum('blnd,ndm->blm', mixed, of['out'])

  def __call__(self, conditioning):
    stream = self.cells

    def normal(name):
      return _normal(stream, self.params[f'{name}_norm']['scale'])

    if conditioning == 'joint':
      every = ('self', 'low', 'text')
      stream = stream + self.attend('attention', normal('attention'), every)
    else:
      for name, source in (
        ('attention', 'self'),
        ('low_attention', 'low'),
        ('text_attention', 'text'),
      ):
        stream = stream + self.attend(name, normal(name), (source,))
    mlp, inputs = self.params['mlp'], normal('mlp')
    gate = np.asarray(jax.nn.gelu(jnp.asarray(inputs @ mlp['gate'])))
    return stream + (gate * (inputs @ mlp['up'])) @ mlp['down']


@pytest.mark.parametrize('conditioning', windowed.CONDITIONING)
@pytest.mark.parametrize('window', [(1, 8, 2), (5, 4, 4), (1, 4, 0)])
def test_windowed_layer_is_full_attention_under_a_block_mask(
  window, conditioning
):
  generator = np.random.default_rng(0)

  def draw(*shape):
    return generator.normal(size=shape).astype(np.float32)

  cells = draw(_BATCH, *_GRID, _WIDTH)
  low = draw(_BATCH, _GRID[0], _GRID[1] // 2, _GRID[2] // 2, _WIDTH)
  text, visible = (
    draw(_BATCH, 3, _WIDTH),
    np.array([[1, 1, 0], [1, 0, 0]], bool),
  )
  layer = windowed.WindowedLayer(_CONFIG, window, _SCALE, conditioning)
  conditions = windowed.Conditions(low, text, visible)
  shapes = jax.eval_shape(layer.init, jax.random.key(0), cells, conditions)
  params = jax.tree.map(
    lambda leaf: 0.4 * draw(*leaf.shape), rules.unbox(shapes['params'])
  )
  found = jax.jit(layer.apply)({'params': params}, cells, conditions)
  fitted = windows.fitted(window, _GRID)
  full = _Full(
    params, fitted, cells, low, text, visible, within=conditioning == 'joint'
  )
  np.testing.assert_allclose(
    np.asarray(found).reshape(_BATCH, -1, _WIDTH),
    full(conditioning),
    atol=1e-5,
  )


# (latent frames of a window at most, of a clip): all up to 12 that are filled
# up. The others run without padding, see below.
_FILLED_UP = [
  (most, frames)
  for most in (4, 5)
  for frames in range(1, 13)
  if frames % windows.fitted((most, 2, 2), (frames, 4, 4))[0]
]


@pytest.mark.parametrize(
  ('most', 'frames', 'conditioning'),
  [
    *((most, frames, 'joint') for most, frames in _FILLED_UP),
    (5, 11, 'cross'),
  ],
)
def test_what_fills_a_window_up_has_no_influence(
  most, frames, conditioning, monkeypatch
):
  generator = np.random.default_rng(0)
  grid = (frames, 4, 4)
  cells = generator.normal(size=(_BATCH, *grid, _WIDTH)).astype(np.float32)
  low = generator.normal(size=(_BATCH, frames, 2, 2, _WIDTH))
  text = generator.normal(size=(_BATCH, 1, _WIDTH)).astype(np.float32)
  conditions = windowed.Conditions(
    low.astype(np.float32), text, np.ones((_BATCH, 1), bool)
  )
  layer = windowed.WindowedLayer(_CONFIG, (most, 2, 2), _SCALE, conditioning)
  shapes = jax.eval_shape(layer.init, jax.random.key(0), cells, conditions)
  params = jax.tree.map(
    lambda leaf: 0.4 * generator.normal(size=leaf.shape).astype(np.float32),
    rules.unbox(shapes['params']),
  )

  def run(cells):
    def loss(cells):
      out = layer.apply({'params': params}, cells, conditions)
      return jnp.sum(jnp.square(out)), out

    # A new function each time: what fills up is compiled in.
    (_, out), slope = jax.jit(jax.value_and_grad(loss, has_aux=True))(cells)
    return np.asarray(out), np.asarray(slope)

  base, slope = run(cells)
  assert np.isfinite(base).all() and np.isfinite(slope).all()

  def noisy(cells_BTHWD, room):
    shape = (cells_BTHWD.shape[0], room, *cells_BTHWD.shape[2:])
    noise = 50 * np.random.default_rng(1).normal(size=shape)
    return jnp.concatenate([cells_BTHWD, noise.astype(np.float32)], axis=1)

  monkeypatch.setattr(windows, 'fill_up', noisy)
  other, other_slope = run(cells)
  np.testing.assert_array_equal(other, base)
  np.testing.assert_array_equal(other_slope, slope)
  if (most, frames) != (5, 11):
    return  # One length is enough of what takes a program a window.
  # Every window by itself, without padding, is the same.
  size, *_ = windows.fitted((most, 2, 2), grid)
  for first in range(0, frames, size):
    part = slice(first, min(first + size, frames))
    alone = windowed.Conditions(
      conditions.low_BTHWD[:, part], text, conditions.visible_BS
    )
    single = jax.jit(layer.apply)({'params': params}, cells[:, part], alone)
    np.testing.assert_allclose(single, base[:, part], atol=1e-5)


def test_without_padding_nothing_is_masked(monkeypatch):
  def never(*args):
    raise AssertionError('filled up')

  monkeypatch.setattr(windows, 'fill_up', never)
  monkeypatch.setattr(windows, 'filled', never)
  cells = jnp.ones((1, 10, 4, 4, _WIDTH))
  conditions = windowed.Conditions(
    jnp.ones((1, 10, 2, 2, _WIDTH)), jnp.ones((1, 1, _WIDTH)),
    jnp.ones((1, 1), bool),
  )  # fmt: skip
  layer = windowed.WindowedLayer(_CONFIG, (5, 2, 2), _SCALE)
  jax.eval_shape(layer.init, jax.random.key(0), cells, conditions)
