"""Frames, flow, depth and sound of shapes in motion."""

import dataclasses

import numpy as np
import pytest

from videopoet_jax.shapes import attributes
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import render
from videopoet_jax.shapes import sound

_CONFIG = shapes_config.ShapesConfig()


@pytest.mark.parametrize('kind', range(3))
def test_coverage_matches_a_fine_raster(kind):
  centre_N2, radius_N = np.array([[14.3, 17.8]]), np.array([6.4])
  fine = 8
  small = render.coverage(kind, centre_N2, radius_N, 32, 32)
  large = render.coverage(kind, centre_N2 * fine, radius_N * fine, 256, 256)
  mean = large.reshape(1, 32, fine, 32, fine).mean((2, 4))
  np.testing.assert_allclose(small, mean, atol=0.2)
  assert np.abs(small - mean).mean() < 4e-3
  area = attributes.AREAS_K[kind] * 6.4**2
  assert small.sum() == pytest.approx(area, rel=0.01)
  rows = np.arange(32) + 0.5
  middle = (small[0].sum(1) * rows).sum() / small.sum()
  below = (
    attributes.MASS_BELOW_MIDDLE_K[kind]
    * attributes.HALF_EXTENTS_K2[kind, 1]
    * 6.4
  )
  assert middle - 17.8 == pytest.approx(below, abs=0.05)


@pytest.mark.parametrize('size', [32, 64, 128])
def test_a_clip_looks_the_same_at_any_size(size):
  config = dataclasses.replace(_CONFIG, height=size, width=size, ground='plain')
  large = render.clip(config, 'train', 3)
  small = render.clip(dataclasses.replace(_CONFIG, ground='plain'), 'train', 3)
  assert large.video_THW3.shape == (17, size, size, 3)
  factor = size // 32
  shrunk = large.video_THW3.reshape(17, 32, factor, 32, factor, 3)
  shrunk = shrunk.astype(np.float32).mean((2, 4))
  assert np.abs(shrunk - small.video_THW3).mean() < 1.5
  np.testing.assert_array_equal(large.audio_T, small.audio_T)


@pytest.mark.parametrize('index', range(6))
def test_flow_carries_a_frame_to_the_next(index):
  clip = render.clip(_CONFIG, 'train', index)
  (shape,) = clip.scene.shapes
  seen_THW = clip.depth_THW1[..., 0] < 0.89
  assert seen_THW.any((1, 2)).all()
  assert not clip.flow_THW2[:-1][~seen_THW[:-1]].any()
  positions_T2 = shape.positions(np.arange(17))
  for frame in range(16):
    flow_N2 = clip.flow_THW2[frame][seen_THW[frame]]
    step_2 = positions_T2[frame + 1] - positions_T2[frame]
    np.testing.assert_allclose(
      flow_N2, np.tile(step_2, (len(flow_N2), 1)), atol=1e-3
    )
  np.testing.assert_array_equal(clip.flow_THW2[-1], clip.flow_THW2[-2])
  for array, dtype in (
    (clip.video_THW3, np.uint8),
    (clip.flow_THW2, np.float16),
    (clip.depth_THW1, np.float16),
    (clip.audio_T, np.int16),
  ):
    assert array.dtype == dtype


def test_nearer_shape_hides_the_farther():
  config = dataclasses.replace(_CONFIG, min_shapes=2, max_shapes=2)
  clip = render.clip(config, 'train', 0)
  depths = set(np.unique(clip.depth_THW1).tolist())
  assert depths <= {
    float(np.float16(depth))
    for depth in (render.GROUND_DEPTH, *render.SHAPE_DEPTHS)
  }
  assert len(depths) == 3


def test_sound_repeats_note_by_note_and_clicks_at_bounces():
  quiet = bounced = 0
  for index in range(30):
    clip = render.clip(_CONFIG, 'train', index)
    assert clip.audio_T.shape == (34_000,)
    assert np.abs(clip.audio_T.astype(np.int32)).max() < 32_767
    times = clip.scene.bounces(_CONFIG)
    notes_N4000 = clip.audio_T[:32_000].reshape(8, 4000)
    if not times:
      assert (notes_N4000 == notes_N4000[0]).all()
      quiet += 1
    else:
      begin = round(times[0] * 16_000)
      level = np.abs(clip.audio_T.astype(np.int32))
      assert level[:begin].max() < level[begin : begin + 200].max()
      bounced += 1
  assert quiet > 10 and bounced > 5


def test_glides_and_pitches_are_apart():
  assert np.diff(np.sort(sound.GLIDES_D)).min() >= 1
  reach = 2 ** (np.abs(sound.GLIDES_D).max() * sound.NOTE_SECONDS / 2)
  assert (sound.PITCHES_K[:-1] * reach < sound.PITCHES_K[1:] / reach).all()
  assert sound.PITCHES_K[-1] * reach < sound.CLICK_HERTZ / 1.5
