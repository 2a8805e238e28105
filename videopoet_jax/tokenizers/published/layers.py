"""Layers of tokenizers that were published for PyTorch.

They differ from `layers.causal_conv` in what pads a clip: PyTorch's modules pad
a strided convolution unevenly and some repeat the first frame before the clip.
Parameters have the names and ranks of the originals, see `layout`; norms and
attention are computed in float32.
"""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from videopoet_jax.layers import causal_conv

Sizes = tuple[int, int, int]
# The axes over which a kernel extends, which are those it is stored with.
AXES = ('THW', 'HW', 'T')


def pad_time(video_BTHWC: jax.Array, frames: int, repeat: bool) -> jax.Array:
  """Puts frames before a clip.

  Args:
    video_BTHWC: the clip.
    frames: number of frames to add.
    repeat: whether they repeat the first frame; otherwise they are zero.

  Returns:
    (batch, frames + clip's frames, height, width, channels).
  """
  if not frames:
    return video_BTHWC
  if repeat:
    before = jnp.repeat(video_BTHWC[:, :1], frames, axis=1)
    return jnp.concatenate((before, video_BTHWC), axis=1)
  return jnp.pad(video_BTHWC, ((0, 0), (frames, 0), (0, 0), (0, 0), (0, 0)))


def convolve(
  video_BTHWC: jax.Array,
  kernel: jax.Array,
  strides: Sizes,
  space_padding: tuple[tuple[int, int], tuple[int, int]],
) -> jax.Array:
  """Convolves without padding in time.

  Args:
    video_BTHWC: the clip, padded in time.
    kernel: (k_t, k_h, k_w, channels in, channels out).
    strides: steps over time, height and width.
    space_padding: zeros before and after height and width.

  Returns:
    (batch, frames out, height out, width out, channels out).
  """
  taps = kernel.shape[0]
  if taps == 1 and strides[0] == 1:
    return _per_frame(video_BTHWC, kernel[0], strides[1:], space_padding)
  if causal_conv.choose_implementation('auto', kernel.shape[3]) == 'native':
    return jax.lax.conv_general_dilated(
      video_BTHWC,
      kernel,
      strides,
      padding=((0, 0), *space_padding),
      dimension_numbers=('NDHWC', 'DHWIO', 'NDHWC'),
    )
  # XLA's three-dimensional convolution is several times slower on a CPU than a
  # sum of two-dimensional ones.
  frames_out = (video_BTHWC.shape[1] - taps) // strides[0] + 1
  last = (frames_out - 1) * strides[0] + 1
  return sum(  # type: ignore[return-value]
    _per_frame(
      video_BTHWC[:, tap : tap + last : strides[0]],
      kernel[tap],
      strides[1:],
      space_padding,
    )
    for tap in range(taps)
  )


def _per_frame(
  video_BTHWC: jax.Array,
  kernel: jax.Array,
  strides: tuple[int, int],
  padding: tuple[tuple[int, int], tuple[int, int]],
) -> jax.Array:
  batch, frames = video_BTHWC.shape[:2]
  if kernel.shape[:2] == (1, 1) and strides == (1, 1):
    flat_NC = video_BTHWC.reshape(-1, video_BTHWC.shape[-1])
    out_NC = flat_NC @ kernel[0, 0]
    return out_NC.reshape(*video_BTHWC.shape[:-1], -1)
  out = jax.lax.conv_general_dilated(
    video_BTHWC.reshape(batch * frames, *video_BTHWC.shape[2:]),
    kernel,
    strides,
    padding=padding,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )
  return out.reshape(batch, frames, *out.shape[1:])


class Convolution(nn.Module):
  """A convolution that looks back in time only.

  Attributes:
    features: channels out.
    kernel_size: taps over time, height and width.
    strides: steps over time, height and width.
    axes: one of `AXES`; axes that are left out have one tap, and the stored
      kernel does not have them.
    repeat_first: whether frames before the clip repeat its first one; otherwise
      they are zero.
    time_padding: number of frames before the clip; taps less stride by default.
    space_padding: zeros before and after height, and before and after width;
      by default taps less stride, the odd one after.
    use_bias: whether a bias is added.
  """

  features: int
  kernel_size: Sizes = (3, 3, 3)
  strides: Sizes = (1, 1, 1)
  axes: str = 'THW'
  repeat_first: bool = False
  time_padding: int | None = None
  space_padding: tuple[int, int] | None = None
  use_bias: bool = True

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Convolves (batch, frames, height, width, channels)."""
    taps = tuple(
      size
      for size, axis in zip(self.kernel_size, 'THW', strict=True)
      if axis in self.axes
    )
    kernel = self.param(
      'kernel',
      nn.initializers.lecun_normal(in_axis=tuple(range(len(taps) + 1))),
      (*taps, video_BTHWC.shape[-1], self.features),
      jnp.float32,
    ).reshape(*self.kernel_size, video_BTHWC.shape[-1], self.features)
    frames = self.time_padding
    if frames is None:
      frames = self.kernel_size[0] - self.strides[0]
    padding = tuple(
      self.space_padding or ((size - stride) // 2, (size - stride + 1) // 2)
      for size, stride in zip(
        self.kernel_size[1:], self.strides[1:], strict=True
      )
    )
    out = convolve(
      pad_time(video_BTHWC, frames, self.repeat_first),
      kernel,
      self.strides,
      padding,  # type: ignore[arg-type]
    )
    if not self.use_bias:
      return out
    return out + _vector(self, 'bias', nn.initializers.zeros, self.features)


def _vector(module: nn.Module, name: str, init: Any, size: int) -> jax.Array:
  """Declares one value a channel, shaped to broadcast over BTHW."""
  return module.param(name, init, (size,), jnp.float32).reshape(1, 1, 1, 1, -1)


class LayerNorm(nn.Module):
  """Layer normalization of each vector of channels.

  Attributes:
    epsilon: added to the variance.
  """

  epsilon: float = 1e-6

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Normalizes; keeps the shape."""
    channels = video_BTHWC.shape[-1]
    mean = jnp.mean(video_BTHWC, axis=-1, keepdims=True)
    centred = video_BTHWC - mean
    variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
    scale = _vector(self, 'scale', nn.initializers.ones, channels)
    bias = _vector(self, 'bias', nn.initializers.zeros, channels)
    return centred * jax.lax.rsqrt(variance + self.epsilon) * scale + bias


class GroupNorm(nn.Module):
  """Group normalization.

  Attributes:
    num_groups: groups of channels.
    over_time: whether the statistics are those of a whole clip; otherwise of
      one frame.
    affine: whether there are a scale and a bias.
    epsilon: added to the variance.
  """

  num_groups: int
  over_time: bool = False
  affine: bool = True
  epsilon: float = 1e-6

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Normalizes; keeps the shape."""
    *outer, channels = video_BTHWC.shape
    grouped = video_BTHWC.reshape(
      *outer, self.num_groups, channels // self.num_groups
    )
    axes = (1, 2, 3, 5) if self.over_time else (2, 3, 5)
    mean = jnp.mean(grouped, axis=axes, keepdims=True)
    centred = grouped - mean
    variance = jnp.mean(jnp.square(centred), axis=axes, keepdims=True)
    normal = centred * jax.lax.rsqrt(variance + self.epsilon)
    normal = normal.reshape(video_BTHWC.shape)
    if not self.affine:
      return normal
    scale = _vector(self, 'scale', nn.initializers.ones, channels)
    bias = _vector(self, 'bias', nn.initializers.zeros, channels)
    return normal * scale + bias


class Linear(nn.Module):
  """A linear map of vectors (..., channels) with a bias.

  Attributes:
    features: channels out.
  """

  features: int

  @nn.compact
  def __call__(self, vectors: jax.Array) -> jax.Array:
    """Maps the last axis."""
    shape = (vectors.shape[-1], self.features)
    kernel = self.param(
      'kernel', nn.initializers.lecun_normal(), shape, jnp.float32
    )
    bias = self.param(
      'bias', nn.initializers.zeros, (self.features,), jnp.float32
    )
    return vectors @ kernel + bias.reshape((1,) * (vectors.ndim - 1) + (-1,))


def attend(
  query_NLC: jax.Array,
  key_NLC: jax.Array,
  value_NLC: jax.Array,
  *,
  causal: bool = False,
) -> jax.Array:
  """Attention of one head.

  Args:
    query_NLC: one vector for each of L places of N sequences.
    key_NLC: vectors that queries are compared with.
    value_NLC: vectors that are averaged.
    causal: whether a place attends to itself and earlier ones only.

  Returns:
    (N, L, C).
  """
  scores = jnp.einsum('nqc,nkc->nqk', query_NLC, key_NLC)
  scores = scores * query_NLC.shape[-1] ** -0.5
  if causal:
    places = jnp.arange(scores.shape[-1])
    earlier = places[:, None] >= places[None, :]
    scores = jnp.where(earlier[None], scores, -jnp.inf)
  return jnp.einsum('nqk,nkc->nqc', jax.nn.softmax(scores), value_NLC)


def attend_in_frames(
  query_BTHWC: jax.Array, key_BTHWC: jax.Array, value_BTHWC: jax.Array
) -> jax.Array:
  """Attention among the places of each frame; keeps the shape."""
  batch, frames, height, width, channels = query_BTHWC.shape
  flat = (batch * frames, height * width, channels)
  out = attend(
    query_BTHWC.reshape(flat),
    key_BTHWC.reshape(flat),
    value_BTHWC.reshape(flat),
  )
  return out.reshape(query_BTHWC.shape)


def upsample_space(video_BTHWC: jax.Array) -> jax.Array:
  """Doubles height and width by repetition."""
  return jnp.repeat(jnp.repeat(video_BTHWC, 2, axis=2), 2, axis=3)
