"""Which frames are measured, and at which size."""

import types

import numpy as np
from PIL import Image
import pytest

from videopoet_jax.core import errors
from videopoet_jax.evaluation import measured


def _task(frames=0, first_frame=0, size=()):
  return types.SimpleNamespace(
    name='row', frames=frames, first_frame=first_frame, size=size
  )


def _video(frames=6, height=4, width=6):
  draw = np.random.default_rng(0)
  return draw.integers(0, 256, (2, frames, height, width, 3), np.uint8)


@pytest.mark.parametrize('cut', [measured.generated, measured.real])
@pytest.mark.parametrize(
  ('frames', 'first', 'part'),
  [
    (0, 0, slice(0, 6)),
    (0, 5, slice(5, 6)),
    (2, 0, slice(0, 2)),
    (2, 4, slice(4, 6)),
    (6, 0, slice(0, 6)),
  ],
)
def test_frames(cut, frames, first, part):
  video = _video()
  np.testing.assert_array_equal(
    cut(video, _task(frames, first)), video[:, part]
  )


@pytest.mark.parametrize(('frames', 'first'), [(7, 0), (2, 5), (0, 6), (0, 7)])
def test_clips_that_are_too_short_are_refused(frames, first):
  with pytest.raises(errors.DataError, match='real clips, which have 6'):
    measured.real(_video(), _task(frames, first))
  with pytest.raises(errors.DataError, match='generated clips, which have 6'):
    measured.generated(_video(), _task(frames, first))


def test_a_size_of_ones_own_is_left_alone():
  video = _video()
  assert measured.resize(video, _task()) is video
  assert measured.resize(video, _task(size=(4, 6))) is video


def test_frames_are_resized_one_by_one_as_pillow_does():
  video = _video()
  found = measured.generated(video, _task(2, 1, size=(3, 9)))
  assert found.shape == (2, 2, 3, 9, 3) and found.dtype == np.uint8
  for row, frame in ((0, 0), (1, 1)):
    wanted = Image.fromarray(video[row, 1 + frame]).resize(
      (9, 3), Image.Resampling.BICUBIC
    )
    np.testing.assert_array_equal(found[row, frame], np.asarray(wanted))
