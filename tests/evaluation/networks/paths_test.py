"""Weights that are not there: one message that says what to get."""

import pytest

from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import catalogue
from videopoet_jax.evaluation.networks import interface
from videopoet_jax.evaluation.networks import paths


@pytest.mark.parametrize(
  ('metric', 'field', 'file'),
  [
    ('fvd', 'i3d', 'i3d_torchscript.pt'),
    ('kvd', 'i3d', 'i3d_torchscript.pt'),
    ('fid', 'inception_v3', 'weights-inception-2015-12-05-6726825d.pth'),
    ('is', 'c3d', 'c3d_ucf101.pt'),
    ('clipsim', 'clip', 'openai/clip-vit-base-patch16'),
    ('fad', 'vggish', 'vggish-10086976.pth'),
    ('lpips', 'lpips_backbone', 'vgg16-397923af.pth'),
  ],
)
def test_missing_weights(metric, field, file, tmp_path):
  with pytest.raises(errors.ConfigError, match='no path is given') as error:
    catalogue.make(metric)
  assert file in str(error.value)
  assert f'NetworkPaths.{field}' in str(error.value)
  nowhere = paths.NetworkPaths(**{field: str(tmp_path / 'no.pt')})
  with pytest.raises(errors.ConfigError, match=r'no\.pt does not exist'):
    catalogue.make(metric, nowhere)


def test_unknown_metrics_and_settings():
  with pytest.raises(errors.ConfigError, match="did you mean 'psnr'"):
    catalogue.make('psnrr')
  with pytest.raises(errors.ConfigError, match='windw'):
    catalogue.make('ssim', windw=7)


def test_metrics_are_called_as_they_were_asked_for():
  for name in ('psnr', 'ssim', 'si_sdr', 'perplexity_audio', 'dnsmos'):
    assert catalogue.make(name).name == name


def test_fingerprints_of_folders(tmp_path):
  (tmp_path / 'a').write_text('1')
  first = interface.fingerprint(tmp_path, 'x')
  assert first == interface.fingerprint(tmp_path, 'x')
  assert first != interface.fingerprint(tmp_path, 'y')
  (tmp_path / 'a').rename(tmp_path / 'b')
  assert first != interface.fingerprint(tmp_path, 'x')
