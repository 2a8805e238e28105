"""Open-MAGVIT2 beside PyTorch networks with the original's modules and keys.

The networks below are this test's own; TencentARC/SEED-Voken names its parts
so, and gives the same outputs for the same weights.
"""

import jax
import numpy as np
import pytest

from tests.tokenizers.published import made
from videopoet_jax.tokenizers import importing
from videopoet_jax.tokenizers import interface

torch = pytest.importorskip('torch', reason='torch is the reference here')

pytestmark = pytest.mark.parity

nn, functional = torch.nn, torch.nn.functional
_CHANNELS, _MULTIPLIERS, _BITS = 32, (1, 2, 2), 6


class Convolution3d(nn.Module):
  """Zeros around a frame and before a clip."""

  def __init__(self, inner, outer, taps, stride=1, bias=True):
    super().__init__()
    self.taps = taps
    self.conv_1 = nn.Conv3d(inner, outer, taps, stride, bias=bias)

  def forward(self, x):
    half = self.taps // 2
    return self.conv_1(functional.pad(x, (*[half] * 4, self.taps - 1, 0)))


def convolution(video, inner, outer, taps=3, stride=1, bias=True):
  if video:
    return Convolution3d(inner, outer, taps, stride, bias)
  stride = stride if isinstance(stride, int) else stride[1:]
  return nn.Conv2d(inner, outer, taps, stride, padding=taps // 2, bias=bias)


def norm(channels, affine=True):
  return nn.GroupNorm(32, channels, 1e-6, affine)


class Block(nn.Module):
  def __init__(self, video, inner, outer):
    super().__init__()
    self.norm1, self.norm2 = norm(inner), norm(outer)
    self.conv1 = convolution(video, inner, outer, bias=False)
    self.conv2 = convolution(video, outer, outer, bias=False)
    if inner != outer:
      self.nin_shortcut = convolution(video, inner, outer, 1, bias=False)

  def forward(self, x):
    h = self.conv1(functional.silu(self.norm1(x)))
    h = self.conv2(functional.silu(self.norm2(h)))
    return h + (self.nin_shortcut(x) if hasattr(self, 'nin_shortcut') else x)


class Adaptive(nn.Module):
  def __init__(self, channels):
    super().__init__()
    self.gn = norm(channels, affine=False)
    self.gamma = nn.Linear(_BITS, channels)
    self.beta = nn.Linear(_BITS, channels)

  def forward(self, x, codes):
    flat = codes.flatten(2)
    scale = self.gamma((flat.var(-1) + 1e-6).sqrt())
    shift = self.beta(flat.mean(-1))
    shape = (*scale.shape, *[1] * (x.ndim - 2))
    return scale.reshape(shape) * self.gn(x) + shift.reshape(shape)


class Upsample(nn.Module):
  def __init__(self, video, channels, time):
    super().__init__()
    self.time = time
    self.conv1 = convolution(video, channels, channels * 4 * time)

  def forward(self, x):
    y = self.conv1(x)
    if y.ndim == 4:
      batch, channels, height, width = y.shape
      y = y.reshape(batch, 2, 2, channels // 4, height, width)
      y = y.permute(0, 3, 4, 1, 5, 2)
      return y.reshape(batch, channels // 4, height * 2, width * 2)
    batch, channels, frames, height, width = y.shape
    inner = channels // (4 * self.time)
    y = y.reshape(batch, self.time, 2, 2, inner, frames, height, width)
    y = y.permute(0, 4, 5, 1, 6, 2, 7, 3)
    y = y.reshape(batch, inner, frames * self.time, height * 2, width * 2)
    if self.time == 2:
      y = torch.cat((y[:, :, :1], y[:, :, 2:]), 2)
    return y


def halves_time(level):
  return _MULTIPLIERS[level] != 1


class Encoder(nn.Module):
  def __init__(self, video):
    super().__init__()
    self.conv_in = convolution(video, 3, _CHANNELS, bias=False)
    self.down = nn.ModuleList()
    inner = _CHANNELS
    for level, multiplier in enumerate(_MULTIPLIERS):
      outer = _CHANNELS * multiplier
      down = nn.Module()
      down.block = nn.ModuleList([Block(video, inner, outer)])
      if level < 2:
        stride = (2 if halves_time(level) else 1, 2, 2)
        down.downsample = convolution(video, outer, outer, stride=stride)
      self.down.append(down)
      inner = outer
    self.mid_block = nn.ModuleList([Block(video, inner, inner)])
    self.norm_out = norm(inner)
    self.conv_out = convolution(video, inner, _BITS, 1)

  def forward(self, x):
    x = self.conv_in(x)
    for down in self.down:
      x = down.block[0](x)
      if hasattr(down, 'downsample'):
        x = down.downsample(x)
    x = self.mid_block[0](x)
    return self.conv_out(functional.silu(self.norm_out(x)))


class Decoder(nn.Module):
  def __init__(self, video):
    super().__init__()
    inner = _CHANNELS * _MULTIPLIERS[-1]
    self.conv_in = convolution(video, _BITS, inner)
    self.mid_block = nn.ModuleList([Block(video, inner, inner)])
    ups, adaptive = [], []
    for level in (2, 1, 0):
      outer = _CHANNELS * _MULTIPLIERS[level]
      adaptive.insert(0, Adaptive(inner))
      up = nn.Module()
      up.block = nn.ModuleList([Block(video, inner, outer)])
      if level:
        time = 2 if video and halves_time(level - 1) else 1
        up.upsample = Upsample(video, outer, time)
      ups.insert(0, up)
      inner = outer
    self.up, self.adaptive = nn.ModuleList(ups), nn.ModuleList(adaptive)
    self.norm_out = norm(inner)
    self.conv_out = convolution(video, inner, 3)

  def forward(self, codes):
    x = self.mid_block[0](self.conv_in(codes))
    for level in (2, 1, 0):
      x = self.up[level].block[0](self.adaptive[level](x, codes))
      if level:
        x = self.up[level].upsample(x)
    return self.conv_out(functional.silu(self.norm_out(x)))


@pytest.mark.parametrize('video', [False, True])
def test_ids_and_pixels_equal_the_reference(video, tmp_path):
  torch.manual_seed(0)
  network = nn.Module()
  network.encoder, network.decoder = Encoder(video), Decoder(video)
  with torch.no_grad():
    for name, value in network.named_parameters():
      if value.ndim == 1:
        value.normal_(std=0.3)
        value.add_(1.0 if 'norm' in name and name.endswith('weight') else 0.0)
      else:
        value.normal_(std=(2 / value[0].numel()) ** 0.5)
  # Published files hold the last weights, averages of them and the losses.
  state = network.state_dict()
  averages = {f'model_ema.{k.replace(".", "")}': v for k, v in state.items()}
  last = {key: torch.zeros_like(value) for key, value in state.items()}
  path = tmp_path / 'tiny.ckpt'
  losses = {'loss.discriminator.0.weight': torch.zeros(3)}
  torch.save({'state_dict': last | averages | losses}, path)
  importing.import_tokenizer('open_magvit2', path, tmp_path / 'out')
  tokenizer = interface.load(tmp_path / 'out', 'visual_tokenizer')
  assert tokenizer.config.video == video
  clip = made.video(5, 8, 12, batch=1)
  signal = torch.tensor(tokenizer.prepare(clip))
  axes = (0, 4, 1, 2, 3) if video else (0, 3, 1, 2)
  signal = (signal if video else signal[0]).permute(axes)
  with torch.no_grad():
    latents = network.encoder(signal)
    codes = torch.where(latents > 0, 1.0, -1.0)
    weights = 2 ** torch.arange(_BITS)
    weights = weights.reshape(1, -1, *[1] * (latents.ndim - 2))
    ids = ((codes > 0) * weights).sum(1)
    pixels = network.decoder(codes).clamp(-1, 1)

  def ours_like(array):
    array = np.moveaxis(array.numpy(), 1, -1)
    return array if video else array[None]

  assert latents.std() > 0.1 and len(ids.unique()) > 5 and pixels.std() > 0.1
  ours = jax.jit(
    lambda clip: tokenizer.module.apply(
      {'params': tokenizer.params}, clip, method='latents'
    )
  )(tokenizer.prepare(clip))
  np.testing.assert_allclose(ours, ours_like(latents), atol=1e-4)
  ids = ids.numpy() if video else ids.numpy()[None]
  np.testing.assert_array_equal(tokenizer.encode(clip), ids)
  np.testing.assert_allclose(
    tokenizer.decode(ids), ours_like(pixels), atol=1e-4
  )
