"""Sizes of a super-resolution result and of its condition.

The result of a compile unit has a size in pixels; its condition is the same
clip, smaller by a whole factor in height and width. Both are grids of visual
ids (VideoPoet, section 3.4), and both grids' sizes follow from here alone.
"""

import dataclasses
import re
from typing import Self

from videopoet_jax.core import errors
from videopoet_jax.core import specs

TASK = 'super_resolution'

_NAME = re.compile(
  rf'^{TASK}/(?P<frames>\d+)x(?P<height>\d+)x(?P<width>\d+)'
  r'(?:/scale=(?P<scale>\d+))?$'
)


def nearest_multiples(size: int, divisor: int) -> str:
  """`48 or 64`: the multiples of a divisor next to a size, for messages."""
  lower = size // divisor * divisor
  upper = lower + divisor
  return f'{lower} or {upper}' if lower else str(upper)


@dataclasses.dataclass(frozen=True)
class Upscaling:
  """One compile unit of super-resolution.

  Attributes:
    frames: frames of the result and of its condition; 1 is an image.
    height: pixels of the result.
    width: pixels of the result.
    scale: the result's height and width over the condition's.
  """

  frames: int
  height: int
  width: int
  scale: int = 2

  def __post_init__(self) -> None:
    if self.scale < 2:
      raise errors.LayoutError(
        f'super-resolution by {self.scale}: the scale must be 2 or more.'
      )
    if self.frames < 1:
      raise errors.LayoutError(
        f'super-resolution of {self.frames} frames: there must be at least 1.'
      )
    self._divide(self.scale, f'the scale {self.scale}')

  def _divide(self, divisor: int, what: str) -> None:
    for name in ('height', 'width'):
      size = getattr(self, name)
      if size < divisor or size % divisor:
        raise errors.LayoutError(
          f'{self.name}: {name} {size} is not a multiple of {what}; use '
          f'{nearest_multiples(size, divisor)}.'
        )

  @property
  def name(self) -> str:
    """For example `super_resolution/17x128x128`, `.../scale=4` unless 2."""
    size = f'{self.frames}x{self.height}x{self.width}'
    options = '' if self.scale == 2 else f'/scale={self.scale}'
    return f'{TASK}/{size}{options}'

  @classmethod
  def parse(cls, name: str) -> Self:
    """Inverse of `name`; LayoutError if the name or its sizes are wrong."""
    match = _NAME.match(name)
    if match is None:
      raise errors.LayoutError(
        f'{name!r} is no unit of super-resolution; expected '
        f'{TASK}/FRAMESxHEIGHTxWIDTH of the result, for example '
        f'{TASK}/17x128x128, with /scale=4 behind where the scale is not 2.'
      )
    found = {key: int(value) for key, value in match.groupdict('2').items()}
    return cls(**found)

  @property
  def low_size(self) -> tuple[int, int, int]:
    """Frames, height and width of the condition, pixels."""
    return self.frames, self.height // self.scale, self.width // self.scale

  def latent(self, spec: specs.VisualSpec) -> tuple[int, int, int]:
    """Shape (t, h, w) of the result's ids.

    Args:
      spec: grid of the result's tokenizer.

    Raises:
      LayoutError: the tokenizer's strides do not divide the sizes.
    """
    stride = spec.spatial_stride
    self._divide(stride, f"the tokenizer's spatial stride {stride}")
    return spec.latent_shape(self.frames, self.height, self.width)

  def low_latent(self, spec: specs.VisualSpec) -> tuple[int, int, int]:
    """Shape (t, h / scale, w / scale) of the condition's ids.

    Args:
      spec: grid of the condition's tokenizer.

    Raises:
      LayoutError: the strides do not divide the sizes.
    """
    stride = spec.spatial_stride
    self._divide(
      stride * self.scale,
      f"{stride * self.scale}, the tokenizer's spatial stride {stride} times "
      f'the scale {self.scale}',
    )
    return spec.latent_shape(*self.low_size)
