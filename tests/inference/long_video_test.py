"""Long video: what continues a clip, its text, guidance and sound."""

import dataclasses

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.core import tasks
from videopoet_jax.core import vocabulary as vocabulary_lib
from videopoet_jax.inference import conditions
from videopoet_jax.inference import continuation
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.inference import long_video
from videopoet_jax.inference import sampling
from videopoet_jax.inference import settings

_SIZE = '17x16x16'
TEXT = f'text_to_video/{_SIZE}'
SILENT = f'future_prediction/{_SIZE}/condition=3'
TOLD = f'future_prediction/{_SIZE}/condition=3,text=1'
JOINT = f'audio_video_continuation/{_SIZE}'
JOINT_3 = f'{JOINT}/condition=3'
HEARD = f'audio_to_video/{_SIZE}'
SOUND = f'video_to_audio/{_SIZE}'
GUIDED = sampling.SamplingConfig(guidance=3.0, first_temperature=0.5)
RATE, HOP = 16_000, 320


class _Counting:
  """A generator whose frames and samples say which moment they are.

  A frame's pixels are its number in the video, a sample of sound is its
  number in the sound track: what joins up is `arange`.
  """

  def __init__(self, *names, drop=None):
    self.layout_names = names
    self.space = tasks.LayoutSpace(
      vocabulary_lib.Vocabulary(visual_size=64, text_size=20),
      specs.VisualSpec(codebook_size=64),
      specs.AudioSpec(),
      text_slots=3,
    )
    self.drop = drop
    self.calls = []

  def layout(self, name):
    return self.space.layout(name)

  def check_settings(self, name, config, negative_text=''):
    layout = self.layout(name)
    drop = self.drop if self.drop is None else self.drop.get(layout.task, {})
    return settings.check(layout, config, negative_text, drop)

  def generate(self, name, given, **options):
    layout = self.layout(name)
    negative_text = options.get('negative_text', '')
    self.check_settings(name, options['config'], negative_text)
    assert not conditions.missing(layout, given)
    self.calls.append((name, given, options))
    ids, video, audio = {}, None, None
    if 'video' in given:
      first = int(given['video'][0, 0, 0, 0, 0])
      frames = first + np.arange(17)
      shown = given['video'].shape[1]
      assert (given['video'][0, :, 0, 0, 0] == frames[:shown]).all()
      video = np.broadcast_to(
        frames[None, :, None, None, None], (1, 17, 2, 2, 3)
      )
      ids['video_tokens'] = np.full((1, 5, 2, 2), first)
    else:
      first = int(given['video_tokens'][0, 0, 0, 0])
    start = first * RATE // 8
    if 'audio' in given:
      told = given['audio'][0]
      assert (told == start + np.arange(len(told))).all() and len(told)
    if 'audio_tokens' in {s.feature for s in layout.filled()}:
      audio = start + np.arange(106 * HOP)[None]
    return generator_lib.Generated(layout, np.zeros(0), ids, video, audio)


def _clip():
  frames = np.arange(17)[None, :, None, None, None]
  return np.broadcast_to(frames, (1, 17, 2, 2, 3)), np.arange(106 * HOP)[None]


# fmt: off
_CASES = {
  # names, clip, has text, has sound -> layout, text, sound.
  'silent': ((TEXT, SILENT), TEXT, 0, 0, SILENT, False, 'none'),
  'text is kept': ((TEXT, SILENT, TOLD), TEXT, 1, 0, TOLD, True, 'none'),
  'no text': ((TEXT, SILENT, TOLD), TEXT, 0, 0, SILENT, False, 'none'),
  'text is lost': ((TEXT, SILENT), TEXT, 1, 0, SILENT, False, 'none'),
  'sound goes on': (
    (HEARD, SILENT, JOINT), HEARD, 0, 1, JOINT, False, 'continued'),
  'with motion': (
    (HEARD, JOINT, JOINT_3), HEARD, 0, 1, JOINT_3, False, 'continued'),
  'by the picture': (
    (HEARD, SILENT, SOUND), HEARD, 0, 1, SILENT, False, 'video_to_audio'),
  'silence': ((HEARD, SILENT), HEARD, 0, 1, SILENT, False, 'silence'),
  'sound is not wanted': (
    (TEXT, JOINT_3, SILENT), TEXT, 0, 0, SILENT, False, 'none'),
}
# fmt: on


@pytest.mark.parametrize('case', _CASES)
def test_what_continues_a_clip_and_that_it_joins_up(case):
  names, clip, text, sound, layout, takes_text, source = _CASES[case]
  generator = _Counting(*names)
  found = continuation.check(
    generator,
    generator.layout(clip),
    5.0,
    has_text=bool(text),
    has_sound=bool(sound),
    config=GUIDED if text else sampling.DEFAULT,
  )
  assert (found.layout, found.takes_text, found.sound) == (
    layout, takes_text, source,
  )  # fmt: skip
  # What was asked for and is not done is said.
  lost = bool(text and not takes_text)
  assert any('takes no text' in note for note in found.notes) == lost
  assert any('silent' in n for n in found.notes) == (source == 'silence')
  assert found.config.is_guided == takes_text
  video, audio = _clip()
  longer = long_video.extend(
    generator,
    video,
    5.0,
    continuation=found,
    text=['a'] if text else None,
    audio_BT=audio if sound else None,
  )
  np.testing.assert_array_equal(
    longer.video_BTHWC[0, :, 0, 0, 0], np.arange(40)
  )
  if sound:
    total = 5 * RATE
    assert longer.audio_BT.shape == (1, total)
    made = 106 * HOP if source == 'silence' else total
    np.testing.assert_array_equal(longer.audio_BT[0, :made], np.arange(made))
    assert not longer.audio_BT[0, made:].any()
  else:
    assert longer.audio_BT is None
  # What is recorded is what was done.
  pictures = [c for c in generator.calls if c[0] == layout]
  assert len(pictures) == len(longer.pieces)
  for record, (name, given, options) in zip(longer.pieces, pictures):
    assert record['layout'] == name and record['sound'] == source
    assert record['text'] == ('text' in given) == takes_text
    assert record['guidance'] == options['config'].guidance
    assert options['config'].first_temperature is None
  frames = [p['first_frame'] for p in longer.pieces]
  assert frames[0] == 17 and longer.pieces[-1]['frames'] + frames[-1] >= 40
  paths = [options['path'] for _, _, options in generator.calls]
  assert len(set(paths)) == len(paths)


def test_only_layouts_of_the_same_size_continue():
  other = 'future_prediction/17x32x32/condition=3'
  generator = _Counting(TEXT, other)
  with pytest.raises(errors.LayoutError, match='16x16/condition=3'):
    continuation.choose(generator, generator.layout(TEXT))
  assert (
    continuation.choose(
      _Counting(TEXT, other, SILENT), generator.layout(TEXT)
    ).layout
    == SILENT
  )
  with pytest.raises(errors.LayoutError, match='long video needs'):
    continuation.choose(_Counting(TEXT, f'image_to_video/{_SIZE}/text=0'))


def test_a_length_that_the_clip_has_already_is_refused():
  generator = _Counting(TEXT, SILENT)
  for seconds in (0.5, 1.0, 2.125):
    with pytest.raises(errors.ConfigError, match='makes 2.125 s already'):
      continuation.check(generator, generator.layout(TEXT), seconds)
  continuation.check(generator, generator.layout(TEXT), 2.25)


def test_guidance_keeps_the_conditions_that_can_act():
  config = dataclasses.replace(GUIDED, guide_on=('text', 'audio_tokens'))
  drop = {'future_prediction': {'text': 0.1}}
  generator = _Counting(TEXT, TOLD, drop=drop)
  found = continuation.choose(generator, has_text=True, config=config)
  assert found.config.guide_on == ('text',) and found.config.guidance == 3
  # Trained with the text always there: no guidance, which is said.
  generator = _Counting(TEXT, TOLD, drop={'future_prediction': {}})
  found = continuation.choose(generator, has_text=True, config=config)
  assert not found.config.is_guided
  assert any('no condition to guide on' in note for note in found.notes)
  # A negative prompt is a text, not the lack of one.
  found = continuation.choose(
    generator, has_text=True, config=GUIDED, negative_text='bad'
  )
  assert found.config.is_guided and found.negative_text == 'bad'
