"""Random weights in the layout of published networks, drawn once."""

import functools

import numpy as np

# EfficientNet-Lite0: repeats, kernel, expansion, channels out.
_STAGES = (
  (1, 3, 1, 16),
  (2, 3, 6, 24),
  (2, 5, 6, 40),
  (3, 3, 6, 80),
  (3, 5, 6, 112),
  (4, 5, 6, 192),
  (1, 3, 6, 320),
)


@functools.cache
def of(backbone):
  """Weights of 'efficientnet_lite0', by the names of its file."""
  assert backbone == 'efficientnet_lite0'
  rng = np.random.default_rng(0)
  weights = {}

  def conv(name, out, into, kernel, groups=1):
    shape = (out, into // groups, kernel, kernel)
    scale = (shape[1] * kernel * kernel) ** -0.5
    weights[f'{name}.weight'] = rng.normal(0, scale, shape).astype(np.float32)

  def norm(name, channels):
    for leaf, value in (
      ('weight', rng.uniform(0.5, 1.5, channels)),
      ('bias', rng.normal(0, 0.1, channels)),
      ('running_mean', rng.normal(0, 0.1, channels)),
      ('running_var', rng.uniform(0.5, 1.5, channels)),
    ):
      weights[f'{name}.{leaf}'] = value.astype(np.float32)
    weights[f'{name}.num_batches_tracked'] = np.array(1)

  conv('_conv_stem', 32, 3, 3)
  norm('_bn0', 32)
  channels, index = 32, 0
  for repeats, kernel, expansion, out in _STAGES:
    for _ in range(repeats):
      name, wide = f'_blocks.{index}', channels * expansion
      if expansion > 1:
        conv(f'{name}._expand_conv', wide, channels, 1)
        norm(f'{name}._bn0', wide)
      conv(f'{name}._depthwise_conv', wide, wide, kernel, wide)
      norm(f'{name}._bn1', wide)
      conv(f'{name}._project_conv', out, wide, 1)
      norm(f'{name}._bn2', out)
      channels, index = out, index + 1
  conv('_conv_head', 1280, 320, 1)
  norm('_bn1', 1280)
  weights['_fc.weight'] = rng.normal(0, 0.03, (1000, 1280)).astype(np.float32)
  weights['_fc.bias'] = np.zeros(1000, np.float32)
  return weights
