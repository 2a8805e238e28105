"""From signals to the features of a layout: which, from what, and how many."""

import numpy as np
import pytest

from tests.models.prefix_lm import small
from videopoet_jax.core import errors
from videopoet_jax.inference import conditions
from videopoet_jax.media import masking


class _Visual:
  """Ids that are the frames themselves."""

  spec = small.SPACE.visual

  def encode(self, video_BTHWC):
    return np.asarray(video_BTHWC)


class _Audio:
  def encode(self, audio_BT):
    return np.asarray(audio_BT) + 1


class _Text:
  def encode(self, texts, slots):
    return np.full((len(texts), slots), len(texts[0]), np.int32)


_ALL = conditions.Tokenizers(_Visual(), _Audio(), _Text())


def _layout(name):
  return small.SPACE.layout(name)


def _video(frames=9, batch=1):
  levels = np.arange(frames, dtype=np.uint8)
  shape = (batch, frames, 16, 8, 3)
  return np.broadcast_to(levels[None, :, None, None, None], shape).copy()


@pytest.mark.parametrize(
  ('name', 'features', 'frames'),
  [
    ('unconditional/9x16x8', (), None),
    ('text_to_video/9x16x8', ('text',), None),
    ('image_to_video/9x16x8', ('text', 'video_tokens'), 1),
    ('future_prediction/9x16x8/condition=2', ('video_tokens',), 2),
    ('video_to_audio/9x16x8', ('video_tokens',), 3),
  ],
)
def test_features_and_latent_frames_of_a_prefix(name, features, frames):
  layout = _layout(name)
  assert conditions.prefix_features(layout) == features
  assert conditions.needed_frames(layout, 'video_tokens') == frames


@pytest.mark.parametrize(
  ('name', 'given', 'missing'),
  [
    ('text_to_video/9x16x8', (), ('text',)),
    ('text_to_video/9x16x8', ('text',), ()),
    ('image_to_video/9x16x8', ('text', 'image'), ()),
    ('image_to_video/9x16x8', ('text', 'video'), ()),
    ('image_to_video/9x16x8', ('video_tokens',), ('text',)),
    ('inpainting/9x16x8', ('image',), ('inpainting_tokens',)),
    ('inpainting/9x16x8', ('video',), ()),
    ('stylization/9x16x8', ('text', 'video'), ('structure_tokens',)),
    ('audio_to_video/9x16x8', ('text', 'audio'), ()),
  ],
)
def test_what_is_missing(name, given, missing):
  given = dict.fromkeys(given, 1)
  assert conditions.missing(_layout(name), given) == missing


def test_a_picture_is_a_video_of_one_frame_only():
  one = _layout('future_prediction/9x16x8/condition=1')
  assert conditions.missing(one, {'image': 1}) == ()
  conditions.check_given(one, {'image': 1})


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('image_to_video/9x16x8', 'needs --text and --video or --image; got no'),
    ('future_prediction/9x16x8/condition=2', 'needs --video; got no condition'),
    ('stylization/9x16x8', 'needs --text and --structure'),
  ],
)
def test_missing_conditions_are_named_by_their_flags(name, message):
  with pytest.raises(errors.DataError, match=message):
    conditions.check_given(_layout(name), {})


def test_signals_that_a_layout_does_not_take_are_refused():
  layout = _layout('image_to_video/9x16x8')
  conditions.check_used(layout, ['text', 'image'])
  with pytest.raises(errors.DataError, match='takes no --audio beside --text'):
    conditions.check_used(layout, ['text', 'audio'])
  # Of two signals for one feature the first preferred is used.
  with pytest.raises(errors.DataError, match='takes no --image beside'):
    conditions.check_used(layout, ['video', 'image', 'text'])
  with pytest.raises(errors.DataError, match='takes no --text; leave it out'):
    conditions.check_used(_layout('unconditional/9x16x8'), ['text'])


def _encode(name, tokenizers=_ALL, **given):
  return conditions.encode(_layout(name), given, tokenizers, 3)


def test_only_the_frames_that_are_needed_are_encoded():
  found = _encode('future_prediction/9x16x8/condition=2', video=_video())
  assert set(found) == {'video_tokens'}
  np.testing.assert_array_equal(found['video_tokens'], _video(5))
  # What is given by its own name is taken as it is.
  ids = np.ones((1, 2, 2, 1), np.int64)
  found = _encode('future_prediction/9x16x8/condition=2', video_tokens=ids)
  assert found['video_tokens'].dtype == np.int32
  np.testing.assert_array_equal(found['video_tokens'], ids)
  with pytest.raises(errors.DataError, match='5 frames of --video; got 4'):
    _encode('future_prediction/9x16x8/condition=2', video=_video(4))


def test_a_picture_becomes_a_frame():
  picture = np.full((2, 16, 8, 3), 7, np.uint8)
  found = _encode('image_to_video/9x16x8', text=['ab'] * 2, image=picture)
  assert found['video_tokens'].shape == (2, 1, 16, 8, 3)
  np.testing.assert_array_equal(found['text'], np.full((2, 3), 2))


@pytest.mark.parametrize('task', ['inpainting', 'outpainting'])
def test_holes_are_hidden_before_encoding(task):
  video = _video() + np.uint8(9)
  found = _encode(f'{task}/9x16x8', video=video)[f'{task}_tokens']
  mask = {
    'inpainting': masking.inpainting_mask,
    'outpainting': masking.outpainting_mask,
  }[task]
  hole = np.asarray(mask(9, 16, 8))
  np.testing.assert_array_equal(found, masking.hide(video, hole[None]))
  assert (found != video).any() and (found == video).any()


def test_sound_and_structure():
  sound = np.zeros((1, 800), np.int16)
  found = _encode('audio_to_video/9x16x8', audio=sound)
  np.testing.assert_array_equal(found['audio_tokens'], sound + 1)
  found = _encode('stylization/9x16x8', text=['a'], structure=_video(12))
  np.testing.assert_array_equal(found['structure_tokens'], _video(9))


def test_text_as_embeddings():
  def embed(texts, slots):
    assert texts == ['a', 'bc'] and slots == 3
    return np.ones((2, 3, 5), np.float32), np.array([1, 3])

  tokenizers = conditions.Tokenizers(text=_Text(), embed_text=embed)
  found = conditions.encode_text({'text': ('a', 'bc')}, tokenizers, 3)
  np.testing.assert_array_equal(found['text'], [[1, 0, 0], [1, 1, 1]])
  assert found['text'].dtype == np.int32
  assert found['text_embeddings'].shape == (2, 3, 5)
  # Features of one's own pass.
  own = {'text': np.ones((1, 3)), 'text_embeddings': [[[0.0]]], 'image': 1}
  passed = conditions.encode_text(own, tokenizers, 3)
  assert set(passed) == {'text', 'text_embeddings'}


@pytest.mark.parametrize(
  ('name', 'given', 'message'),
  [
    ('text_to_video/9x16x8', {'text': ['a']}, 'no text/ folder'),
    ('audio_to_video/9x16x8', {'audio': 1}, 'no audio_tokenizer/ folder'),
    ('inpainting/9x16x8', {'video': 1}, 'no visual_tokenizer/ folder'),
  ],
)
def test_tokenizers_that_lack_are_named(name, given, message):
  with pytest.raises(errors.CheckpointError, match=message.split()[1]):
    _encode(name, conditions.Tokenizers(), **given)
