"""Batches of clips and sound: pure functions of (seed, step)."""

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.data import media_batches
from videopoet_jax.data import records
from videopoet_jax.media import masking
from videopoet_jax.media import resizing
from videopoet_jax.shapes import builder
from videopoet_jax.shapes import config as shapes_config


@pytest.fixture(scope='module')
def media(tmp_path_factory):
  shapes = shapes_config.ShapesConfig(
    frames=5, height=16, width=16, sampling_rate=1600
  )
  return builder.build(
    str(tmp_path_factory.mktemp('media')),
    builder.ShapesBuilderConfig(
      name='tiny',
      shapes=shapes,
      train=24,
      validation=4,
      test_held_out=0,
      processes=1,
    ),
  )


@pytest.fixture(scope='module')
def clips(media):
  opened = records.open_records(media)
  return list(opened.examples('train').as_numpy_iterator())


def _make(media, feature='video', **options):
  return media_batches.MediaBatches(
    media, feature, **{'batch_size': 4, 'seed': 1, **options}
  )


def test_steps_are_pure_and_an_epoch_shows_every_clip(media, clips):
  first, second = _make(media), _make(media)
  kept = [first.batch(step)['video'] for step in range(6)]
  for step in (5, 0, 1, 2, 2):
    np.testing.assert_array_equal(second.batch(step)['video'], kept[step])
  shown = {clip.tobytes() for batch in kept for clip in batch}
  assert shown == {clip['video'].tobytes() for clip in clips}
  assert first.units() == ('clip',) and first.unit_at(3) == 'clip'


def test_hosts_read_parts_of_one_batch(media):
  whole = _make(media).batch(2)['video']
  reader = _make(media)
  parts = []
  for index in range(2):
    reader.read_part(index, 2)
    parts.append(reader.batch(2)['video'])
  np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_sound_comes_as_it_is(media, clips):
  batch = _make(media, 'audio').batch(0)
  assert list(batch) == ['audio']
  assert batch['audio'].dtype == np.int16
  known = {clip['audio'].tobytes() for clip in clips}
  assert all(row.tobytes() in known for row in batch['audio'])


def test_shares_of_masked_and_structure_clips(media, clips):
  mixture = media_batches.ClipMixture(masked_share=0.4, structure_share=0.3)
  made = _make(media, batch_size=8, mixture=mixture)
  hole = masking.inpainting_mask(5, 16, 16)
  sides = masking.outpainting_mask(5, 16, 16)
  kinds = {'plain': set(), 'hole': set(), 'sides': set(), 'structure': set()}
  for clip in clips:
    video = clip['video']
    kinds['plain'].add(video.tobytes())
    kinds['hole'].add(masking.hide(video, hole).tobytes())
    kinds['sides'].add(masking.hide(video, sides).tobytes())
    structure = masking.structure_from(clip['flow'], clip['depth'])
    kinds['structure'].add(structure.tobytes())
  counts = dict.fromkeys(kinds, 0)
  for step in range(30):
    for row in made.batch(step)['video']:
      (kind,) = [k for k, seen in kinds.items() if row.tobytes() in seen]
      counts[kind] += 1
  assert 45 < counts['structure'] < 100
  assert 28 < counts['hole'] < 70 and 28 < counts['sides'] < 70


def test_share_of_image_batches(media):
  mixture = media_batches.ClipMixture(image_share=0.5)
  made = _make(media, mixture=mixture)
  units = [made.unit_at(step) for step in range(100)]
  assert 30 < units.count('image') < 70
  assert made.units() == ('clip', 'image')
  shapes = {
    unit: made.batch(units.index(unit))['video'].shape for unit in made.units()
  }
  assert shapes == {'clip': (4, 5, 16, 16, 3), 'image': (20, 1, 16, 16, 3)}


def test_mistakes(media):
  with pytest.raises(errors.DataError, match="did you mean 'video'"):
    _make(media, 'vide')
  with pytest.raises(errors.DataError, match='no split'):
    _make(media, split='tset')
  with pytest.raises(errors.ConfigError, match='share from 0 to 1'):
    media_batches.ClipMixture(masked_share=2)
  with pytest.raises(errors.ConfigError, match='more than 1'):
    media_batches.ClipMixture(masked_share=0.6, structure_share=0.6)


def test_cuts_of_several_scales(media, clips):
  mixture = media_batches.ClipMixture(scales=(1, 2), crop=8)
  made = _make(media, mixture=mixture)
  shown = _cuts(made, 6)
  np.testing.assert_array_equal(shown, _cuts(_make(media, mixture=mixture), 6))
  kinds = {'full': 0, 'half': 0}
  for cut in shown:
    assert cut.shape == (5, 8, 8, 3)
    halves = [resizing.reduce_pixels(clip['video'], 2) for clip in clips]
    if any(np.array_equal(cut, half) for half in halves):
      kinds['half'] += 1
      continue
    kinds['full'] += any(
      np.array_equal(cut, clip['video'][:, y : y + 8, x : x + 8])
      for clip in clips
      for y in range(9)
      for x in range(9)
    )
  assert sum(kinds.values()) == len(shown) and min(kinds.values()) > 4


def test_of_several_tries_the_sharpest_cut_is_taken(media):
  def edges(tries):
    mixture = media_batches.ClipMixture(crop=8, crop_tries=tries)
    cuts = np.array(_cuts(_make(media, mixture=mixture), 6), float)
    return np.square(np.diff(cuts[..., 1], axis=2)).sum((1, 2, 3)) + (
      np.square(np.diff(cuts[..., 1], axis=3)).sum((1, 2, 3))
    )

  # The first try is the same, so no cut has fewer edges.
  any_place, sharpest = edges(1), edges(4)
  assert (sharpest >= any_place).all()
  assert (sharpest > any_place).sum() > len(any_place) / 3


def _cuts(made, steps):
  return [cut for step in range(steps) for cut in made.batch(step)['video']]


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'scales': (1, 2)}, 'bind ClipMixture.crop'),
    ({'scales': (1, 2), 'crop': 12}, 'Bind at most 8'),
    ({'scales': (3,)}, 'use 15 or 18'),
    ({'crop_tries': 0}, 'crop_tries is 0'),
  ],
)
def test_scales_and_cuts_that_do_not_fit_are_refused(media, options, message):
  with pytest.raises(errors.UserError, match=message):
    _make(media, mixture=media_batches.ClipMixture(**options))
