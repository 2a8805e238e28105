"""The convolutional tokenizer beside magvit2-pytorch, both of one size.

Both networks have two to three million parameters and are timed in turn in one
process, forward and backward on the same clips, without discriminators and
perceptual losses. Of the quantizer's losses only the peer has its own. The peer
is optional: `pip install magvit2-pytorch`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.benchmarks import cost
from videopoet_jax.parallel import rules
from videopoet_jax.tokenizers.magvit2 import config as config_lib
from videopoet_jax.tokenizers.magvit2 import decoder
from videopoet_jax.tokenizers.magvit2 import encoder

_BITS = 12
# Channels at full resolution: 2.4 and 2.9 million parameters.
_CHANNELS = 16
_PEER_CHANNELS = 24


def visual_tokenizer(
  rounds: int, batch: int = 4, clip: tuple[int, int, int] = (17, 64, 64)
) -> dict[str, Any]:
  """Times training and decoding of the convolutional network and of the peer.

  Args:
    rounds: number of times that each is timed.
    batch: number of clips.
    clip: frames, height and width; 1 + 4 k frames, squares of multiples of 8.

  Returns:
    JSON values: for each of `train_step` (forward and backward, no optimizer)
    and `decode` the median time, and `of_peer`, the ratio to the peer's time;
    the numbers of parameters; or `peer_skipped` with the reason.
  """
  video_BTHWC = np.random.default_rng(0).uniform(-1, 1, (batch, *clip, 3))
  ours, sizes = _ours(video_BTHWC.astype(np.float32))
  theirs: dict[str, Callable[[], Any]] = {}
  result: dict[str, Any] = {'batch': batch, 'clip': list(clip)}
  try:
    theirs, sizes['peer'] = _peer(video_BTHWC.astype(np.float32))
  # The peer imports much that it does not use here, and each can fail.
  except Exception as error:  # pylint: disable=broad-except
    result['peer_skipped'] = f'{type(error).__name__}: {error}'
  times = cost.alternate(
    ours | {f'peer_{name}': run for name, run in theirs.items()}, rounds
  )
  for name in theirs:
    times[name]['of_peer'] = (
      times[name]['seconds'] / times[f'peer_{name}']['seconds']
    )
  return result | {'parameters': sizes} | times


def _ours(
  video_BTHWC: np.ndarray,
) -> tuple[dict[str, Callable[[], Any]], dict[str, int]]:
  config = config_lib.VisualTokenizerConfig(
    num_bits=_BITS, channels=_CHANNELS, num_residual_blocks=1, norm_groups=8
  )
  encode, decode = encoder.ConvEncoder(config), decoder.ConvDecoder(config)
  clip = jnp.asarray(video_BTHWC)
  # Parameters depend on no size of the clip.
  corner = clip[:1, :1, : config.spatial_stride, : config.spatial_stride]
  encoder_params = rules.unbox(
    jax.jit(encode.init)(jax.random.key(0), corner)['params']
  )
  decoder_params = rules.unbox(
    jax.jit(decode.init)(
      jax.random.key(1), jnp.ones((1, 1, 1, 1, _BITS), jnp.float32)
    )['params']
  )
  params = (encoder_params, decoder_params)

  @jax.jit
  def codes(params: Any, clip: jax.Array) -> jax.Array:
    return jnp.sign(encode.apply({'params': params[0]}, clip))

  @jax.jit
  def decoded(params: Any, codes_BTHWC: jax.Array) -> jax.Array:
    return decode.apply({'params': params[1]}, codes_BTHWC)

  @jax.jit
  @jax.value_and_grad
  def train_step(params: Any, clip: jax.Array) -> jax.Array:
    latents = encode.apply({'params': params[0]}, clip)
    codes = latents + jax.lax.stop_gradient(jnp.sign(latents) - latents)
    video = decode.apply({'params': params[1]}, codes)
    return jnp.mean(jnp.square(video - clip))

  codes_BTHWC = codes(params, clip)
  runs: dict[str, Callable[[], Any]] = {
    'train_step': lambda: train_step(params, clip),
    'decode': lambda: decoded(params, codes_BTHWC),
  }
  return runs, {'ours': sum(leaf.size for leaf in jax.tree.leaves(params))}


def _peer(
  video_BTHWC: np.ndarray,
) -> tuple[dict[str, Callable[[], Any]], int]:
  import magvit2_pytorch
  import torch

  width = _PEER_CHANNELS
  model = magvit2_pytorch.VideoTokenizer(
    image_size=video_BTHWC.shape[2],
    init_dim=width,
    input_conv_kernel_size=(3, 3, 3),
    codebook_size=2**_BITS,
    layers=(
      ('consecutive_residual', 2),
      ('compress_space', 2 * width),
      ('consecutive_residual', 2),
      ('compress_space', 2 * width),
      ('compress_time', 2 * width),
      ('consecutive_residual', 2),
      ('compress_space', 4 * width),
      ('compress_time', 4 * width),
      ('consecutive_residual', 4),
    ),
    use_gan=False,
    perceptual_loss_weight=0.0,
  )
  clip = torch.tensor(video_BTHWC).permute(0, 4, 1, 2, 3).contiguous()
  ids = model.tokenize(clip)

  def train_step() -> Any:
    model.zero_grad()
    loss, _ = model(clip, return_loss=True)
    loss.backward()
    return float(loss.detach())

  def decode() -> Any:
    with torch.no_grad():
      return model.decode_from_code_indices(ids).numpy()

  train_step()
  size = sum(part.numel() for part in model.parameters())
  return {'train_step': train_step, 'decode': decode}, size
