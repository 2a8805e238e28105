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


@pytest.mark.parametrize(
  ('size', 'divisor', 'words'),
  [(53, 16, '48 or 64'), (48, 16, '48 or 64'), (7, 8, '8'), (8, 8, '8 or 16')],
)
def test_multiples_next_to_a_size(size: int, divisor: int, words: str) -> None:
  assert upscaling.nearest_multiples(size, divisor) == words


def test_the_least_sizes() -> None:
  unit = upscaling.Upscaling(1, 2, 2)
  assert unit.scale == 2 and unit.low_size == (1, 1, 1)
  least = upscaling.Upscaling(1, 16, 16)
  assert least.low_latent(_SPEC) == (1, 1, 1)
  for height, width in ((0, 2), (2, 0), (1, 2)):
    with pytest.raises(errors.LayoutError, match='use 2'):
      upscaling.Upscaling(1, height, width)
  with pytest.raises(errors.LayoutError, match='there must be at least 1'):
    upscaling.Upscaling(0, 2, 2)


def test_a_name_is_taken_whole() -> None:
  for name in ('my_super_resolution/1x2x2', 'super_resolution/1x2x2/scale=2x'):
    with pytest.raises(errors.LayoutError, match='no unit of super-resolution'):
      upscaling.Upscaling.parse(name)
  unit = upscaling.Upscaling.parse('super_resolution/5x32x16/scale=4')
  assert unit == upscaling.Upscaling(5, 32, 16, 4)
  assert unit.low_size == (5, 8, 4)
