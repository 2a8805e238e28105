"""T5's buckets per axis learn what learned positions learn: motion.

Every cell of a frame follows from the same cell one frame back. A frame has
more cells than the distances that buckets along the sequence tell apart.

For a longer run: `python -m tests.models.prefix_lm.frames_test 600`.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

from videopoet_jax.core import specs
from videopoet_jax.core import tasks
from videopoet_jax.core import vocabulary as vocabulary_lib
from videopoet_jax.models.prefix_lm import presets
from videopoet_jax.parallel import rules
from videopoet_jax.training import prefix_lm

_CODES = 8
_SPACE = tasks.LayoutSpace(
  vocabulary_lib.Vocabulary(visual_size=_CODES, audio_levels=1, audio_codes=2),
  specs.VisualSpec(codebook_size=_CODES, spatial_stride=8),
  specs.AudioSpec(levels=1, codes=2, sampling_rate=800, hop=400),
)
# Frames of 12 x 12 cells, the first given and two predicted.
_LAYOUT = 'future_prediction/9x96x96/condition=1'


def _clips(generator, number):
  """Int (number, 3, 12, 12): every cell is the one before it, plus one."""
  first = generator.integers(0, _CODES, (number, 1, 12, 12))
  return (first + np.arange(3)[:, None, None]) % _CODES


def losses(positions, steps):
  """Loss in nats a token at each step of a small run."""
  config = presets.preset(
    'tiny',
    positions=positions,
    width=48,
    num_heads=4,
    num_kv_heads=4,
    head_dim=12,
    mlp_dim=96,
    cell_inputs=(),
    text_encoder_layers=0,
    visual_input='table',
    visual_output='softmax',
  )
  trainable = prefix_lm.PrefixLMTrainable(config, _SPACE, (_LAYOUT,))
  layout = trainable.layouts[_LAYOUT]
  params = rules.unbox(trainable.init(jax.random.key(0)))
  optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))
  visible = jnp.ones((4, layout.length), bool)

  @jax.jit
  def step(params, state, tokens_BL):
    batch = {'tokens': tokens_BL, 'visible': visible}
    (_, figures), gradient = jax.value_and_grad(
      lambda p: trainable.loss(p, batch, None, None, _LAYOUT), has_aux=True
    )(params)
    updates, state = optimizer.update(gradient, state)
    return optax.apply_updates(params, updates), state, figures['loss']

  generator = np.random.default_rng(0)
  state, found = optimizer.init(params), []
  for _ in range(steps):
    tokens_BL = layout.encode({'video_tokens': _clips(generator, 4)})
    params, state, loss = step(params, state, tokens_BL)
    found.append(float(loss))
  return found


if __name__ == '__main__':
  for name in ('t5_buckets', 'learned_3d', 't5_sequence'):
    curve = losses(name, int(sys.argv[1]))
    shown = {n: round(curve[n - 1], 3) for n in range(50, len(curve) + 1, 50)}
    print(name, shown, flush=True)
