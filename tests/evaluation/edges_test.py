"""How sharp a clip is where the truth is sharp."""

import numpy as np

from videopoet_jax.evaluation import edges
from videopoet_jax.media import resizing


def test_gradient_of_a_ramp_is_its_slope():
  ramp = np.arange(10, dtype=np.uint8) * 3
  video = np.broadcast_to(ramp[None, None, None, :, None], (1, 1, 8, 10, 3))
  np.testing.assert_allclose(edges.gradient_magnitude(video), 3.0, rtol=1e-5)
  turned = video.swapaxes(2, 3)
  np.testing.assert_allclose(edges.gradient_magnitude(turned), 3.0, rtol=1e-5)


def test_blur_costs_edges_and_the_truth_costs_nothing():
  truth = np.zeros((2, 3, 32, 32, 3), np.uint8)
  truth[:, :, 8:24, 8:24] = 200
  small = resizing.reduce_pixels(truth, 2)
  blurred = resizing.resize_pixels(small, 32, 32)
  coarser = resizing.resize_pixels(resizing.reduce_pixels(truth, 4), 32, 32)
  assert (edges.edge_error(truth, truth) == 0).all()
  fine, coarse = (edges.edge_error(x, truth) for x in (blurred, coarser))
  assert fine.shape == (2,) and (coarse > fine).all() and (fine > 1).all()
