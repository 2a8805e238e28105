"""Bicubic resizing against PyTorch's and Pillow's."""

import numpy as np
from PIL import Image
import pytest

from videopoet_jax.media import resizing

pytestmark = pytest.mark.parity

torch = pytest.importorskip('torch', reason='needs torch (parity extra)')


@pytest.mark.parametrize('size', [(64, 48), (32, 24), (256, 192)])
def test_equals_torch_antialiased(size):
  drawn = np.random.default_rng(0)
  video = drawn.integers(0, 256, (3, 128, 96, 3), dtype=np.uint8)
  theirs = torch.nn.functional.interpolate(
    torch.tensor(video).permute(0, 3, 1, 2).float(),
    size=size,
    mode='bicubic',
    antialias=True,
    align_corners=False,
  )
  expected = theirs.permute(0, 2, 3, 1).numpy()
  found = resizing.resize(video, *size)
  np.testing.assert_allclose(found, expected, atol=1e-3)


def test_pillow_differs_by_its_rounding_between_the_axes():
  drawn = np.random.default_rng(0)
  # Mild: Pillow also clips between the axes.
  video = drawn.integers(80, 170, (3, 128, 96, 3), dtype=np.uint8)
  theirs = np.stack(
    [
      np.asarray(Image.fromarray(f).resize((48, 64), Image.Resampling.BICUBIC))
      for f in video
    ]
  )
  difference = np.abs(resizing.reduce_pixels(video, 2) - theirs.astype(int))
  assert difference.max() <= 1
