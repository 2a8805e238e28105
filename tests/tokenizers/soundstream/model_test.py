"""Both architectures: shapes, causality, the paper's size, the bundle."""

import dataclasses

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers.soundstream import bundle
from videopoet_jax.tokenizers.soundstream import config as config_lib
from videopoet_jax.tokenizers.soundstream import model as model_lib
from videopoet_jax.tokenizers.soundstream import patch

_CONFIGS = {
  'soundstream': config_lib.SoundStreamConfig(
    strides=(2, 4),
    channels=4,
    dilations=(1, 3),
    num_levels=2,
    codebook_size=16,
    latent_width=8,
  ),
  'patch': config_lib.SoundStreamConfig(
    architecture='patch',
    strides=(8, 8),
    num_levels=2,
    codebook_size=16,
    latent_width=8,
    window=32,
    hidden_width=16,
    envelope_steps=3,
    encoder_context=2,
  ),
}


def _audio(samples, batch=2):
  audio = np.random.default_rng(0).normal(size=(batch, samples)) * 0.3
  return np.clip(audio, -1, 1).astype(np.float32)


@pytest.fixture(scope='module', params=sorted(_CONFIGS))
def tokenizer(request):
  config = _CONFIGS[request.param]
  init = jax.jit(model_lib.SoundStream(config).init)
  params = init(jax.random.key(0), _audio(8 * config.hop))['params']
  return bundle.AudioTokenizer(config, nn.unbox(params))


def test_shapes_and_cropping(tokenizer):
  hop = tokenizer.spec.hop
  ids = tokenizer.encode(_audio(8 * hop + hop - 1))
  assert ids.shape == (2, 2, 8) and ids.dtype == np.int32
  assert 0 <= ids.min() and ids.max() < 16
  audio = tokenizer.decode(ids)
  assert audio.shape == (2, 8 * hop)
  assert np.abs(audio).max() <= 1


def test_ids_of_a_prefix_are_a_prefix_of_the_ids(tokenizer):
  audio = _audio(8 * tokenizer.spec.hop)
  whole = tokenizer.encode(audio)
  assert len(np.unique(whole)) > 4
  for frames in (1, 3, 5):
    part = tokenizer.encode(audio[:, : frames * tokenizer.spec.hop])
    np.testing.assert_array_equal(part, whole[:, :, :frames])


def test_sound_of_a_prefix_is_a_prefix_of_the_sound(tokenizer):
  ids = tokenizer.encode(_audio(8 * tokenizer.spec.hop))
  whole, part = tokenizer.decode(ids), tokenizer.decode(ids[:, :, :5])
  np.testing.assert_allclose(whole[:, : part.shape[1]], part, atol=1e-5)


def test_the_paper_size():
  config = config_lib.paper()
  module = model_lib.SoundStream(config)
  audio = jax.ShapeDtypeStruct((1, 34_000), jnp.float32)
  params = jax.eval_shape(module.init, jax.random.key(0), audio)
  ids = jax.eval_shape(
    lambda p, x: module.apply(p, x, method='encode'), params, audio
  )
  assert ids.shape == (1, 4, 106) and ids.size == 424
  sound = jax.eval_shape(
    lambda p, x: module.apply(p, x, method='decode'), params, ids
  )
  assert sound.shape == (1, 33_920)
  assert config.spec.latent_frames(2.125) == 106


def test_the_tiny_size_has_few_tokens():
  spec = config_lib.tiny().spec
  assert spec.levels * spec.latent_frames(2.125) <= 42


def test_levels_of_tones_bring_a_click_back():
  config = config_lib.tiny()
  time = np.arange(2000) / 16_000
  ping = np.sin(2 * np.pi * 2000 * time) * np.exp(-(time - 0.05) / 0.008)
  click = np.where(time > 0.05, ping, 0).astype(np.float32)
  levels = patch.tone_levels(jnp.asarray(click)[None, None], config)
  again = np.asarray(patch.sound_tones(levels, config))[0, 0]
  energy = lambda x: np.convolve(np.square(x), np.ones(160), 'same')
  ours, true = energy(again), energy(click)
  assert abs(int(ours.argmax()) - int(true.argmax())) < 160
  assert 0.4 < ours.max() / true.max() < 1.6
  assert ours[:600].max() < 0.02 * true.max()


def test_a_folder_gives_the_same_tokenizer_back(tmp_path, tokenizer):
  tokenizer.save(tmp_path / 'audio')
  loaded = interface.load(tmp_path / 'audio', 'audio_tokenizer')
  assert loaded.fingerprint == tokenizer.fingerprint
  assert loaded.spec == tokenizer.spec and loaded.config == tokenizer.config
  audio = _audio(3 * tokenizer.spec.hop)
  np.testing.assert_array_equal(loaded.encode(audio), tokenizer.encode(audio))


def test_int16_is_scaled(tokenizer):
  samples = bundle.to_samples(_audio(2 * tokenizer.spec.hop))
  assert samples.dtype == np.int16
  expected = tokenizer.encode(samples.astype(np.float32) / 32768)
  np.testing.assert_array_equal(tokenizer.encode(samples), expected)


def test_wrong_input_is_a_user_error(tokenizer):
  hop = tokenizer.spec.hop
  with pytest.raises(errors.LayoutError, match='mono'):
    tokenizer.encode(_audio(hop - 1))
  with pytest.raises(errors.LayoutError, match='levels'):
    tokenizer.decode(np.zeros((1, 3, 4), np.int32))
  with pytest.raises(errors.LayoutError, match='outside'):
    tokenizer.decode(np.full((1, 2, 4), 16, np.int32))


def test_wrong_configs_are_user_errors():
  with pytest.raises(errors.ConfigError, match='did you mean'):
    config_lib.SoundStreamConfig(architecture='sound')
  with pytest.raises(errors.ConfigError, match='window'):
    dataclasses.replace(config_lib.tiny(), window=3000)
  with pytest.raises(errors.CheckpointError, match='frobnicate'):
    config_lib.from_description({'frobnicate': 1})
