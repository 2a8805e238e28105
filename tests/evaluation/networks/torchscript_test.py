"""I3D and C3D as TorchScript files, on files of that form made here."""

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import distances
from videopoet_jax.evaluation.metrics import inception_score
from videopoet_jax.evaluation.networks import catalogue
from videopoet_jax.evaluation.networks import paths
from videopoet_jax.evaluation.networks import torchscript

torch = pytest.importorskip('torch', reason='needs torch (eval extra)')

from tests.evaluation.networks import published  # noqa: E402


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('weights')
  published.video_script(folder / 'i3d.pt', 400)
  published.video_script(folder / 'c3d.pt', 101, softmax=True)
  return folder


def test_i3d_is_called_as_fvd_asks(folder):
  video = published.videos(5, 10)
  features = torchscript.i3d(folder / 'i3d.pt')(video)
  module = torch.jit.load(folder / 'i3d.pt')
  with torch.inference_mode():
    expected = module(
      torch.from_numpy(video).permute(0, 4, 1, 2, 3).float(),
      rescale=True,
      resize=True,
      return_features=True,
    )
  np.testing.assert_allclose(features, expected, atol=1e-5)
  assert features.shape == (5, 400)


def test_equal_bits_in_any_batch(folder):
  video = published.videos(6, 10)
  network = torchscript.i3d(folder / 'i3d.pt')
  together = network(video)
  for size in (1, 2, 5):
    apart = [network(video[i : i + size]) for i in range(0, 6, size)]
    np.testing.assert_array_equal(np.concatenate(apart), together)


def test_fvd_and_inception_score_from_files(folder):
  files = paths.NetworkPaths(
    i3d=str(folder / 'i3d.pt'), c3d=str(folder / 'c3d.pt')
  )
  batch = {
    'generated': published.videos(6, 16, seed=1),
    'real': published.videos(6, 16),
  }
  i3d = catalogue.load('i3d_kinetics400', files)
  values = {}
  for metric in (
    distances.Frechet('fvd', i3d),
    distances.KernelDistance('kvd', i3d),
    inception_score.InceptionScore(catalogue.load('c3d_ucf101', files)),
  ):
    state = metric.add(metric.empty(), metric.measure(batch))
    values[metric.name] = metric.compute(state)
  assert values['fvd'] > 0
  assert np.isfinite(values['kvd'])
  assert 1 < values['is'] < 101


def test_mistakes(folder, tmp_path):
  network = torchscript.i3d(folder / 'i3d.pt')
  with pytest.raises(errors.DataError, match='9 frames or more, not 5'):
    network(published.videos(1, 5))
  # Another network's file.
  with pytest.raises(errors.ConfigError, match=r'\(101,\), not \(400,\)'):
    torchscript.i3d(folder / 'c3d.pt')(published.videos(1, 16))
  (tmp_path / 'page.html').write_text('<html>')
  with pytest.raises(errors.ConfigError, match='no TorchScript file'):
    torchscript.c3d(tmp_path / 'page.html')(published.videos(1, 16))
