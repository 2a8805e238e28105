"""Networks by name, and weights that are not there: one message."""

import dataclasses

import pytest

from videopoet_jax.core import errors
from videopoet_jax.evaluation.networks import catalogue
from videopoet_jax.evaluation.networks import interface
from videopoet_jax.evaluation.networks import paths


@pytest.mark.parametrize(
  ('network', 'field', 'file'),
  [
    ('i3d_kinetics400', 'i3d', 'i3d_torchscript.pt'),
    ('i3d_pretrained_400', 'i3d_state', 'i3d_pretrained_400.pt'),
    ('c3d_ucf101', 'c3d', 'c3d_ucf101.pt'),
    (
      'inception_v3',
      'inception_v3',
      'weights-inception-2015-12-05-6726825d.pth',
    ),
    ('clip_vit_b16', 'clip', 'openai/clip-vit-base-patch16'),
    ('vggish', 'vggish', 'vggish-10086976.pth'),
    ('lpips_vgg', 'lpips_backbone', 'vgg16-397923af.pth'),
    ('lpips_alex', 'lpips_backbone', 'alexnet-owt-7be5be79.pth'),
  ],
)
def test_missing_weights(network, field, file, tmp_path):
  with pytest.raises(errors.ConfigError, match='no path is given') as error:
    catalogue.load(network)
  assert file in str(error.value)
  assert f'--gin.NetworkPaths.{field}=' in str(error.value)
  nowhere = paths.NetworkPaths(**{field: str(tmp_path / 'no.pt')})
  with pytest.raises(errors.ConfigError, match=r'no\.pt does not exist'):
    catalogue.load(network, nowhere)


def test_unknown_networks():
  with pytest.raises(errors.ConfigError, match="did you mean 'vggish'"):
    catalogue.load('vgish')


def test_networks_are_called_as_they_were_asked_for(tmp_path):
  path = tmp_path / 'weights'
  path.write_text('')
  fields = [field.name for field in dataclasses.fields(paths.NetworkPaths)]
  everything = paths.NetworkPaths(**dict.fromkeys(fields, str(path)))
  for name in catalogue.NAMES:
    assert catalogue.load(name, everything).name == name
  assert catalogue.load('vggish', everything, 8000).sampling_rate == 8000


def test_fingerprints_of_folders(tmp_path):
  (tmp_path / 'a').write_text('1')
  first = interface.fingerprint(tmp_path, 'x')
  assert first == interface.fingerprint(tmp_path, 'x')
  assert first != interface.fingerprint(tmp_path, 'y')
  (tmp_path / 'a').rename(tmp_path / 'b')
  assert first != interface.fingerprint(tmp_path, 'x')
