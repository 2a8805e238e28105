"""Batches of two resolutions: pure functions of (seed, step)."""

import json

import numpy as np
import pytest

from tests.experiments import pair_set
from videopoet_jax.core import errors
from videopoet_jax.core import upscaling
from videopoet_jax.data import super_resolution
from videopoet_jax.data import tokens

WHOLE = upscaling.Upscaling(9, 64, 64)
IMAGE = upscaling.Upscaling(1, 64, 64)
CUT = upscaling.Upscaling(5, 32, 48)
TEXT = super_resolution.Text(slots=4)


@pytest.fixture(scope='module')
def pairs(tmp_path_factory):
  return pair_set.write(tmp_path_factory.mktemp('pairs') / 'tokens')


def _make(pairs, units=(WHOLE, IMAGE, CUT), **options):
  return super_resolution.PairBatches(
    units, pairs, TEXT, **{'tokens_per_batch': 4 * 192, 'seed': 3, **options}
  )


def test_steps_are_pure_and_batches_fit_their_units(pairs):
  first, second = _make(pairs), _make(pairs)
  kept = [first.batch(step) for step in range(12)]
  names = [first.unit_at(step) for step in range(12)]
  assert set(names) == set(first.units())
  for step in (11, 3, 4, 0, 0, 7):
    assert second.unit_at(step) == names[step]
    for name, array in second.batch(step).items():
      np.testing.assert_array_equal(array, kept[step][name], name)
  for name, batch in zip(names, kept):
    shapes = first.shapes(name)
    assert {k: (v.shape, v.dtype) for k, v in batch.items()} == {
      k: (v.shape, v.dtype) for k, v in shapes.items()
    }
  rows = {name: len(first.shapes(name)['text']) for name in first.units()}
  assert rows == {WHOLE.name: 4, IMAGE.name: 12, CUT.name: 16}


def test_both_grids_are_cut_at_the_same_place(pairs):
  batches = _make(pairs, (CUT,))
  corners = set()
  for step in range(6):
    batch = batches.batch(step)
    low, high = batch['low_tokens'], batch['video_tokens']
    assert low.shape[1:] == (2, 2, 3) and high.shape[1:] == (2, 4, 6)
    # A cell of the result says which cell of the condition it belongs to.
    spread = low.repeat(2, axis=2).repeat(2, axis=3)
    np.testing.assert_array_equal(high // 4, spread)
    corners |= set(low[:, 0, 0, 0].tolist())
  # Three rows and two columns to begin at, of four to a row.
  assert corners == {0, 1, 4, 5, 8, 9}


def test_an_epoch_shows_every_clip_and_its_text(pairs):
  batches = _make(pairs, (WHOLE,))
  seen = [batches.batch(step) for step in range(8)]
  shown = {x.tobytes() for b in seen for x in b['video_tokens']}
  known = {e['video_tokens'].tobytes() for e in pair_set.examples(32)}
  assert shown == known
  lengths = np.concatenate([b['text_visible'].sum(1) for b in seen])
  # 'ab'[:n] and the end of text.
  assert np.bincount(lengths, minlength=4).tolist() == [0, 11, 11, 10]
  for batch in seen:
    np.testing.assert_array_equal(batch['text'] > 0, batch['text_visible'])


def test_hosts_read_parts_of_one_batch(pairs):
  whole = _make(pairs).batch(2)
  reader = _make(pairs)
  parts = []
  for index in range(2):
    reader.read_part(index, 2)
    parts.append(reader.batch(2))
    shapes = reader.shapes(reader.unit_at(2))
    assert {n: a.shape for n, a in shapes.items()} == {
      n: a.shape for n, a in parts[-1].items()
    }
  for name, array in whole.items():
    joined = np.concatenate([part[name] for part in parts])
    np.testing.assert_array_equal(joined, array, name)


def test_weights_are_shares_of_the_steps(pairs):
  batches = _make(pairs, (WHOLE, IMAGE), weights={IMAGE.name: 1 / 3})
  drawn = [batches.unit_at(step) for step in range(2000)]
  assert abs(drawn.count(IMAGE.name) / 2000 - 0.25) < 0.03
  never = _make(pairs, (WHOLE, IMAGE), weights={IMAGE.name: 0})
  assert {never.unit_at(step) for step in range(100)} == {WHOLE.name}


def test_a_checkpoint_of_other_data_is_not_gone_on_with(pairs):
  batches = _make(pairs)
  batches.restore(json.loads(json.dumps(batches.state())))
  with pytest.raises(errors.ConfigError, match='--init_from'):
    _make(pairs, seed=4).restore(batches.state())


def test_batches_keep_their_sizes_on_another_number_of_devices(pairs):
  sizes = {'units': (WHOLE,), 'tokens_per_batch': 5 * 192}
  begun = _make(pairs, multiple=4, **sizes)
  resumed = _make(pairs, multiple=1, **sizes)
  assert begun.batch_sizes() == {WHOLE.name: 4}
  assert resumed.batch_sizes() == {WHOLE.name: 5}
  resumed.batch(0)  # As a run reads one before it knows of the checkpoint.
  resumed.restore(json.loads(json.dumps(begun.state())))
  for step in (0, 3):
    expected, found = begun.batch(step), resumed.batch(step)
    for name, array in expected.items():
      np.testing.assert_array_equal(found[name], array)
  with pytest.raises(
    errors.ConfigError, match='shared evenly among 3 .devices'
  ):
    _make(pairs, multiple=3, **sizes).restore(begun.state())


def test_validation_is_whole_and_the_same_each_time(pairs):
  data = super_resolution.FirstPairs((WHOLE,), pairs, TEXT, batch_size=4)
  (batch,) = data.batches(WHOLE.name)
  expected = [e['video_tokens'] for e in pair_set.examples(40)[32:36]]
  np.testing.assert_array_equal(batch['video_tokens'], expected)
  assert data.batches(WHOLE.name)[0] is batch


@pytest.mark.parametrize(
  ('unit', 'message'),
  [
    (upscaling.Upscaling(9, 128, 128), 'larger than the clips .*9, 64, 64'),
    (upscaling.Upscaling(9, 64, 64, scale=4), '--low_scale 4'),
    (upscaling.Upscaling(9, 64, 56), 'use 48 or 64'),
  ],
)
def test_units_that_do_not_fit_are_refused(pairs, unit, message):
  with pytest.raises(errors.UserError, match=message):
    _make(pairs, (unit,))


def test_weights_of_no_unit_are_refused(pairs):
  with pytest.raises(errors.ConfigError, match='no unit of this run.*1x64x64'):
    _make(pairs, weights={'super_resolution/1x64x6': 1.0})
  with pytest.raises(errors.ConfigError, match='nor all 0'):
    _make(pairs, (WHOLE,), weights={WHOLE.name: 0.0})


def test_a_data_set_without_pairs_says_how_to_make_them(tmp_path):
  info = tokens.TokenInfo(clip=(9, 64, 64))
  with tokens.TokenWriter(tmp_path / 'plain', info) as writer:
    writer.write('train', {'text': 'a'})
  with pytest.raises(errors.DataError, match='--low_scale 2'):
    _make(str(tmp_path / 'plain'))
