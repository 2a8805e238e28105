"""I3D in JAX against the code that its published file was written by."""

import dataclasses
import importlib.util
import pathlib

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.evaluation.networks import i3d

pytestmark = pytest.mark.parity

torch = pytest.importorskip('torch', reason='needs torch (parity extra)')

from tests.evaluation.networks import published  # noqa: E402


def _theirs():
  found = importlib.util.find_spec('cdfvd')
  if found is None:
    pytest.skip('needs cd-fvd (pip install --no-deps cd-fvd)')
  root = pathlib.Path(found.submodule_search_locations[0])
  spec = importlib.util.spec_from_file_location(
    '_pytorch_i3d', root / 'third_party' / 'i3d' / 'pytorch_i3d.py'
  )
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  torch.manual_seed(0)
  network = module.InceptionI3d(400, in_channels=3).eval()
  for name, tensor in network.state_dict().items():
    # Moments unlike those of no training.
    if name.endswith('running_mean'):
      tensor.normal_(0, 0.1)
    elif name.endswith('running_var'):
      tensor.uniform_(0.5, 1.5)
  return network


def test_equals_the_code_of_the_published_file(tmp_path):
  theirs = _theirs()
  torch.save(theirs.state_dict(), tmp_path / 'i3d_pretrained_400.pt')
  network = dataclasses.replace(
    i3d.i3d_state(str(tmp_path / 'i3d_pretrained_400.pt')),
    chunk=1,
    most_devices=1,
  )
  # An odd number of frames, so that paddings are uneven; sizes to shrink.
  video = published.videos(2, 11, size=240)
  ours = network(video)
  frames = torch.from_numpy(video).flatten(0, 1).permute(0, 3, 1, 2).float()
  with torch.inference_mode():
    resized = torch.nn.functional.interpolate(
      frames, size=(224, 224), mode='bilinear', align_corners=False
    )
    levels = 2 * resized.unflatten(0, (2, 11)).transpose(1, 2) / 255 - 1
    expected = theirs(levels).numpy()
  assert ours.shape == (2, 400)
  spread = np.abs(expected - expected.mean(1, keepdims=True)).max()
  np.testing.assert_allclose(ours, expected, atol=2e-4 * spread)
  np.testing.assert_array_equal(network(video[1:])[0], ours[1])


def test_mistakes(tmp_path):
  path = tmp_path / 'weights.pt'
  torch.save({'fc.weight': torch.zeros(3)}, path)
  network = i3d.i3d_state(str(path))
  with pytest.raises(errors.ConfigError, match='Conv3d_1a_7x7'):
    network(published.videos(1, 9))
  with pytest.raises(errors.DataError, match='9 frames or more, not 4'):
    network(published.videos(1, 4))
