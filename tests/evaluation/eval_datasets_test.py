"""Sets by index: folders, captions, orders, and what is said of a lack."""

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.evaluation import eval_datasets
from videopoet_jax.media import masking
from videopoet_jax.shapes import builder
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import held_out

_SMALL = shapes_config.ShapesConfig(
  frames=5, height=16, width=16, sampling_rate=1600
)


@pytest.fixture(scope='module')
def media(tmp_path_factory):
  return builder.build(
    str(tmp_path_factory.mktemp('media')),
    builder.ShapesBuilderConfig(
      name='tiny', shapes=_SMALL, train=6, validation=3, test_held_out=0,
      processes=1,
    ),
  )  # fmt: skip


def test_media_sets_are_read_by_index(media):
  found = eval_datasets.open_set('mine', 'train', {'mine': media})
  assert (found.size, found.frame_rate) == (6, 8.0)
  drawn = held_out.draw_at(_SMALL, [4, 0], 'train')
  clips = found.read([4, 0])
  np.testing.assert_array_equal(clips.video_BTHWC, drawn.video_BTHWC)
  np.testing.assert_array_equal(clips.audio_BT, drawn.audio_BT)
  assert clips.captions == drawn.captions
  np.testing.assert_array_equal(
    clips.masked_BTHWC('outpainting'), drawn.masked_BTHWC('outpainting')
  )
  # Flow is kept in float16, which moves a pixel value by one here and there.
  difference = clips.structure_BTHWC.astype(int) - drawn.structure_BTHWC
  assert np.abs(difference).max() <= 1


def test_all_joins_splits(media):
  found = eval_datasets.open_set('mine', 'all', {'mine': media})
  parts = [
    eval_datasets.open_set('mine', split, {'mine': media})
    for split in ('train', 'validation')
  ]
  assert found.size == 9
  np.testing.assert_array_equal(
    found.read([5, 6, 8]).video_BTHWC,
    np.concatenate(
      [parts[0].read([5]).video_BTHWC, parts[1].read([0, 2]).video_BTHWC]
    ),
  )
  assert len({one.fingerprint for one in (found, *parts)}) == 3


def test_captions_alone(tmp_path):
  path = tmp_path / 'captions.txt'
  path.write_text('a dog\n\n a red ball \n')
  found = eval_datasets.open_set('texts', 'all', {'texts': str(path)})
  assert found.size == 2 and found.read([1, 0]).captions == (
    'a red ball',
    'a dog',
  )
  with pytest.raises(errors.DataError, match='has no video, which the'):
    _ = found.read([0]).video_BTHWC


@pytest.mark.parametrize(
  'folders, message',
  [
    ({'k600': ''}, r"needs the set 'k600'.*--gin.K600="),
    ({'k600': '/nowhere'}, 'does not exist.*bound by --gin.K600'),
    ({'k600': '/nowhere.txt'}, 'cannot read the captions'),
  ],
)
def test_sets_that_are_not_there(folders, message):
  with pytest.raises(errors.DataError, match=message):
    eval_datasets.open_set('k600', 'all', folders)


def test_orders_are_permutations_that_differ_by_seed_and_salt():
  positions = np.arange(50)
  orders = [
    tuple(eval_datasets.places(positions, 50, seed, salt))
    for seed, salt in ((0, 0), (1, 0), (0, 1))
  ]
  assert all(sorted(order) == list(range(50)) for order in orders)
  assert len(set(orders)) == 3
  np.testing.assert_array_equal(
    eval_datasets.places(positions, 50, -1), positions
  )
  with pytest.raises(errors.DataError, match='takes 50 different clips'):
    eval_datasets.places(positions, 49, 0)
  with pytest.raises(errors.ConfigError, match='no permuted order'):
    eval_datasets.places(positions, None, 0)


def test_shapes_are_those_on_disk():
  clips = eval_datasets.open_set('shapes', 'validation', {}).read([3])
  assert clips.video_BTHWC.shape == (1, 17, 32, 32, 3)
  hole = masking.inpainting_mask(17, 32, 32)
  assert (clips.masked_BTHWC('inpainting')[0][hole[..., 0]] == 128).all()
