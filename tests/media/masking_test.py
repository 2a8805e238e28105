"""Holes of conditions, and structure."""

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.media import masking
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import render


def test_inpainting_hides_a_quarter_and_seeds_move_it():
  centre = masking.inpainting_mask(3, 16, 8)
  assert centre.mean() == 0.25 and centre[:, 4:12, 2:6].all()
  masks = [masking.inpainting_mask(1, 16, 8, seed) for seed in range(9)]
  assert all(mask.mean() == 0.25 for mask in masks)
  assert len({mask.tobytes() for mask in masks}) > 1


def test_outpainting_keeps_the_middle():
  mask = masking.outpainting_mask(2, 4, 8)
  assert not mask[:, :, 2:6].any() and mask[:, :, :2].all()
  assert mask[:, :, 6:].all()
  video = np.full((2, 4, 8, 3), 7, np.uint8)
  shown = masking.hide(video, mask)
  assert shown.dtype == np.uint8 and set(np.unique(shown)) == {7, 128}


def test_structure_is_grey_where_nothing_moves_and_saturates():
  flow = np.zeros((1, 32, 32, 2), np.float16)
  flow[0, 0, 0] = (9.0, -9.0)
  depth = np.zeros((1, 32, 32, 1), np.float16)
  depth[0, 0, 0] = 1.0
  shown = masking.structure_from(flow, depth)
  assert shown.dtype == np.uint8
  assert shown[0, 5, 5].tolist() == [128, 128, 0]
  assert shown[0, 0, 0].tolist() == [255, 0, 255]
  with pytest.raises(errors.DataError, match='do not make structure'):
    masking.structure_from(flow, depth[..., 0])


@pytest.mark.parametrize(
  ('height', 'reach'), [(16, 0.5), (32, 1.0), (64, 8.0), (128, 16.0), (224, 28)]
)
def test_range_of_flow_grows_with_the_height(height, reach):
  assert masking.flow_range(height) == reach
  flow = np.zeros((1, height, 4, 2), np.float32)
  flow[0, 0] = [reach / 2, -reach / 2]
  flow[0, 1] = [reach * 2, -reach * 2]
  shown = masking.structure_from(flow, np.zeros((1, height, 4, 1)))
  assert shown[0, 0, 0, :2].tolist() == [191, 64]
  assert shown[0, 1, 0, :2].tolist() == [255, 0]


def test_flow_of_shapes_is_not_clipped():
  config = shapes_config.ShapesConfig()
  clips = [render.clip(config, 'validation', index) for index in range(40)]
  flows = [np.abs(clip.flow_THW2).max() for clip in clips]
  assert 0.3 < max(flows) <= masking.flow_range(config.height)
