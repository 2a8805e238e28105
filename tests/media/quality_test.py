"""PSNR by hand."""

import numpy as np
import pytest

from videopoet_jax.media import quality


def test_psnr_by_hand():
  truth = np.full((2, 1, 4, 4, 3), 100, np.uint8)
  found = truth.copy()
  found[1] += 5
  expected = [10 * np.log10(255**2 / 1e-2), 10 * np.log10(255**2 / 25)]
  np.testing.assert_allclose(quality.psnr(found, truth), expected)


def test_decibels_have_a_ceiling():
  assert quality.decibels(0.0) == quality.decibels(quality.SMALLEST_ERROR)
  assert quality.decibels(100.0) == pytest.approx(28.13, abs=0.01)
  assert quality.decibels(1.0) - quality.decibels(10.0) == pytest.approx(10)
