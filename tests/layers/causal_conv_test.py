"""Tests of the causal 3D convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.layers import causal_conv


def _inputs(kernel_size, frames=5, size=6):
  rng = np.random.default_rng(0)
  video = rng.normal(size=(2, frames, size, size, 3)).astype(np.float32)
  kernel = rng.normal(size=(*kernel_size, 3, 4)).astype(np.float32)
  return video, kernel


def _by_hand(video, kernel, strides):
  """The definition, one output position at a time, in float64."""
  taps, rows, columns = kernel.shape[:3]
  sizes = [
    (length - 1) // stride + 1
    for length, stride in zip(video.shape[1:4], strides)
  ]
  pads = [(taps - 1, 0)]
  for length, stride, width, out in zip(
    video.shape[2:4], strides[1:], (rows, columns), sizes[1:]
  ):
    total = max((out - 1) * stride + width - length, 0)
    pads.append((total // 2, total - total // 2))
  padded = np.pad(video.astype(np.float64), ((0, 0), *pads, (0, 0)))
  out = np.zeros((video.shape[0], *sizes, kernel.shape[-1]))
  for t, y, x in np.ndindex(*sizes):
    first = [i * s for i, s in zip((t, y, x), strides)]
    window = padded[
      :,
      first[0] : first[0] + taps,
      first[1] : first[1] + rows,
      first[2] : first[2] + columns,
    ]
    out[:, t, y, x] = np.einsum('bthwc,thwcd->bd', window, kernel)
  return out


@pytest.mark.parametrize('implementation', ['native', 'taps', 'stacked'])
@pytest.mark.parametrize(
  ('kernel_size', 'strides'),
  [((3, 3, 3), (1, 1, 1)), ((3, 3, 3), (2, 2, 2)), ((1, 3, 3), (1, 2, 2))],
)
def test_is_the_definition(implementation, kernel_size, strides):
  video, kernel = _inputs(kernel_size)
  out = causal_conv.causal_conv3d(video, kernel, strides, implementation)
  np.testing.assert_allclose(
    out, _by_hand(video, kernel, strides), rtol=1e-4, atol=1e-4
  )


@pytest.mark.parametrize('implementation', ['taps', 'stacked'])
def test_implementations_have_equal_gradients(implementation):
  video, kernel = _inputs((3, 3, 3))

  def gradients(implementation):
    def loss(video, kernel):
      out = causal_conv.causal_conv3d(video, kernel, (2, 1, 2), implementation)
      return jnp.sum(jnp.sin(out))

    return jax.jit(jax.grad(loss, argnums=(0, 1)))(video, kernel)

  for native, other in zip(gradients('native'), gradients(implementation)):
    np.testing.assert_allclose(native, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('implementation', ['native', 'taps', 'stacked'])
def test_sees_no_later_frame(implementation):
  video, kernel = _inputs((3, 3, 3))
  changed = video.copy()
  changed[:, 3:] = np.nan
  conv = jax.jit(
    lambda video: causal_conv.causal_conv3d(
      video, kernel, (1, 1, 1), implementation
    )
  )
  out = np.asarray(conv(changed))
  np.testing.assert_array_equal(out[:, :3], np.asarray(conv(video))[:, :3])
  assert np.isnan(out[:, 3:]).all()


def test_module_adds_a_bias_and_names_its_axes():
  video, _ = _inputs((3, 3, 3))
  module = causal_conv.CausalConv3D(4)
  params = module.init(jax.random.key(0), video)['params']
  assert params['kernel'].names == causal_conv.KERNEL_AXES
  kernel = params['kernel'].value
  bias = jnp.arange(4.0)
  out = module.apply({'params': {'kernel': kernel, 'bias': bias}}, video)
  without = causal_conv.causal_conv3d(video, kernel)
  np.testing.assert_allclose(
    out - without,
    jnp.broadcast_to(bias.reshape(1, 1, 1, 1, 4), out.shape),
    atol=1e-5,
  )


def test_unknown_implementation_is_refused():
  with pytest.raises(ValueError, match='fourier'):
    causal_conv.choose_implementation('fourier', 32)


@pytest.mark.parametrize(
  ('backend', 'channels', 'chosen'),
  [('cpu', 16, 'stacked'), ('cpu', 32, 'taps'), ('gpu', 16, 'native')],
)
def test_auto_chooses_by_backend_and_channels(
  monkeypatch, backend, channels, chosen
):
  monkeypatch.setattr(causal_conv.manual, 'platform', lambda: backend)
  assert causal_conv.choose_implementation('auto', channels) == chosen


def _in_chunks(module, params, video, lengths):
  """Applies a module to chunks of these lengths, one after the other."""
  state, outs, start = {}, [], 0
  for length in lengths:
    out, state = module.apply(
      {'params': params, **state},
      video[:, start : start + length],
      mutable=[causal_conv.STREAM],
    )
    outs.append(np.asarray(out))
    start += length
  assert start == video.shape[1]
  return np.concatenate(outs, axis=1)


@pytest.mark.parametrize('implementation', ['native', 'taps', 'stacked'])
@pytest.mark.parametrize(
  ('kernel_size', 'stride'),
  [((3, 3, 3), 1), ((3, 3, 3), 2), ((1, 3, 3), 1), ((2, 1, 1), 2)],
)
def test_chunks_carry_the_frames_that_the_next_one_sees(
  implementation, kernel_size, stride
):
  video, kernel = _inputs(kernel_size, frames=9)
  module = causal_conv.CausalConv3D(
    4, kernel_size, (stride, 1, 1), implementation
  )
  params = {'kernel': kernel, 'bias': np.arange(4, dtype=np.float32)}
  whole = np.asarray(module.apply({'params': params}, video))
  # A first chunk shorter than what the next one needs is among them.
  for lengths in [(1, 8), (1, 2, 6), (3, 2, 2, 2), (1, 2, 2, 2, 2), (9,)]:
    np.testing.assert_allclose(
      _in_chunks(module, params, video, lengths), whole, atol=1e-5
    )


def test_nothing_is_carried_unless_asked():
  video, _ = _inputs((3, 3, 3))
  module = causal_conv.CausalConv3D(4, strides=(2, 1, 1))
  variables = module.init(jax.random.key(0), video)
  assert set(variables) == {'params'}
  out, state = module.apply(variables, video, mutable=[causal_conv.STREAM])
  np.testing.assert_array_equal(out, module.apply(variables, video))
  # Three taps and a stride of two: one frame is seen again.
  np.testing.assert_array_equal(
    state[causal_conv.STREAM]['past'], video[:, -1:]
  )


def test_frames_skipped_between_chunks_are_refused():
  video, _ = _inputs((1, 3, 3))
  module = causal_conv.CausalConv3D(4, (1, 3, 3), (2, 1, 1))
  variables = module.init(jax.random.key(0), video)
  with pytest.raises(ValueError, match='skips frames'):
    module.apply(variables, video, mutable=[causal_conv.STREAM])
