"""T5's buckets per axis learn what learned positions learn: motion.

Every cell of a frame follows from the same cell one frame back. A frame has
more cells than the distances that buckets along the sequence tell apart.

For a longer run, of positions, steps, a layout and a rate:
`python -m tests.models.prefix_lm.frames_test learned_3d 600 \
  future_prediction/9x96x96/condition=1 0.01`.
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
# Frames of 12 x 12 cells, the first given and one predicted: enough for a test.
_SHORT = 'future_prediction/5x96x96/condition=1'


def _clips(generator, number):
  """Int (number, 3, 12, 12): each cell is that of the frame before, plus 1."""
  first = generator.integers(0, _CODES, (number, 1, 12, 12))
  return (first + np.arange(3)[:, None, None]) % _CODES


def losses(positions, steps, name=_SHORT, rate=1e-2):
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
  trainable = prefix_lm.PrefixLMTrainable(config, _SPACE, (name,))
  layout = trainable.layouts[name]
  params = rules.unbox(trainable.init(jax.random.key(0)))
  optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
  visible = jnp.ones((4, layout.length), bool)

  @jax.jit
  def step(params, state, tokens_BL):
    batch = {'tokens': tokens_BL, 'visible': visible}
    (_, metrics), gradient = jax.value_and_grad(
      lambda p: trainable.loss(p, batch, None, None, name), has_aux=True
    )(params)
    updates, state = optimizer.update(gradient, state)
    return optax.apply_updates(params, updates), state, metrics['loss']

  generator = np.random.default_rng(0)
  state, found = optimizer.init(params), []
  for _ in range(steps):
    tokens_BL = layout.encode({'video_tokens': _clips(generator, 4)})
    params, state, loss = step(params, state, tokens_BL)
    found.append(float(loss))
  return found


def test_buckets_per_axis_learn_motion_and_those_along_the_sequence_do_not():
  chance = np.log(_CODES)
  assert np.mean(losses('t5_buckets', 120)[-10:]) < 0.5 * chance
  assert np.mean(losses('t5_sequence', 120)[-10:]) > 0.9 * chance


if __name__ == '__main__':
  chosen, number, layout_name, peak = sys.argv[1:]
  curve = losses(chosen, int(number), layout_name, float(peak))
  shown = {n: round(curve[n - 1], 3) for n in range(50, len(curve) + 1, 50)}
  print(chosen, layout_name, peak, shown, flush=True)
