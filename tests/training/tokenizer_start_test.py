"""Starting a tokenizer's run from another stage of its training."""

import dataclasses

from flax import linen as nn
import jax
import numpy as np
import pytest

from tests.tokenizers.magvit2 import configs
from videopoet_jax.core import errors
from videopoet_jax.tokenizers.magvit2 import discriminator
from videopoet_jax.tokenizers.magvit2 import inflation
from videopoet_jax.training import adversarial
from videopoet_jax.training import loop
from videopoet_jax.training import loop_config
from videopoet_jax.training import optimizers
from videopoet_jax.training import tokenizer_start
from videopoet_jax.training import visual_tokenizer

_LOOP = loop_config.LoopConfig(
  total_steps=1, log_every=1, save_every=1, tensorboard=False
)
_BATCH = {'video': np.zeros((1, 5, 16, 16, 3), np.float32)}


class _Grey:
  """Clips of one frame or five."""

  def __init__(self, frames):
    self._frames = frames

  def units(self):
    return ('clip',)

  def unit_at(self, step):
    del step
    return 'clip'

  def read_part(self, index, count):
    assert (index, count) == (0, 1)

  def batch(self, step):
    rng = np.random.default_rng(step)
    shape = (8, self._frames, 16, 16, 3)
    return {'video': rng.uniform(-1, 1, shape).astype(np.float32)}


def _trainable(config=configs.PATCH, judged=True, kernel=3, channels=4):
  inner = visual_tokenizer.VisualTokenizerTrainable(
    dataclasses.replace(config, temporal_kernel=kernel),
    visual_tokenizer.VisualTokenizerRecipe(),
  )
  if not judged:
    return inner
  return adversarial.AdversarialTrainable(
    inner,
    discriminator.DiscriminatorConfig(channels, (1,), temporal_kernel=kernel),
    adversarial.AdversarialRecipe(),
  )


def _optimizer(judged):
  found = optimizers.DiscriminatorOptimizerConfig() if judged else None
  return optimizers.OptimizerConfig(discriminator=found)


def _run(run_dir, judged=True, kernel=3, **settings):
  lines = []
  result = loop.run(
    _trainable(judged=judged, kernel=kernel),
    _Grey(1 if kernel == 1 else 5),
    run_dir,
    config=_LOOP,
    optimizer=_optimizer(judged),
    devices=jax.devices()[:1],
    log=lines.append,
    **settings,
  )
  return jax.device_get(result.state.params), '\n'.join(lines)


def _fresh(trainable):
  init = jax.jit(lambda key: trainable.init(key, _BATCH))
  return nn.unbox(init(jax.random.key(7)))


def _equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, jax.device_get(other))


def test_an_image_stage_is_inflated_with_its_discriminator(tmp_path):
  images, _ = _run(tmp_path, kernel=1)
  lines = []
  fresh = _fresh(_trainable())
  taken = tokenizer_start.take(tmp_path, fresh, lines.append)
  _equal(
    inflation.inflate(images['generator'], fresh['generator']),
    taken['generator'],
  )
  _equal(
    inflation.inflate(
      images['discriminator'], fresh['discriminator'], causal=False
    ),
    taken['discriminator'],
  )
  _equal(images['statistics'], taken['statistics'])
  assert 'inflated' in lines[0] and 'is taken, too' in lines[1]


def test_a_discriminator_joins_and_leaves(tmp_path):
  plain, _ = _run(tmp_path / 'plain', judged=False)
  lines = []
  fresh = _fresh(_trainable())
  taken = tokenizer_start.take(tmp_path / 'plain', fresh, lines.append)
  _equal(plain, taken['generator'])
  _equal(jax.device_get(fresh['discriminator']), taken['discriminator'])
  assert 'inflated' not in lines[0] and 'no discriminator' in lines[1]

  judged, _ = _run(tmp_path / 'judged')
  left = tokenizer_start.take(
    tmp_path / 'judged', _fresh(_trainable(judged=False)), lines.append
  )
  _equal(judged['generator'], left)


def test_a_discriminator_of_another_size_starts_afresh(tmp_path):
  judged, _ = _run(tmp_path)
  lines = []
  fresh = _fresh(_trainable(channels=8))
  taken = tokenizer_start.take(tmp_path, fresh, lines.append)
  _equal(judged['generator'], taken['generator'])
  _equal(jax.device_get(fresh['discriminator']), taken['discriminator'])
  assert 'of another size' in lines[1]


def test_another_tokenizer_is_refused(tmp_path):
  _run(tmp_path, judged=False)
  config = dataclasses.replace(configs.PATCH, latent_dim=32)
  with pytest.raises(errors.CheckpointError, match='of another model'):
    tokenizer_start.take(tmp_path, _fresh(_trainable(config, judged=False)))


def test_the_loop_starts_from_it(tmp_path):
  _run(tmp_path / 'images', judged=False, kernel=1)
  _, said = _run(tmp_path / 'video', init_from=tmp_path / 'images')
  assert 'inflated from images to video' in said
  assert 'holds no discriminator' in said
