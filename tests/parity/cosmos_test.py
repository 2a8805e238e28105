"""Cosmos DV beside a PyTorch network with the original's modules and keys.

The network below is this test's own; NVIDIA/Cosmos-Tokenizer names its parts
so, and gives the same outputs for the same weights. It is stored as
TorchScript, as the published ones are.
"""

import jax
import numpy as np
import pytest

from tests.tokenizers.published import made
from videopoet_jax.tokenizers import importing
from videopoet_jax.tokenizers import interface

torch = pytest.importorskip('torch', reason='torch is the reference here')

pytestmark = [
  pytest.mark.parity,
  # Tracing keeps the shapes of its example, which are those used here.
  pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning'),
]

nn, functional = torch.nn, torch.nn.functional
_CHANNELS, _MULTIPLIERS, _LATENT = 8, (1, 2, 2), 5
_LEVELS = (8, 8, 8, 5, 5, 5)
_SPACE, _TIME, _POINT = (1, 3, 3), (3, 1, 1), (1, 1, 1)


class Causal(nn.Module):
  def __init__(self, inner, outer, kernel, stride=(1, 1, 1), pads=True):
    super().__init__()
    self.conv3d = nn.Conv3d(inner, outer, kernel, stride)
    self.frames = kernel[0] - stride[0]
    self.side = kernel[1] // 2 if pads else 0

  def forward(self, x):
    x = torch.cat((x[:, :, :1].repeat(1, 1, self.frames, 1, 1), x), 2)
    return self.conv3d(functional.pad(x, [self.side] * 4))


def split(inner, outer):
  return nn.Sequential(
    Causal(inner, outer, _SPACE), Causal(outer, outer, _TIME)
  )


class Norm(nn.Module):
  def __init__(self, channels):
    super().__init__()
    self.norm = nn.GroupNorm(1, channels, 1e-6)

  def forward(self, x):
    frames = [self.norm(frame) for frame in x.unbind(2)]
    return torch.stack(frames, 2)


class Block(nn.Module):
  def __init__(self, inner, outer):
    super().__init__()
    self.norm1, self.conv1 = Norm(inner), split(inner, outer)
    self.norm2, self.conv2 = Norm(outer), split(outer, outer)
    same = inner == outer
    self.nin_shortcut = nn.Identity() if same else Causal(inner, outer, _POINT)

  def forward(self, x):
    h = self.conv1(functional.silu(self.norm1(x)))
    return self.nin_shortcut(x) + self.conv2(functional.silu(self.norm2(h)))


class Attention(nn.Module):
  def __init__(self, channels, over_time):
    super().__init__()
    self.over_time, self.norm = over_time, Norm(channels)
    for name in ('q', 'k', 'v', 'proj_out'):
      setattr(self, name, Causal(channels, channels, _POINT))

  def forward(self, x):
    h = self.norm(x)
    batch, channels, frames, height, width = x.shape
    axes = (0, 3, 4, 2, 1) if self.over_time else (0, 2, 3, 4, 1)
    rows = (-1, frames, channels)
    if not self.over_time:
      rows = (-1, height * width, channels)
    q, k, v = (
      f(h).permute(axes).reshape(rows) for f in (self.q, self.k, self.v)
    )
    h = functional.scaled_dot_product_attention(
      q, k, v, is_causal=self.over_time
    )
    if self.over_time:
      h = h.reshape(batch, height, width, frames, channels)
      h = h.permute(0, 4, 3, 1, 2)
    else:
      h = h.reshape(batch, frames, height, width, channels).movedim(-1, 1)
    return x + self.proj_out(h)


def middle(channels):
  mid = nn.Module()
  mid.block_1 = Block(channels, channels)
  mid.attn_1 = nn.Sequential(
    Attention(channels, False), Attention(channels, True)
  )
  mid.block_2 = Block(channels, channels)
  return mid


class Down(nn.Module):
  """All three convolutions are there, whether the strides use them or not."""

  def __init__(self, channels, time):
    super().__init__()
    self.time = time
    self.conv1 = Causal(channels, channels, _SPACE, (1, 2, 2), pads=False)
    self.conv2 = Causal(channels, channels, _TIME, (2, 1, 1))
    self.conv3 = Causal(channels, channels, _POINT)

  def forward(self, x):
    x = functional.pad(x, (0, 1, 0, 1))
    x = self.conv1(x) + functional.avg_pool3d(x, (1, 2, 2), (1, 2, 2))
    if self.time:
      x = torch.cat((x[:, :, :1], x), 2)
      x = self.conv2(x) + functional.avg_pool3d(x, (2, 1, 1), (2, 1, 1))
    return self.conv3(x)


class Up(nn.Module):
  def __init__(self, channels, time):
    super().__init__()
    self.time = time
    self.conv1 = Causal(channels, channels, _TIME)
    self.conv2 = Causal(channels, channels, _SPACE)
    self.conv3 = Causal(channels, channels, _POINT)

  def forward(self, x):
    if self.time:
      x = x.repeat_interleave(2, 2)[:, :, 1:]
      x = x + self.conv1(x)
    x = x.repeat_interleave(2, 3).repeat_interleave(2, 4)
    return self.conv3(x + self.conv2(x))


def haar():
  """Rows: products of sums and differences over time, height and width."""
  pair = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
  return torch.einsum('ax,by,cz->abcxyz', pair, pair, pair).reshape(
    8, 1, 2, 2, 2
  )


def fold(x):
  x = torch.cat((x[:, :, :1].repeat(1, 1, 3, 1, 1), x), 2)
  for _ in range(2):
    bands = [
      functional.conv3d(channel, haar() / 8, stride=2)
      for channel in x.split(1, 1)
    ]
    x = torch.stack(bands, 2).flatten(1, 2)
  return x


def unfold(x):
  for _ in range(2):
    bands = x.unflatten(1, (8, -1))
    channels = [
      functional.conv_transpose3d(bands[:, :, index], haar(), stride=2)
      for index in range(bands.shape[2])
    ]
    x = torch.cat(channels, 1)
  return x[:, :, 3:]


class Encoder(nn.Module):
  """8 frames and 16 pixels: both after level 0, space only after level 1."""

  def __init__(self):
    super().__init__()
    self.conv_in = split(192, _CHANNELS)
    self.down = nn.ModuleList()
    inner = _CHANNELS
    for level, multiplier in enumerate(_MULTIPLIERS):
      outer = _CHANNELS * multiplier
      down = nn.Module()
      down.block = nn.ModuleList([Block(inner, outer)])
      if level < 2:
        down.downsample = Down(outer, time=level == 0)
      self.down.append(down)
      inner = outer
    self.mid = middle(inner)
    self.norm_out = Norm(inner)
    self.conv_out = split(inner, _LATENT)

  def forward(self, x):
    x = self.conv_in(fold(x))
    for level, down in enumerate(self.down):
      x = down.block[0](x)
      x = down.downsample(x) if level < 2 else x
    x = self.mid.block_2(self.mid.attn_1(self.mid.block_1(x)))
    return self.conv_out(functional.silu(self.norm_out(x)))


class Decoder(nn.Module):
  """Space only below level 2, both below level 1."""

  def __init__(self):
    super().__init__()
    inner = _CHANNELS * _MULTIPLIERS[-1]
    self.conv_in = split(_LATENT, inner)
    self.mid = middle(inner)
    ups = []
    for level in (2, 1, 0):
      outer = _CHANNELS * _MULTIPLIERS[level]
      up = nn.Module()
      up.block = nn.ModuleList([Block(inner, outer), Block(outer, outer)])
      if level:
        up.upsample = Up(outer, time=level == 1)
      ups.insert(0, up)
      inner = outer
    self.up = nn.ModuleList(ups)
    self.norm_out = Norm(inner)
    self.conv_out = split(inner, 192)

  def forward(self, x):
    x = self.conv_in(x)
    x = self.mid.block_2(self.mid.attn_1(self.mid.block_1(x)))
    for level in (2, 1, 0):
      up = self.up[level]
      x = up.block[1](up.block[0](x))
      x = up.upsample(x) if level else x
    return unfold(self.conv_out(functional.silu(self.norm_out(x))))


class Quantizer(nn.Module):
  """The formulas of arXiv 2309.15505; TorchScript stores the constants."""

  def __init__(self):
    super().__init__()
    levels = torch.tensor(_LEVELS, dtype=torch.int32)
    self.register_buffer('_levels', levels, persistent=False)

  def forward(self, x):
    levels = self._levels.reshape(1, -1, 1, 1, 1)
    half = (levels - 1) * 1.001 / 2
    offset = torch.where(levels % 2 == 0, 0.5, 0.0)
    steps = ((x + (offset / half).atanh()).tanh() * half - offset).round()
    basis = torch.tensor([1, *np.cumprod(_LEVELS[:-1])]).reshape(levels.shape)
    ids = ((steps + levels // 2) * basis).sum(1).int()
    return ids, steps / (levels // 2)


def test_ids_and_pixels_equal_the_reference(tmp_path):
  torch.manual_seed(0)
  encoder = nn.Sequential()
  encoder.encoder = Encoder()
  encoder.quant_conv = Causal(_LATENT, len(_LEVELS), _POINT)
  encoder.quantizer = Quantizer()
  decoder = nn.Sequential()
  decoder.post_quant_conv = Causal(len(_LEVELS), _LATENT, _POINT)
  decoder.decoder = Decoder()
  with torch.no_grad():
    for network in (encoder, decoder):
      for name, value in network.named_parameters():
        if value.ndim == 1:
          value.normal_(std=0.3)
          is_scale = 'norm' in name and name.endswith('weight')
          value.add_(1.0 if is_scale else 0.0)
        else:
          value.normal_(std=(2 / value[0].numel()) ** 0.5)
  clip = made.video(9, 32, 32, batch=1)
  signal = torch.tensor(clip).permute(0, 4, 1, 2, 3) / 127.5 - 1
  with torch.no_grad():
    latents = encoder[:2](signal)
    ids, codes = encoder(signal)
    pixels = decoder(codes).clamp(-1, 1)
    folder = tmp_path / 'Cosmos-0.1-Tokenizer-DV8x16x16'
    folder.mkdir()
    for name, network, example in (
      ('encoder', encoder, signal),
      ('decoder', decoder, codes),
    ):
      traced = torch.jit.trace(network, example, check_trace=False)
      torch.jit.save(traced, folder / f'{name}.jit')
  importing.import_tokenizer('cosmos', folder, tmp_path / 'out')
  tokenizer = interface.load(tmp_path / 'out', 'visual_tokenizer')
  ours = jax.jit(
    lambda clip: tokenizer.module.apply(
      {'params': tokenizer.params}, clip, method='latents'
    )
  )(tokenizer.prepare(clip))
  assert latents.std() > 0.1 and len(ids.unique()) > 3 and pixels.std() > 0.1
  np.testing.assert_allclose(
    np.moveaxis(np.asarray(ours), -1, 1), latents.numpy(), atol=1e-4
  )
  np.testing.assert_array_equal(tokenizer.encode(clip), ids.numpy())
  np.testing.assert_allclose(
    np.moveaxis(tokenizer.decode(ids.numpy()), -1, 1), pixels.numpy(), atol=1e-4
  )
