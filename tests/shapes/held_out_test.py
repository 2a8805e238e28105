"""Clips of a scoreboard: conditions and truth, in order."""

import numpy as np
import pytest

from videopoet_jax.media import masking
from videopoet_jax.shapes import caption
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import held_out
from videopoet_jax.shapes import render
from videopoet_jax.shapes import splits

_CONFIG = shapes_config.ShapesConfig()


@pytest.fixture(name='clips', scope='module')
def _clips():
  return held_out.draw(_CONFIG, 3)


def test_they_are_the_clips_of_the_data_set(clips):
  for index in range(3):
    clip = render.clip(_CONFIG, splits.TEST_HELD_OUT, index)
    np.testing.assert_array_equal(clips.video_BTHWC[index], clip.video_THW3)
    np.testing.assert_array_equal(clips.audio_BT[index], clip.audio_T)
    assert clips.scenes[index] == clip.scene
    (said,) = caption.parse(clips.captions[index])
    shape = clips.shapes[index]
    assert (said.kind, said.colour, said.direction, said.speed) == (
      shape.kind, shape.colour, shape.direction, shape.speed,
    )  # fmt: skip
    np.testing.assert_array_equal(
      clips.structure_BTHWC[index],
      masking.structure_from(clip.flow_THW2, clip.depth_THW1),
    )


def test_another_split_and_any_indices(clips):
  found = held_out.draw_at(_CONFIG, [2, 0])
  np.testing.assert_array_equal(found.video_BTHWC, clips.video_BTHWC[[2, 0]])
  other = held_out.draw(_CONFIG, 1, split=splits.TRAIN)
  assert other.scenes[0] != clips.scenes[0]


def test_some_of_them(clips):
  some = clips.take(np.array([2, 1]))
  assert len(some) == 2 and len(clips) == 3
  assert some.captions == (clips.captions[2], clips.captions[1])
  assert some.scenes == (clips.scenes[2], clips.scenes[1])
  for name in ('video_BTHWC', 'audio_BT', 'structure_BTHWC'):
    np.testing.assert_array_equal(
      getattr(some, name), getattr(clips, name)[[2, 1]]
    )


@pytest.mark.parametrize('task', ['inpainting', 'outpainting'])
def test_what_is_hidden(clips, task):
  hidden = clips.masked_BTHWC(task)
  hole = np.broadcast_to(clips.holes[task], clips.video_BTHWC.shape[1:])
  assert (hidden == clips.video_BTHWC)[:, ~hole].all()
  assert len(np.unique(hidden[:, hole])) == 1
