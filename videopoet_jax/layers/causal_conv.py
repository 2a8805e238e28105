"""Convolution over time, height and width that never looks ahead in time.

MAGVIT-v2 (arXiv 2310.05737, section 3.2): all `k_t - 1` frames of temporal
padding go before the clip and none after, so that output frame `i` of a layer
of temporal stride `s` sees input frames up to `i * s` and no further. Frame 0
therefore sees itself only, which is what makes an image a one-frame video.

One module, three ways to compute it. XLA's three-dimensional convolution is
native on accelerators but several times slower than two-dimensional ones on a
CPU, where a sum of 2D convolutions, one for each temporal tap, is used.
"""

from collections.abc import Callable
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from videopoet_jax.parallel import manual

IMPLEMENTATIONS = ('auto', 'native', 'taps')
KERNEL_AXES = ('conv_time', 'conv_height', 'conv_width', 'conv_in', 'conv_out')


def choose_implementation(name: str) -> str:
  """Resolves 'auto' for the devices that the code is traced for.

  Args:
    name: one of `IMPLEMENTATIONS`.

  Returns:
    `name`, or for 'auto' 'taps' on a CPU and 'native' elsewhere.

  Raises:
    ValueError: if the name is not known.
  """
  if name not in IMPLEMENTATIONS:
    raise ValueError(f'implementation {name!r} is not one of {IMPLEMENTATIONS}')
  if name != 'auto':
    return name
  return 'taps' if manual.platform() == 'cpu' else 'native'


def _native(
  video_BTHWC: jax.Array, kernel: jax.Array, strides: tuple[int, int, int]
) -> jax.Array:
  return jax.lax.conv_general_dilated(
    video_BTHWC,
    kernel,
    strides,
    padding=(
      (kernel.shape[0] - 1, 0),
      *_same_padding(video_BTHWC.shape[2:4], kernel.shape[1:3], strides[1:]),
    ),
    dimension_numbers=('NDHWC', 'DHWIO', 'NDHWC'),
  )


def _taps(
  video_BTHWC: jax.Array, kernel: jax.Array, strides: tuple[int, int, int]
) -> jax.Array:
  batch, frames, height, width, channels = video_BTHWC.shape
  taps, stride = kernel.shape[0], strides[0]
  frames_out = (frames - 1) // stride + 1
  spatial = _same_padding((height, width), kernel.shape[1:3], strides[1:])
  padded = jnp.pad(video_BTHWC, ((0, 0), (taps - 1, 0), (0, 0), (0, 0), (0, 0)))

  def part(tap: int) -> jax.Array:
    # The frame that this tap sees, for each output frame.
    seen = padded[:, tap : tap + (frames_out - 1) * stride + 1 : stride]
    return jax.lax.conv_general_dilated(
      seen.reshape(batch * frames_out, height, width, channels),
      kernel[tap],
      strides[1:],
      padding=spatial,
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )

  total = part(0)
  for tap in range(1, taps):
    total = total + part(tap)
  return total.reshape(batch, frames_out, *total.shape[1:])


def _same_padding(
  sizes: tuple[int, ...], kernel: tuple[int, ...], strides: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
  padding = []
  for size, width, stride in zip(sizes, kernel, strides, strict=True):
    wanted = max((-(-size // stride) - 1) * stride + width - size, 0)
    padding.append((wanted // 2, wanted - wanted // 2))
  return tuple(padding)


def causal_conv3d(
  video_BTHWC: jax.Array,
  kernel: jax.Array,
  strides: tuple[int, int, int] = (1, 1, 1),
  implementation: str = 'auto',
) -> jax.Array:
  """Convolves with temporal padding before the clip only.

  Args:
    video_BTHWC: (batch, frames, height, width, channels in).
    kernel: (k_t, k_h, k_w, channels in, channels out).
    strides: over time, height and width.
    implementation: one of `IMPLEMENTATIONS`; all give the same result up to
      rounding.

  Returns:
    (batch, (frames - 1) // s_t + 1, ceil(height / s_h), ceil(width / s_w),
    channels out).
  """
  if choose_implementation(implementation) == 'native':
    return _native(video_BTHWC, kernel, strides)
  return _taps(video_BTHWC, kernel, strides)


class CausalConv3D(nn.Module):
  """A causal 3D convolution with a bias.

  Attributes:
    features: channels out.
    kernel_size: taps over time, height and width.
    strides: steps over time, height and width.
    implementation: one of `IMPLEMENTATIONS`.
    kernel_init: initializer of the kernel; the default keeps the variance.
    dtype: dtype of the convolution; parameters stay float32.
  """

  features: int
  kernel_size: tuple[int, int, int] = (3, 3, 3)
  strides: tuple[int, int, int] = (1, 1, 1)
  implementation: str = 'auto'
  kernel_init: Callable[..., Any] = nn.initializers.lecun_normal(
    in_axis=(0, 1, 2, 3), out_axis=4
  )
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Applies the convolution; shapes as in `causal_conv3d`."""
    kernel = self.param(
      'kernel',
      nn.with_logical_partitioning(self.kernel_init, KERNEL_AXES),
      (*self.kernel_size, video_BTHWC.shape[-1], self.features),
      jnp.float32,
    )
    bias = self.param(
      'bias',
      nn.with_logical_partitioning(nn.initializers.zeros, ('conv_out',)),
      (self.features,),
      jnp.float32,
    )
    out = causal_conv3d(
      video_BTHWC.astype(self.dtype),
      kernel.astype(self.dtype),
      self.strides,
      self.implementation,
    )
    return out + bias.astype(self.dtype).reshape(1, 1, 1, 1, -1)
