"""Sizes of super-resolution, and what is said where they do not divide."""

import pytest

from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.core import upscaling

_SPEC = specs.VisualSpec()


def test_paper_sizes() -> None:
  stage_1 = upscaling.Upscaling(17, 448, 256)
  assert stage_1.name == 'super_resolution/17x448x256'
  assert stage_1.latent(_SPEC) == (5, 56, 32)
  assert stage_1.low_size == (17, 224, 128)
  assert stage_1.low_latent(_SPEC) == (5, 28, 16)
  stage_2 = upscaling.Upscaling(17, 896, 512)
  assert stage_2.latent(_SPEC) == (5, 112, 64)
  assert stage_2.low_size == stage_1.low_size[:1] + (448, 256)


@pytest.mark.parametrize('scale', [2, 4])
@pytest.mark.parametrize('frames', [1, 17])
def test_names_parse_back(scale: int, frames: int) -> None:
  unit = upscaling.Upscaling(frames, 128, 64, scale)
  assert upscaling.Upscaling.parse(unit.name) == unit
  assert ('scale' in unit.name) == (scale != 2)


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('super_resolution/17x128', 'expected super_resolution/FRAMES'),
    ('text_to_video/17x128x128', 'no unit of super-resolution'),
    ('super_resolution/17x128x128/scale=1', 'must be 2 or more'),
    ('super_resolution/17x127x128', 'height 127 .* use 126 or 128'),
    ('super_resolution/0x128x128', 'at least 1'),
  ],
)
def test_refuses_names(name: str, message: str) -> None:
  with pytest.raises(errors.LayoutError, match=message):
    upscaling.Upscaling.parse(name)


def test_refuses_what_strides_do_not_divide() -> None:
  unit = upscaling.Upscaling(17, 128, 72)
  assert unit.latent(_SPEC) == (5, 16, 9)
  with pytest.raises(errors.LayoutError, match='width 72 .* 64 or 80'):
    unit.low_latent(_SPEC)
  with pytest.raises(errors.LayoutError, match='use 13 or 17'):
    upscaling.Upscaling(16, 128, 128).latent(_SPEC)
