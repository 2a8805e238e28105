"""One sample for each condition: what is encoded, and what is asked for."""

import types

import numpy as np
import pytest

from tests.models.prefix_lm import small
from videopoet_jax.core import errors
from videopoet_jax.evaluation import generation
from videopoet_jax.inference import conditions as conditions_lib
from videopoet_jax.inference import sampling


class _Encoder:
  """Gives what it was given, and counts."""

  def __init__(self):
    self.calls = 0

  def encode(self, array):
    self.calls += 1
    return ('encoded', array)


class _Clips:
  captions = ('a cat', 'a dog')
  video_BTHWC = 'video'
  audio_BT = 'sound'
  structure_BTHWC = 'structure'

  def masked_BTHWC(self, task):
    return f'masked for {task}'


class _Generator:
  """Notes what it is asked for."""

  def __init__(self, **tokenizers):
    self.tokenizers = conditions_lib.Tokenizers(**tokenizers)
    self.asked = None

  def generate(self, name, conditions, **options):
    self.asked = (name, conditions, options)
    return types.SimpleNamespace(video_BTHWC='pixels', audio_BT='waves')


def test_every_feature_is_encoded_once_and_by_its_tokenizer():
  visual, audio = _Encoder(), _Encoder()
  conditions = generation.Conditions(
    _Generator(visual=visual, audio=audio), _Clips(), ', slowly'
  )
  assert visual.calls == 0
  assert conditions['text'] == ['a cat, slowly', 'a dog, slowly']
  for feature, signal in {
    'video_tokens': 'video',
    'structure_tokens': 'structure',
    'inpainting_tokens': 'masked for inpainting',
    'outpainting_tokens': 'masked for outpainting',
    'audio_tokens': 'sound',
  }.items():
    assert conditions[feature] == ('encoded', signal)
    assert conditions[feature] == ('encoded', signal)
  assert (visual.calls, audio.calls) == (4, 1)


@pytest.mark.parametrize(
  ('feature', 'role'), [('video_tokens', 'visual'), ('audio_tokens', 'audio')]
)
def test_a_tokenizer_that_lacks_is_named(feature, role):
  conditions = generation.Conditions(_Generator(), _Clips())
  assert conditions['text'] == ['a cat', 'a dog']
  with pytest.raises(errors.CheckpointError, match=f'no {role}_tokenizer/'):
    conditions[feature]


def _sample(generator, task, given, numbers):
  layout = small.SPACE.layout(f'{task}/{small.SIZE}')
  found = generation.sample(
    generator, layout, given, numbers,
    config=sampling.DEFAULT, batch_size=5, seed=3, negative_text='bad',
  )  # fmt: skip
  assert (found.video_BTHWC, found.audio_BT) == ('pixels', 'waves')
  return generator.asked


def test_a_sample_of_each_of_the_first_conditions():
  given = {'text': ['a', 'b', 'c'], 'video_tokens': None}
  name, conditions, options = _sample(
    _Generator(), 'text_to_video', given, [7, 8]
  )
  assert name == f'text_to_video/{small.SIZE}'
  assert conditions == {'text': ['a', 'b']}
  assert options['num_samples'] == 1
  np.testing.assert_array_equal(options['sample_numbers'], [7, 8])
  assert (options['seed'], options['batch_size']) == (3, 5)
  assert options['negative_text'] == 'bad'
  assert options['config'] is sampling.DEFAULT


def test_without_conditions_one_row_is_sampled_again_and_again():
  _, conditions, options = _sample(_Generator(), 'unconditional', {}, range(4))
  assert conditions == {} and options['num_samples'] == 4


@pytest.mark.parametrize(
  ('name', 'frames'),
  [
    ('unconditional/9x8x8', 0),
    ('text_to_video/9x8x8', 0),
    ('audio_to_video/9x8x8', 0),
    ('image_to_video/9x8x8', 1),
    ('future_prediction/9x8x8/condition=2', 5),
  ],
)
def test_frames_that_a_layout_continues(name, frames):
  layout = small.SPACE.layout(name)
  assert generation.condition_frames(layout, small.SPACE) == frames


def test_targets_are_taken_of_the_clips(monkeypatch):
  layout = small.SPACE.layout(f'image_to_video/{small.SIZE}')
  ids = np.arange(12).reshape(2, 3, 2, 1)
  text = np.ones((2, 3), np.int32)
  seen = {}

  def likelihoods(generator, layout, features):
    seen.update(features)
    return {'nll_visual': np.zeros(2)}

  monkeypatch.setattr(
    generation.likelihood, 'negative_log_likelihoods', likelihoods
  )
  generator = _Generator()
  generator.space = small.SPACE
  given = {'text': text, 'video_tokens': ids, 'audio_tokens': 'unused'}
  found = generation.likelihoods(generator, layout, given)
  assert list(found) == ['nll_visual'] and set(seen) == {'text', 'video_tokens'}
  np.testing.assert_array_equal(seen['video_tokens'], ids)
  layout = small.SPACE.layout(f'text_to_video/{small.SIZE}')
  seen.clear()
  generation.likelihoods(generator, layout, given)
  assert seen['video_tokens'] is ids
