"""Relative positions along every axis: which places are distinguished."""

import jax
import numpy as np
import pytest

from tests.models.prefix_lm import small
from videopoet_jax.core import tasks
from videopoet_jax.core import types
from videopoet_jax.layers import place_bias
from videopoet_jax.parallel import rules

_PAPER = tasks.LayoutSpace()
_SIZES = ((17, 128, 128), (17, 224, 128), (41, 224, 128))
_NAMES = [name for size in _SIZES for name in _PAPER.standard_names(*size)]
_NEAR = 32


def _rows(layout, queries, keys):
  """Int (pairs, 16): the table's rows of pairs of positions, sorted."""
  holds_LF, rows_FF = place_bias.pairs(layout)
  order_LF = np.argsort(~holds_LF, axis=1, kind='stable')[:, :4]
  # Positions with fewer columns than four repeat one that names no row.
  empty = len(rows_FF)
  columns_L4 = np.where(
    np.take_along_axis(holds_LF, order_LF, axis=1), order_LF, empty
  )
  padded_FF = np.pad(rows_FF, (0, 1), constant_values=-1)
  found = padded_FF[columns_L4[queries][:, :, None], columns_L4[keys][:, None]]
  return np.sort(found.reshape(len(queries), -1), axis=1)


def _positions(layout, feature):
  return np.concatenate(
    [
      np.arange(layout.slices[s.name].start, layout.slices[s.name].stop)
      for s in layout.filled()
      if s.feature == feature
    ]
  )


@pytest.mark.parametrize('name', _NAMES)
def test_two_offsets_never_share_their_rows(name):
  layout = _PAPER.layout(name)
  generator = np.random.default_rng(0)
  for feature in {s.feature: None for s in layout.filled()}:
    places = _positions(layout, feature)
    queries = np.repeat(generator.choice(places, 4), len(places))
    keys = np.tile(places, 4)
    offsets = layout.coordinates_L3[keys] - layout.coordinates_L3[queries]
    near = np.abs(offsets).max(axis=1) < _NEAR
    if layout.modality_L[places[0]] == list(types.Modality).index('visual'):
      assert near.all()  # The whole clip.
    offsets, rows = offsets[near], _rows(layout, queries, keys)[near]
    # As many kinds of rows as of offsets, and of both together.
    kinds = [
      len(np.unique(x, axis=0))
      for x in (offsets, rows, np.concatenate([offsets, rows], axis=1))
    ]
    assert kinds[0] == kinds[1] == kinds[2]


@pytest.mark.parametrize(
  'task', ['stylization', 'audio_video_continuation', 'image_to_video']
)
def test_a_bias_is_the_sum_of_its_rows(task):
  layout = small.SPACE.layout(f'{task}/{small.SIZE}')
  module = place_bias.PlaceBias(num_heads=2)
  table = np.random.default_rng(0).normal(size=(place_bias.table_rows()[1], 2))
  bias_NLL = jax.jit(lambda p: module.apply({'params': p}, layout))(
    {'table': table.astype(np.float32)}
  )
  at = np.arange(layout.length)
  queries, keys = np.repeat(at, len(at)), np.tile(at, len(at))
  rows = _rows(layout, queries, keys)
  wanted = np.where((rows >= 0)[..., None], table[rows], 0).sum(axis=1)
  np.testing.assert_allclose(
    np.asarray(bias_NLL).reshape(2, -1).T, wanted, atol=1e-5
  )


def test_every_pair_of_positions_has_a_row():
  for name in small.SPACE.standard_names(9, 16, 8):
    layout = small.SPACE.layout(name)
    at = np.arange(layout.length)
    rows = _rows(layout, np.repeat(at, len(at)), np.tile(at, len(at)))
    same = layout.modality_L[:, None] == layout.modality_L[None]
    is_special = layout.modality_L == list(types.Modality).index('special')
    needed = ~is_special[:, None] | ~is_special[None] | same
    assert ((rows >= 0).any(axis=1) >= needed.ravel()).all()


def test_sound_and_sight_are_by_the_clock():
  # Latent frames of the clip end at 0.125, 0.625 and 1.125 s, of the sound at
  # 0.5 and 1.0 s: half a second each.
  layout = small.SPACE.layout(f'video_to_audio/{small.SIZE}')
  starts, _ = place_bias.table_rows()
  first = starts[types.Modality.AUDIO, types.Modality.VISUAL, 'clock', 0]
  sound, sight = (
    _positions(layout, f'{kind}_tokens') for kind in ('audio', 'video')
  )

  def offset(instant, frame):
    (query,) = [
      p for p in sound if tuple(layout.coordinates_L3[p]) == (instant, 0, 0)
    ]
    key = next(p for p in sight if layout.coordinates_L3[p][0] == frame)
    rows = _rows(layout, np.array([query]), np.array([key]))[0] - first
    (bucket,) = rows[(rows >= 0) & (rows < 128)]
    return bucket - 64 if bucket >= 64 else -bucket

  assert [offset(0, frame) for frame in range(3)] == [-1, 0, 1]
  assert [offset(1, frame) for frame in range(3)] == [-2, -1, 0]


def test_heads_are_split_as_other_heads():
  module = place_bias.PlaceBias(num_heads=4)
  layout = small.SPACE.layout(f'inpainting/{small.SIZE}')
  boxed = jax.eval_shape(lambda k: module.init(k, layout), jax.random.key(0))
  names = rules.logical_axes(boxed['params'])['table']
  assert tuple(names) == (None, 'heads')
