"""Convolution over time, height and width that never looks ahead in time.

MAGVIT-v2 (arXiv 2310.05737, section 3.2): all `k_t - 1` frames of temporal
padding go before the clip and none after, so that output frame `i` of a layer
of temporal stride `s` sees input frames up to `i * s` and no further. Frame 0
therefore sees itself only, which is what makes an image a one-frame video.

One module, three ways to compute it. XLA's three-dimensional convolution is
native on accelerators but several times slower than two-dimensional ones on a
CPU. There, the frames that an output frame sees are stacked along the channels
for one 2D convolution, as long as they have few channels: the matrix products
within are then large enough. With more channels a sum of 2D convolutions, one
for each temporal tap, is as fast and copies nothing.

A clip may be convolved in chunks. Each layer then carries the last frames that
the next chunk's outputs see: `k_t - 1` frames of zeros before the first chunk,
and `k_t - s` frames of its input afterwards, since the next output is `s`
frames after the last one. `CausalConv3D` keeps them in the collection `STREAM`.
"""

from collections.abc import Callable
import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from videopoet_jax.parallel import manual

IMPLEMENTATIONS = ('auto', 'native', 'taps', 'stacked')
# Collection of the frames that a chunk of a clip leaves to the next.
STREAM = 'stream'
KERNEL_AXES = ('conv_time', 'conv_height', 'conv_width', 'conv_in', 'conv_out')
# Below this many channels in, 'stacked' is the faster one on a CPU.
_NARROW = 32


def choose_implementation(name: str, channels: int) -> str:
  """Resolves 'auto' for the devices that the code is traced for.

  Args:
    name: one of `IMPLEMENTATIONS`.
    channels: channels in.

  Returns:
    `name`, or for 'auto' 'native' on an accelerator, and on a CPU 'stacked' for
    few channels and 'taps' for more.

  Raises:
    ValueError: if the name is not known.
  """
  if name not in IMPLEMENTATIONS:
    raise ValueError(f'implementation {name!r} is not one of {IMPLEMENTATIONS}')
  if name != 'auto':
    return name
  if manual.platform() != 'cpu':
    return 'native'
  return 'stacked' if channels < _NARROW else 'taps'


def _native(
  video_BTHWC: jax.Array,
  kernel: jax.Array,
  strides: tuple[int, int, int],
  zeros: int,
) -> jax.Array:
  return jax.lax.conv_general_dilated(
    video_BTHWC,
    kernel,
    strides,
    padding=(
      (zeros, 0),
      *_same_padding(video_BTHWC.shape[2:4], kernel.shape[1:3], strides[1:]),
    ),
    dimension_numbers=('NDHWC', 'DHWIO', 'NDHWC'),
  )


def _taps(
  video_BTHWC: jax.Array,
  kernel: jax.Array,
  strides: tuple[int, int, int],
  zeros: int,
) -> jax.Array:
  batch, frames, height, width, channels = video_BTHWC.shape
  taps, stride = kernel.shape[0], strides[0]
  frames_out = (zeros + frames - taps) // stride + 1
  spatial = _same_padding((height, width), kernel.shape[1:3], strides[1:])
  padded = jnp.pad(video_BTHWC, ((0, 0), (zeros, 0), (0, 0), (0, 0), (0, 0)))

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


def _stacked(
  video_BTHWC: jax.Array,
  kernel: jax.Array,
  strides: tuple[int, int, int],
  zeros: int,
) -> jax.Array:
  batch, frames, height, width, channels = video_BTHWC.shape
  taps, rows, columns, _, features = kernel.shape
  stride = strides[0]
  frames_out = (zeros + frames - taps) // stride + 1
  padded = jnp.pad(video_BTHWC, ((0, 0), (zeros, 0), (0, 0), (0, 0), (0, 0)))
  seen = jnp.concatenate(
    [
      padded[:, tap : tap + (frames_out - 1) * stride + 1 : stride]
      for tap in range(taps)
    ],
    axis=-1,
  )
  # Otherwise XLA computes what is stacked again for each frame it is in.
  seen = jax.lax.optimization_barrier(seen)
  out = jax.lax.conv_general_dilated(
    seen.reshape(batch * frames_out, height, width, taps * channels),
    kernel.transpose(1, 2, 0, 3, 4).reshape(
      rows, columns, taps * channels, features
    ),
    strides[1:],
    padding=_same_padding((height, width), (rows, columns), strides[1:]),
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )
  return out.reshape(batch, frames_out, *out.shape[1:])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _with_whole_operands(
  video_BTHWC: jax.Array,
  kernel: jax.Array,
  strides: tuple[int, int, int],
  zeros: int,
  compute: Callable[..., jax.Array],
) -> jax.Array:
  """Computes a convolution whose gradients read arrays that are in memory.

  The gradient of a kernel reads both its operands transposed. On a CPU, XLA
  would compute whatever made them (norms, activations, their gradients) within
  that, one value at a time in the wrong order.
  """
  return compute(video_BTHWC, kernel, strides, zeros)


def _whole_forward(
  video_BTHWC: jax.Array,
  kernel: jax.Array,
  strides: tuple[int, int, int],
  zeros: int,
  compute: Callable[..., jax.Array],
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  return compute(video_BTHWC, kernel, strides, zeros), (video_BTHWC, kernel)


def _whole_backward(
  strides: tuple[int, int, int],
  zeros: int,
  compute: Callable[..., jax.Array],
  operands: tuple[jax.Array, jax.Array],
  gradient_BTHWC: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  video_BTHWC, kernel, gradient_BTHWC = jax.lax.optimization_barrier(
    (*operands, gradient_BTHWC)
  )
  _, pull = jax.vjp(
    lambda video, kernel: compute(video, kernel, strides, zeros),
    video_BTHWC,
    kernel,
  )
  video_gradient, kernel_gradient = pull(gradient_BTHWC)
  return video_gradient, kernel_gradient


_with_whole_operands.defvjp(_whole_forward, _whole_backward)


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
  past_BTHWC: jax.Array | None = None,
) -> jax.Array:
  """Convolves with temporal padding before the clip only.

  Args:
    video_BTHWC: (batch, frames, height, width, channels in).
    kernel: (k_t, k_h, k_w, channels in, channels out).
    strides: over time, height and width.
    implementation: one of `IMPLEMENTATIONS`; all give the same result up to
      rounding.
    past_BTHWC: frames right before the video, for a chunk of a longer clip;
      None for k_t - 1 frames of zeros.

  Returns:
    (batch, (past + frames - k_t) // s_t + 1, ceil(height / s_h),
    ceil(width / s_w), channels out); without `past_BTHWC` the frames are
    (frames - 1) // s_t + 1.
  """
  zeros = kernel.shape[0] - 1
  if past_BTHWC is not None:
    video_BTHWC = jnp.concatenate((past_BTHWC, video_BTHWC), axis=1)
    zeros = 0
  chosen = choose_implementation(implementation, video_BTHWC.shape[-1])
  if chosen == 'native':
    return _native(video_BTHWC, kernel, strides, zeros)
  compute = _stacked if chosen == 'stacked' else _taps
  return _with_whole_operands(
    jax.lax.optimization_barrier(video_BTHWC), kernel, strides, zeros, compute
  )


class CausalConv3D(nn.Module):
  """A causal 3D convolution with a bias.

  Where the collection `STREAM` is mutable, the input is a chunk of a longer
  clip: the first chunk (1 + s_t * k frames) if the collection is empty,
  otherwise the next one (s_t * k frames). The frames that the chunk after it
  needs are written to the collection.

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
    video_BTHWC = video_BTHWC.astype(self.dtype)
    past_BTHWC = None
    if self.is_mutable_collection(STREAM) and not self.is_initializing():
      past_BTHWC = self._exchange(video_BTHWC)
    out = causal_conv3d(
      video_BTHWC,
      kernel.astype(self.dtype),
      self.strides,
      self.implementation,
      past_BTHWC,
    )
    return out + bias.astype(self.dtype).reshape(1, 1, 1, 1, -1)

  def _exchange(self, video_BTHWC: jax.Array) -> jax.Array | None:
    """Returns the frames before a chunk and keeps those before the next."""
    taps, stride = self.kernel_size[0], self.strides[0]
    if taps == stride == 1:
      return None
    if taps < stride:
      raise ValueError(
        f'a convolution of {taps} taps and stride {stride} over time skips '
        'frames, which chunks cannot.'
      )
    batch, _, *rest = video_BTHWC.shape
    if self.has_variable(STREAM, 'past'):
      past_BTHWC = self.get_variable(STREAM, 'past')
    else:
      past_BTHWC = jnp.zeros((batch, taps - 1, *rest), self.dtype)
    seen = jnp.concatenate((past_BTHWC, video_BTHWC), axis=1)
    kept = taps - stride
    self.put_variable(STREAM, 'past', seen[:, seen.shape[1] - kept :])
    return past_BTHWC
