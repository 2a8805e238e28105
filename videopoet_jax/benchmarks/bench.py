"""Times training, decoding, tokenizers and data against a floor."""

from collections.abc import Callable
import dataclasses
import functools
import os
import platform
from typing import Any

import jax
import numpy as np

from videopoet_jax.benchmarks import cost
from videopoet_jax.benchmarks import data
from videopoet_jax.benchmarks import decoder
from videopoet_jax.benchmarks import memory
from videopoet_jax.benchmarks import super_resolution
from videopoet_jax.benchmarks import visual_tokenizer
from videopoet_jax.benchmarks import windows
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import layout_table
from videopoet_jax.core import tasks
from videopoet_jax.models.prefix_lm import presets
from videopoet_jax.planning import flops as flops_lib

WHATS = (
  'train_step',
  'decode',
  'tokenizers',
  'data',
  'super_resolution',
  'decoder_step',
  'windows',
  'memory',
  'visual_tokenizer',
)
# They measure models of their own, regardless of --size.
OF_NO_SIZE = ('decoder_step', 'windows', 'memory', 'visual_tokenizer')


_TINY_CLIP = (17, 32, 32)
_LARGE_CLIP = (17, 128, 128)


@dataclasses.dataclass(frozen=True)
class Size:
  """The models and clips of a size.

  Attributes:
    name: name of the model preset.
    space: vocabulary and grids.
    clip: frames, height and width.
  """

  name: str
  space: tasks.LayoutSpace
  clip: tuple[int, int, int]

  def layout(self, task: str) -> layout_lib.SequenceLayout:
    """The layout of a task at this size."""
    return self.space.layout(f'{task}/{"x".join(map(str, self.clip))}')


def size(name: str) -> Size:
  """The demo's sizes for `tiny`, the paper's for every other preset."""
  presets.preset(name)
  if not name.startswith('tiny'):
    return Size(name, tasks.LayoutSpace(), _LARGE_CLIP)
  return Size(name, layout_table.spaces()['tiny'], _TINY_CLIP)


def train_step(chosen: Size, rounds: int, tokens_per_batch: int) -> Any:
  """Times a whole step of text-to-video: forward, backward, optimizer."""
  from videopoet_jax.parallel import rules
  from videopoet_jax.training import optimizers
  from videopoet_jax.training import prefix_lm
  from videopoet_jax.training import state as state_lib
  from videopoet_jax.training import step as step_lib

  layout = chosen.layout('text_to_video')
  config = presets.preset(chosen.name)
  trainable = prefix_lm.PrefixLMTrainable(config, chosen.space, (layout.name,))
  examples = layout_lib.examples_per_batch(layout, tokens_per_batch)
  batch: dict[str, Any] = {
    'tokens': cost.random_tokens(layout, examples),
    'visible': np.ones((examples, layout.length), bool),
  }
  if config.text == 'embeddings':
    batch['text_embeddings'] = np.zeros(
      (examples, chosen.space.text_slots, config.text_embedding_dim),
      np.float32,
    )
  boxed = trainable.init(jax.random.key(0), batch)
  tiny = chosen.name.startswith('tiny')
  optimizer = optimizers.create(
    optimizers.OptimizerConfig(name='muon' if tiny else 'adafactor'),
    1000,
    rules.logical_axes(boxed),
  )
  state = state_lib.create(rules.unbox(boxed), optimizer, keep_ema=False)
  gradients = jax.jit(step_lib.make_gradients(trainable, layout.name, seed=0))
  update = jax.jit(step_lib.make_update(optimizer), donate_argnums=0)
  batch = jax.device_put(batch)

  def run() -> Any:
    nonlocal state
    found, metrics = gradients(state.params, batch, state.step)
    state, values = update(state, found, {'loss': metrics['loss']})
    return values['gradient_norm']

  tokens = examples * layout.length
  flops = examples * flops_lib.of_layout(config, layout).train
  times = _with_floor(run, config, tokens, rounds)
  return _rates(times, tokens, examples, flops) | {'layout': layout.name}


def decode(chosen: Size, rounds: int, batch: int) -> Any:
  """Times sampling of whole text-to-video clips, without detokenization."""
  from videopoet_jax.inference import decode as decode_lib
  from videopoet_jax.models.prefix_lm import model as model_lib
  from videopoet_jax.parallel import rules

  layout = chosen.layout('text_to_video')
  config = presets.preset(chosen.name)
  network = model_lib.PrefixLM(config, chosen.space.vocabulary)
  params = jax.jit(
    lambda key: rules.unbox(network.init(key, method='declare')['params'])
  )(jax.random.key(0))
  tokens_BL = cost.random_tokens(layout, batch)
  visible_BL = np.ones(tokens_BL.shape, bool)
  text = None
  if config.text == 'embeddings':
    text = np.zeros(
      (batch, chosen.space.text_slots, config.text_embedding_dim), np.float32
    )

  def run() -> Any:
    return decode_lib.generate(
      network, params, layout, tokens_BL, visible_BL, text_embeddings_BSE=text
    )

  tokens = batch * layout.target_length
  flops = batch * flops_lib.of_layout(config, layout).forward
  times = _with_floor(run, config, tokens, rounds)
  return _rates(times, tokens, batch, flops) | {'layout': layout.name}


def tokenizers(chosen: Size, rounds: int, batch: int) -> Any:
  """Times encoding and decoding with untrained weights."""
  from videopoet_jax.parallel import rules
  from videopoet_jax.tokenizers.magvit2 import bundle as visual_bundle
  from videopoet_jax.tokenizers.magvit2 import config as visual_config
  from videopoet_jax.tokenizers.soundstream import bundle as audio_bundle
  from videopoet_jax.tokenizers.soundstream import config as audio_config
  from videopoet_jax.tokenizers.soundstream import model as audio_model

  tiny = chosen.name.startswith('tiny')
  visual = visual_config.VisualTokenizerConfig()
  if tiny:  # The config of gin/tokenizers/visual_tiny.gin.
    visual = visual_config.VisualTokenizerConfig(
      architecture='patch', num_bits=12, latent_dim=128, normalize_latents=True
    )
  audio = audio_config.tiny() if tiny else audio_config.paper()
  frames, height, width = chosen.clip
  seconds = frames / visual.frame_rate
  samples = round(seconds * audio.sampling_rate)
  generator = np.random.default_rng(0)
  video_BTHWC = generator.integers(
    0, 256, (batch, frames, height, width, 3), np.uint8
  )
  audio_BT = generator.uniform(-1, 1, (batch, samples)).astype(np.float32)
  visual_params = rules.unbox(
    visual_bundle.init_params(visual, jax.random.key(0))
  )
  sound_params = rules.unbox(
    audio_model.SoundStream(audio).init(jax.random.key(0), audio_BT[:1])[
      'params'
    ]
  )
  pictures = visual_bundle.VisualTokenizer(visual, visual_params)
  sounds = audio_bundle.AudioTokenizer(audio, sound_params)
  pictures.batch_size = sounds.batch_size = batch
  video_ids, audio_ids = pictures.encode(video_BTHWC), sounds.encode(audio_BT)
  times = cost.alternate(
    {
      'visual_encode': lambda: pictures.encode(video_BTHWC),
      'visual_decode': lambda: pictures.decode(video_ids),
      'audio_encode': lambda: sounds.encode(audio_BT),
      'audio_decode': lambda: sounds.decode(audio_ids),
    },
    rounds,
  )
  return {
    name: time
    | {
      'clips_per_second': batch / time['seconds'],
      'of_real_time': batch * seconds / time['seconds'],
    }
    for name, time in times.items()
  }


def _with_floor(
  run: Callable[[], Any], config: Any, tokens: int, rounds: int
) -> dict[str, Any]:
  rows = min(tokens, 4096)
  shape = (rows, config.width, config.mlp_dim)
  times = cost.alternate(
    {'model': run, 'floor': cost.matrix_floor(*shape)}, rounds
  )
  rate = cost.floor_flops(*shape) / times['floor']['seconds']
  return times['model'] | {'floor_flops_per_second': rate}


def _rates(
  times: dict[str, Any], tokens: int, examples: int, flops: float
) -> dict[str, Any]:
  rate = flops / times['seconds']
  return times | {
    'tokens_per_second': tokens / times['seconds'],
    'examples_per_second': examples / times['seconds'],
    'batch': examples,
    'model_flops': flops,
    'model_flops_per_second': rate,
    'of_floor': rate / times['floor_flops_per_second'],
  }


def bench(
  *,
  what: str = 'all',
  size_name: str = 'tiny',
  rounds: int = 7,
  tokens_per_batch: int = 4096,
  batch: int = 32,
) -> dict[str, Any]:
  """Runs benchmarks.

  Args:
    what: one of `WHATS`, or `all` for all but `OF_NO_SIZE`.
    size_name: one of the model presets.
    rounds: number of times that each thing is timed.
    tokens_per_batch: positions of a training batch.
    batch: number of clips generated, encoded or decoded together.

  Returns:
    JSON values: the machine, and for each thing its median time and rates.

  Raises:
    ConfigError: there is no such size.
  """
  chosen = size(size_name)
  parts: dict[str, Callable[[], Any]] = {
    'train_step': functools.partial(
      train_step, chosen, rounds, tokens_per_batch
    ),
    'decode': functools.partial(decode, chosen, rounds, batch),
    'tokenizers': functools.partial(tokenizers, chosen, rounds, batch),
    'data': functools.partial(
      data.data, chosen.space, chosen.clip, rounds, tokens_per_batch
    ),
    'super_resolution': functools.partial(
      super_resolution.super_resolution, chosen.name, rounds, batch
    ),
    'decoder_step': functools.partial(decoder.decoder_step, rounds),
    'windows': functools.partial(windows.windows, rounds),
    'memory': memory.memory,
    'visual_tokenizer': functools.partial(
      visual_tokenizer.visual_tokenizer, rounds
    ),
  }
  result: dict[str, Any] = {
    'size': size_name,
    'rounds': rounds,
    'machine': {
      'device': jax.devices()[0].device_kind,
      'devices': jax.device_count(),
      'cores': os.cpu_count(),
      'python': platform.python_version(),
      'jax': jax.__version__,
    },
  }
  sized = tuple(name for name in WHATS if name not in OF_NO_SIZE)
  for name in sized if what == 'all' else (what,):
    result[name] = parts[name]()
  return result
