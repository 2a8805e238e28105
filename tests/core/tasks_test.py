"""Templates, and the layouts that they become, against tokens by hand."""

import dataclasses

import hypothesis
from hypothesis import strategies as st
import pytest

from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.core import tasks
from videopoet_jax.core import types
from videopoet_jax.core import vocabulary as vocabulary_lib

Role = types.Role

# 5 frames are 2 latent frames and 5 latent frames of sound.
_SPACE = tasks.LayoutSpace(
  vocabulary_lib.Vocabulary(
    visual_size=16, audio_levels=2, audio_codes=8, text_size=50
  ),
  specs.VisualSpec(codebook_size=16),
  specs.AudioSpec(levels=2, codes=8, sampling_rate=800, hop=100),
  text_slots=3,
)


def _parts(name, space=_SPACE):
  """`token` or `feature start shape`, a bar before the target."""
  found = []
  for segment in space.layout(name).segments:
    if segment.role is Role.TARGET and '|' not in found:
      found.append('|')
    shape = 'x'.join(map(str, segment.shape))
    found.append(segment.token or f'{segment.feature} {segment.start} {shape}')
  return found


@pytest.mark.parametrize(
  ('name', 'parts'),
  [
    (
      'unconditional/5x8x8',
      ['<bos>', '<task:video>', '<duration:5>', '<source>', '<bov_o>', '|',
       'video_tokens 0 2x1x1', '<eov_o>', '<eos>'],
    ),
    (
      'text_to_video/5x16x8',
      ['<bos>', '<task:video>', '<duration:5>', '<res:portrait>', '<bot_i>',
       'text 0 3', '<eot_i>', '<source>', '<bov_o>', '|',
       'video_tokens 0 2x2x1', '<eov_o>', '<eos>'],
    ),
    (
      'text_to_image/1x8x16',
      ['<bos>', '<task:video>', '<res:landscape>', '<bot_i>', 'text 0 3',
       '<eot_i>', '<source>', '<bov_o>', '|', 'video_tokens 0 1x1x2'],
    ),
    (
      'future_prediction/9x8x8/condition=1',
      ['<bos>', '<task:continuation>', '<duration:9>', '<bov_i>',
       'video_tokens 0 1x1x1', '<eov_i>', '<source>', '<bov_o>', '|',
       'video_tokens 1 2x1x1', '<eov_o>', '<eos>'],
    ),
    (
      'image_to_video/5x8x8/text=0,first=0',
      ['<bos>', '<task:video>', '<duration:5>', '<bov_i>',
       'video_tokens 0 1x1x1', '<eov_i>', '<source>', '<bov_o>', '|',
       'video_tokens 0 2x1x1', '<eov_o>', '<eos>'],
    ),
    (
      'audio_video_continuation/5x8x8',
      ['<bos>', '<task:video_and_audio>', '<duration:5>', '<bov_i>',
       'video_tokens 0 1x1x1', '<eov_i>', '<boa_i>', 'audio_tokens 0 2x1',
       '<eoa_i>', '<source>', '<bov_o>', '|', 'video_tokens 1 1x1x1',
       '<eov_o>', '<boa_o>', 'audio_tokens 1 2x4', '<eoa_o>', '<eos>'],
    ),
  ],
)  # fmt: skip
def test_the_order_of_tokens(name, parts):
  assert _parts(name) == parts


def test_delimiters_that_occur_twice_have_names_of_their_own():
  layout = _SPACE.layout('stylization/5x8x8/image=1')
  names = [s.name for s in layout.segments if s.token == '<bov_i>']
  assert names == ['bov_i', 'bov_i_1']


def test_latent_frames_end_when_their_last_frame_does():
  layout = _SPACE.layout('audio_video_continuation/9x8x8')
  ends = {s.name: s.ends for s in layout.filled()}
  assert ends['video_tokens_i'] == (1 / 8,)
  assert ends['video_tokens_o'] == (5 / 8, 9 / 8)
  assert ends['audio_tokens_i'] == (0.125,)
  assert ends['audio_tokens_o'] == pytest.approx([n / 8 for n in range(2, 10)])


@hypothesis.settings(max_examples=15, deadline=None)
@hypothesis.given(st.integers(0, 9))
def test_sound_goes_with_the_frames_shown(latents):
  frames = 1 + 4 * 9
  found = _SPACE.audio_frames(latents, frames)
  # 8 latent frames of sound a second, as many as frames.
  assert found == (1 + 4 * (latents - 1) if latents else 0)
  # No more than the clip has, and at least one.
  assert _SPACE.audio_frames(latents, 1) == (1 if latents else 0)
  slow = dataclasses.replace(
    _SPACE,
    audio=specs.AudioSpec(levels=2, codes=8, sampling_rate=800, hop=800),
  )
  assert slow.audio_frames(1, frames) == 1


@pytest.mark.parametrize(
  ('name', 'clip'),
  [
    ('text_to_video/17x128x96', (17, 128, 96)),
    ('future_prediction/9x8x16/condition=3', (9, 8, 16)),
  ],
)
def test_clips_in_names(name, clip):
  assert tasks.clip_of(name) == clip
  assert tasks.clip_text(clip) == name.split('/')[1]


@pytest.mark.parametrize(
  'name', ['', 'text_to_video', 'a/17x128', 'a/1x2x3/', 'a/1x2x3x4', '/1x2x3']
)
def test_other_names_are_refused(name):
  with pytest.raises(errors.LayoutError, match='is no layout name'):
    tasks.clip_of(name)


def test_standard_names_are_every_variant_of_every_task():
  names = _SPACE.standard_names(9, 16, 8)
  assert [n for n in names if n.startswith('future')] == [
    'future_prediction/9x16x8/condition=1',
    'future_prediction/9x16x8/condition=2',
  ]
  assert 'image_to_video/9x16x8/text=0' in names
  assert 'stylization/9x16x8/image=1' in names
  assert 'text_to_image/1x16x8' in names
  tasks_of = [n.split('/')[0] for n in names]
  assert set(tasks_of) == {t.name for t in tasks.TEMPLATES}
  assert len(names) == len(tasks.TEMPLATES) + 3
  assert [layout.name for layout in _SPACE.layouts(names)] == names


def _own(**changes):
  template = tasks.TaskTemplate('mine', 'video', **changes)
  return dataclasses.replace(_SPACE, templates=(template,))


def test_features_and_conditions_of_a_template():
  template = tasks.TaskTemplate(
    'a',
    'video',
    ('text', 'visual:x[:1]', 'text'),
    ('visual:x[1:]', 'video_tokens'),
  )
  assert template.features == ('text', 'x', 'video_tokens')
  assert template.conditions == ('text', 'x')


def test_features_of_ones_own_come_last():
  space = _own(prefix=('visual:depth[:1]', 'text'))
  assert space.features == (*tasks.FEATURES, 'depth')
  layout = space.layout('mine/5x8x8')
  assert layout.segment('depth_i').identity == len(tasks.FEATURES)
  assert layout.segment('text_i').identity == 0


def test_bounds_may_be_numbers_or_options():
  space = _own(
    prefix=('video_tokens[:k]',),
    target=('video_tokens[k:]',),
    options=(('k', 2),),
  )
  assert space.layout('mine/9x8x8').segment('video_tokens_i').shape[0] == 2
  other = space.layout('mine/9x8x8/k=1')
  assert other.segment('video_tokens_o').shape[0] == 2
  # All of the clip given leaves nothing to predict.
  with pytest.raises(errors.LayoutError):
    space.layout('mine/9x8x8/k=4')


@pytest.mark.parametrize(
  ('changes', 'name', 'message'),
  [
    ({}, 'mine/5x8x8/k=1', "no option 'k=1'"),
    ({'options': (('k', 1),)}, 'mine/5x8x8/k=x', "no option 'k=x'"),
    ({'target': ('video_tokens[a:]',)}, 'mine/5x8x8', "bound 'a' is neither"),
    ({'target': ('video_tokens[3:]',)}, 'mine/5x8x8', '3=3 exceeds'),
    ({'target': ('video tokens',)}, 'mine/5x8x8', 'is not of the form'),
    ({'target': ('depth',)}, 'mine/5x8x8', 'visual:depth'),
    ({'target': ('smell:depth',)}, 'mine/5x8x8', 'visual:depth'),
    ({'frames': 1}, 'mine/5x8x8', 'mine/1x8x8'),
    ({}, 'other/5x8x8', "no task 'other'"),
    ({'options': (('video_tokens', 0),)}, 'mine/5x8x8', 'nothing is predicted'),
    (
      {'prefix': ('video_tokens[:1]',), 'target': ('video_tokens[:1]',)},
      'mine/5x8x8',
      'latent frame 0 of video_tokens is more than once',
    ),
    (
      {'prefix': ('video_tokens[:1]',), 'target': ('video_tokens[2:]',)},
      'mine/9x8x8',
      'latent frame 1 of video_tokens is neither given nor predicted',
    ),
  ],
)
def test_mistakes_are_explained(changes, name, message):
  with pytest.raises(errors.LayoutError, match=message):
    _own(**changes).layout(name)


def test_a_space_agrees_with_its_vocabulary():
  with pytest.raises(errors.LayoutError, match='has 32 codes, the vocabulary'):
    dataclasses.replace(_SPACE, visual=specs.VisualSpec(codebook_size=32))
  for audio in (specs.AudioSpec(levels=3, codes=8), specs.AudioSpec(2, 9)):
    with pytest.raises(errors.LayoutError, match='the vocabulary 2 x 8'):
      dataclasses.replace(_SPACE, audio=audio)
  twice = (tasks.TaskTemplate('a', 'video'), tasks.TaskTemplate('a', 'video'))
  with pytest.raises(errors.LayoutError, match="'a' is registered twice"):
    dataclasses.replace(_SPACE, templates=twice)
