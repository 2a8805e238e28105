"""VidTok beside a PyTorch network with the original's modules and keys.

The network below is this test's own; microsoft/VidTok names its parts so, and
gives the same outputs for the same weights.
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
_CHANNELS, _MULTIPLIERS, _LEVELS = 8, (1, 2, 2), (8, 8, 8, 8)
_KERNELS = {'THW': (3, 3, 3), 'HW': (1, 3, 3), 'T': (3, 1, 1)}


class Causal(nn.Module):
  """A convolution behind frames that are zero, or repeat the first."""

  repeats = False

  def __init__(self, inner, outer, kernel, stride=1):
    super().__init__()
    if kernel[1:] == (1, 1) and kernel[0] == 3:
      self.conv = nn.Conv1d(inner, outer, 3)
    else:
      self.conv = nn.Conv3d(inner, outer, kernel, (stride, 1, 1))
    self.kernel, self.frames = kernel, kernel[0] - stride

  def forward(self, x):
    before = x[:, :, :1].repeat(1, 1, self.frames, 1, 1)
    x = torch.cat((before if self.repeats else before * 0, x), 2)
    if isinstance(self.conv, nn.Conv1d):
      batch, channels, frames, height, width = x.shape
      x = x.permute(0, 3, 4, 1, 2).reshape(-1, channels, frames)
      x = self.conv(x)
      x = x.reshape(batch, height, width, *x.shape[1:])
      return x.permute(0, 3, 4, 1, 2)
    half = self.kernel[1] // 2
    return self.conv(functional.pad(x, (half, half, half, half)))


def framewise(module, x):
  batch, frames = x.shape[0], x.shape[2]
  y = module(x.transpose(1, 2).flatten(0, 1))
  return y.unflatten(0, (batch, frames)).transpose(1, 2)


class Norm(nn.Module):
  def __init__(self, channels):
    super().__init__()
    self.norm = nn.LayerNorm(channels, eps=1e-6)

  def forward(self, x):
    return self.norm(x.movedim(1, -1)).movedim(-1, 1)


class Block(nn.Module):
  def __init__(self, inner, outer, axes):
    super().__init__()
    self.axes = axes

    def convolution(inner, kernel):
      if axes == 'HW':
        side = kernel[1]
        return nn.Conv2d(inner, outer, side, padding=side // 2)
      return Causal(inner, outer, kernel)

    self.norm1 = Norm(inner)
    self.conv1 = convolution(inner, _KERNELS[axes])
    self.norm2 = Norm(outer)
    self.conv2 = convolution(outer, _KERNELS[axes])
    if inner != outer:
      self.nin_shortcut = convolution(inner, (1, 1, 1))

  def apply_convolution(self, module, x):
    return framewise(module, x) if self.axes == 'HW' else module(x)

  def forward(self, x):
    h = self.apply_convolution(self.conv1, functional.silu(self.norm1(x)))
    h = self.apply_convolution(self.conv2, functional.silu(self.norm2(h)))
    if hasattr(self, 'nin_shortcut'):
      x = self.apply_convolution(self.nin_shortcut, x)
    return x + h


class Attention(nn.Module):
  def __init__(self, channels):
    super().__init__()
    self.norm = Norm(channels)
    for name in ('q', 'k', 'v', 'proj_out'):
      setattr(self, name, Causal(channels, channels, (1, 1, 1)))

  def forward(self, x):
    h = self.norm(x)
    q, k, v = (
      f(h).permute(0, 2, 3, 4, 1).flatten(2, 3)
      for f in (self.q, self.k, self.v)
    )
    h = functional.scaled_dot_product_attention(q, k, v)
    h = h.unflatten(2, x.shape[3:]).permute(0, 4, 1, 2, 3)
    return x + self.proj_out(h)


def middle(channels):
  mid = nn.Module()
  mid.block_1 = Block(channels, channels, 'THW')
  mid.attn_1 = Attention(channels)
  mid.block_2 = Block(channels, channels, 'THW')
  return mid


class Resample(nn.Module):
  """A mean or repeated frames, mixed with a convolution."""

  def __init__(self, channels, stride):
    super().__init__()
    self.conv = Causal(channels, channels, (3, 3, 3), stride)
    self.mix_factor = nn.Parameter(torch.zeros(1))


class Halve(Resample):
  def forward(self, x):
    share = torch.sigmoid(self.mix_factor)
    before = x[:, :, :1] if Causal.repeats else x[:, :, :1] * 0
    padded = torch.cat((before, x), 2)
    mean = functional.avg_pool3d(padded, (3, 1, 1), (2, 1, 1))
    return share * mean + (1 - share) * self.conv(x)


class Double(Resample):
  first = 1

  def forward(self, x):
    share = torch.sigmoid(self.mix_factor)
    if Causal.repeats:
      parts = [p for p in x.split_with_sizes(
        (self.first, x.shape[2] - self.first), 2) if p.shape[2]]  # fmt: skip
      x = torch.cat(
        [
          functional.interpolate(p, scale_factor=(2, 1, 1), mode='trilinear')
          for p in parts
        ],
        2,
      )
    else:
      x = x.repeat_interleave(2, 2)
    return share * x + (1 - share) * self.conv(x)


class Encoder(nn.Module):
  def __init__(self):
    super().__init__()
    self.conv_in = Causal(3, _CHANNELS, (3, 3, 3))
    self.down, self.down_temporal = nn.ModuleList(), nn.ModuleList()
    inner = _CHANNELS
    for level, multiplier in enumerate(_MULTIPLIERS):
      outer = _CHANNELS * multiplier
      space, time = nn.Module(), nn.Module()
      space.block = nn.ModuleList([Block(inner, outer, 'HW')])
      time.block = nn.ModuleList([Block(outer, outer, 'T')])
      if level < 2:
        space.downsample = nn.Module()
        space.downsample.conv = nn.Conv2d(outer, outer, 3, 2)
        time.downsample = Halve(outer, 2)
      self.down.append(space)
      self.down_temporal.append(time)
      inner = outer
    self.mid = middle(inner)
    self.norm_out = Norm(inner)
    self.conv_out = Causal(inner, len(_LEVELS), (3, 3, 3))

  def forward(self, x):
    x = self.conv_in(torch.cat((x[:, :, :1].repeat(1, 1, 3, 1, 1), x), 2))
    for space, time in zip(self.down, self.down_temporal, strict=True):
      x = time.block[0](space.block[0](x))
      if hasattr(time, 'downsample'):
        x = framewise(space.downsample.conv, functional.pad(x, (0, 1, 0, 1)))
        x = time.downsample(x)
    x = self.mid.block_2(self.mid.attn_1(self.mid.block_1(x)))
    return self.conv_out(functional.silu(self.norm_out(x)))


class Decoder(nn.Module):
  def __init__(self):
    super().__init__()
    inner = _CHANNELS * _MULTIPLIERS[-1]
    self.conv_in = Causal(len(_LEVELS), inner, (3, 3, 3))
    self.mid = middle(inner)
    ups, temporal = [], []
    for level in (2, 1, 0):
      outer = _CHANNELS * _MULTIPLIERS[level]
      space, time = nn.Module(), nn.Module()
      sizes = (inner, outer)
      space.block = nn.ModuleList([Block(s, outer, 'HW') for s in sizes])
      time.block = nn.ModuleList([Block(outer, outer, 'T') for _ in sizes])
      if level:
        space.upsample = nn.Module()
        space.upsample.conv = nn.Conv2d(outer, outer, 3, padding=1)
        time.upsample = Double(outer, 1)
        time.upsample.first = 3 - level
      ups.insert(0, space)
      temporal.insert(0, time)
      inner = outer
    self.up, self.up_temporal = nn.ModuleList(ups), nn.ModuleList(temporal)
    self.norm_out = Norm(inner)
    self.conv_out = Causal(inner, 3, (3, 3, 3))

  def forward(self, x):
    x = self.conv_in(x)
    x = self.mid.block_2(self.mid.attn_1(self.mid.block_1(x)))
    for level in (2, 1, 0):
      space, time = self.up[level], self.up_temporal[level]
      for index in range(2):
        x = time.block[index](space.block[index](x))
      if level:
        x = x.repeat_interleave(2, 3).repeat_interleave(2, 4)
        x = time.upsample(framewise(space.upsample.conv, x))
    return self.conv_out(functional.silu(self.norm_out(x)))[:, :, 3:]


def quantized(latents):
  """Codes and ids of 8 levels, by the formulas of arXiv 2309.15505."""
  half = torch.tensor(7 * 1.001 / 2)
  steps = ((latents + torch.atanh(0.5 / half)).tanh() * half - 0.5).round()
  weights = torch.tensor([8**i for i in range(len(_LEVELS))])
  ids = ((steps + 4) * weights.reshape(1, -1, 1, 1, 1)).sum(1).int()
  return steps / 4, ids


@pytest.mark.parametrize('version', ['1.0', '1.1'])
def test_ids_and_pixels_equal_the_reference(version, tmp_path, monkeypatch):
  monkeypatch.setattr(Causal, 'repeats', version == '1.1')
  torch.manual_seed(0)
  network = nn.Module()
  network.encoder, network.decoder = Encoder(), Decoder()
  with torch.no_grad():
    for name, value in network.named_parameters():
      if value.ndim == 1:
        value.normal_(std=0.3)
        value.add_(1.0 if 'norm' in name and name.endswith('weight') else 0.0)
      else:
        value.normal_(std=(2 / value[0].numel()) ** 0.5)
  path = tmp_path / f'tiny{"_v1_1" if version == "1.1" else ""}.ckpt'
  state = network.state_dict() | {'loss.logvar': torch.zeros(())}
  torch.save({'state_dict': state, 'epoch': 3}, path)
  importing.import_tokenizer('vidtok', path, tmp_path / 'out')
  tokenizer = interface.load(tmp_path / 'out', 'visual_tokenizer')
  assert tokenizer.config.version == version
  video = made.video(9, 8, 12, batch=1)
  with torch.no_grad():
    signal = torch.tensor(tokenizer.prepare(video)).permute(0, 4, 1, 2, 3)
    latents = network.encoder(signal)
    codes, ids = quantized(latents)
    pixels = network.decoder(codes).clamp(-1, 1)
  ours = jax.jit(
    lambda video: tokenizer.module.apply(
      {'params': tokenizer.params}, video, method='latents'
    )
  )(tokenizer.prepare(video))
  assert latents.std() > 0.1 and len(ids.unique()) > 5 and pixels.std() > 0.1
  np.testing.assert_allclose(
    np.moveaxis(np.asarray(ours), -1, 1), latents.numpy(), atol=1e-4
  )
  np.testing.assert_array_equal(tokenizer.encode(video), ids.numpy())
  np.testing.assert_allclose(
    np.moveaxis(tokenizer.decode(ids.numpy()), -1, 1), pixels.numpy(), atol=1e-4
  )
