"""Settings of sampling that cannot act are refused, and changed ones apply."""

import dataclasses

import pytest

from tests.models.prefix_lm import small
from videopoet_jax.core import errors
from videopoet_jax.inference import sampling
from videopoet_jax.inference import settings

_OPTIONS = {'future_prediction': '/condition=1', 'stylization': '/image=1'}
_TASKS = (
  'text_to_video',
  'future_prediction',
  'image_to_video',
  'inpainting',
  'stylization',
  'audio_to_video',
  'video_to_audio',
  'audio_video_continuation',
)


def _layout(task):
  return small.SPACE.layout(f'{task}/{small.SIZE}{_OPTIONS.get(task, "")}')


def _conditions(layout):
  return list(
    dict.fromkeys(layout.segment(n).feature for n in layout.droppable)
  )


def test_what_guidance_cannot_act_on_is_refused():
  config = sampling.SamplingConfig(guidance=2.0)
  for task in (*_TASKS, 'unconditional'):
    layout = _layout(task)
    features = _conditions(layout)
    for feature in ('text', 'audio_tokens', 'video_tokens', 'structure_tokens',
                    'inpainting_tokens', 'nothing'):  # fmt: skip
      one = dataclasses.replace(config, guide_on=(feature,))
      if feature in features:
        (line,) = settings.check(layout, one)
        assert 'does not say' in line and feature in line
        assert settings.check(layout, one, drop={feature: 0.1}) == ()
        for drop in ({}, {feature: 0.0}):
          with pytest.raises(errors.ConfigError, match='never trained'):
            settings.check(layout, one, drop=drop)
      else:
        with pytest.raises(errors.ConfigError, match=f'on {feature}: '):
          settings.check(layout, one)
  # A negative prompt stands where nothing would be.
  layout = _layout('text_to_video')
  assert settings.check(layout, config, 'bad', {}) == ()


_GUIDED = sampling.SamplingConfig(guidance=2.0)


def test_a_negative_text_acts_with_guidance_on_text_only():
  layout = _layout('text_to_video')
  assert settings.check(layout, sampling.DEFAULT) == ()
  with pytest.raises(errors.ConfigError, match='negative_text acts with'):
    settings.check(layout, sampling.DEFAULT, 'bad')
  other = dataclasses.replace(_GUIDED, guide_on=('video_tokens',))
  with pytest.raises(errors.ConfigError, match='guidance on text only'):
    settings.check(_layout('image_to_video'), other, 'bad')
  with pytest.raises(errors.ConfigError, match='guide_on acts with guidance'):
    settings.check(layout, dataclasses.replace(other, guidance=1.0))


def test_a_negative_text_hides_nothing_else():
  # Of text and frames, only frames are hidden.
  layout = _layout('image_to_video')
  both = dataclasses.replace(_GUIDED, guide_on=('text', 'video_tokens'))
  assert len(settings.check(layout, both)) == 2
  (line,) = settings.check(layout, both, 'bad')
  assert 'without video_tokens' in line
  settings.check(layout, both, 'bad', {'video_tokens': 0.1})


def test_a_first_temperature_needs_a_first_frame():
  config = sampling.SamplingConfig(first_temperature=0.5)
  assert settings.check(_layout('text_to_video'), config) == ()
  for task in ('future_prediction', 'video_to_audio'):
    assert not settings.has_first_frame(_layout(task))
    with pytest.raises(errors.ConfigError, match='first_temperature is 0.5'):
      settings.check(_layout(task), config)
  assert settings.has_first_frame(_layout('stylization'))


def test_values_that_are_none_stay():
  config = sampling.SamplingConfig(top_k=5, temperature=0.5)
  found = settings.changed(config, {'top_k': None, 'top_p': 0.9})
  assert found == dataclasses.replace(config, top_p=0.9)
  with pytest.raises(errors.ConfigError, match="'topk'.*'top_k'"):
    settings.changed(config, {'topk': 3})


def test_temperature_0_takes_what_narrows_draws_with_it():
  config = sampling.SamplingConfig(
    top_k=5, top_p=0.9, first_temperature=0.5, guidance=3.0
  )
  found = settings.changed(config, {'temperature': 0})
  assert found == sampling.SamplingConfig(temperature=0, guidance=3.0)
  # What is given besides is a contradiction.
  with pytest.raises(errors.ConfigError, match='cannot act'):
    settings.changed(config, {'temperature': 0, 'top_k': 3})
  warm = settings.changed(config, {'temperature': 0.1})
  assert warm.top_k == 5 and warm.first_temperature == 0.5


def test_recommendations_are_by_task_and_leave_out_what_cannot_act():
  by_task = {
    'default': {'temperature': 0.9},
    'text_to_video': {'guidance': 4.0, 'first_temperature': 0.5},
    'video_to_audio': {'guidance': 4.0, 'top_k': 3},
    'image_to_video': {'guidance': 2.0, 'guide_on': ['video_tokens']},
    'future_prediction': {'first_temperature': 0.5, 'top_p': 0.5},
  }

  def found(task):
    return settings.recommended(by_task, _layout(task))

  assert found('inpainting') == sampling.SamplingConfig(temperature=0.9)
  assert found('text_to_video') == sampling.SamplingConfig(
    guidance=4.0, first_temperature=0.5
  )
  # Nothing to guide on: guidance goes, the rest stays.
  assert found('video_to_audio') == sampling.SamplingConfig(top_k=3)
  assert found('image_to_video').guide_on == ('video_tokens',)
  assert found('future_prediction') == sampling.SamplingConfig(top_p=0.5)
  assert settings.recommended(None, _layout('inpainting')) == sampling.DEFAULT
