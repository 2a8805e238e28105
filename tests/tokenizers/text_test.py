"""Text tokenizers: slots, folders, errors, and seqio's ids."""

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.tokenizers import text


def _captions():
  return [
    f'a {colour} {kind} moves {direction} {speed}'
    for colour in ('red', 'yellow', 'green', 'cyan', 'blue', 'magenta')
    for kind in ('circle', 'square', 'triangle')
    for direction in ('right', 'down right', 'down', 'up left', 'up', 'left')
    for speed in ('slowly', 'quickly')
  ]


@pytest.fixture(scope='module')
def trained():
  return text.train_sentencepiece(_captions())


def test_captions_take_few_slots_and_come_back(trained):
  ids = trained.encode(_captions(), 10)
  assert ids.shape == (216, 10) and ids.dtype == np.int32
  assert (ids[:, -1] == 0).all(), 'at most nine pieces and the end'
  assert ids.max() < trained.vocab_size <= 128
  assert (ids == 1).sum() == 216
  assert trained.decode(ids) == _captions()


def test_training_is_deterministic(trained):
  again = text.train_sentencepiece(_captions())
  assert again.fingerprint == trained.fingerprint
  other = text.train_sentencepiece(_captions(), vocab_size=80)
  assert other.fingerprint != trained.fingerprint


def test_a_long_text_keeps_its_end(trained):
  ids = trained.encode(['a red circle moves up left slowly'], 4)
  assert ids[0, -1] == 1
  assert trained.decode(ids) == ['a red circle']
  assert trained.encode(['', 'a'], 3)[0].tolist() == [1, 0, 0]


def test_bytes_hold_any_text():
  tokenizer = text.ByteTokenizer()
  texts = ['a red circle', 'Größe', '形']
  ids = tokenizer.encode(texts, 16)
  assert tokenizer.decode(ids) == texts
  assert ids[0, 0] == ord('a') + 3
  assert tokenizer.vocab_size == 259


@pytest.mark.parametrize('name', ['sentencepiece', 'bytes'])
def test_a_folder_gives_the_same_tokenizer_back(tmp_path, trained, name):
  tokenizer = trained if name == 'sentencepiece' else text.ByteTokenizer()
  tokenizer.save(tmp_path / 'text')
  loaded = text.load(tmp_path / 'text')
  assert type(loaded) is type(tokenizer)
  assert loaded.fingerprint == tokenizer.fingerprint
  np.testing.assert_array_equal(
    loaded.encode(['a blue square'], 8), tokenizer.encode(['a blue square'], 8)
  )


def test_wrong_folders_are_user_errors(tmp_path, trained):
  with pytest.raises(errors.CheckpointError, match='not a folder'):
    text.load(tmp_path / 'none')
  trained.save(tmp_path)
  (tmp_path / text.MODEL_FILE).write_bytes(b'not a model')
  with pytest.raises(errors.CheckpointError, match=r'spiece\.model'):
    text.load(tmp_path)
  (tmp_path / text.MODEL_FILE).unlink()
  with pytest.raises(errors.CheckpointError, match='cannot read'):
    text.load(tmp_path)


def test_a_changed_model_is_refused(tmp_path, trained):
  trained.save(tmp_path)
  other = text.train_sentencepiece(_captions(), vocab_size=80)
  (tmp_path / text.MODEL_FILE).write_bytes(other.files()[text.MODEL_FILE])
  with pytest.raises(errors.CheckpointError, match='not the one'):
    text.load(tmp_path)


def test_misuse_is_a_user_error(trained):
  with pytest.raises(errors.DataError, match='one string'):
    trained.encode('a red circle', 8)
  with pytest.raises(errors.ConfigError, match='slots'):
    trained.encode(['a'], 0)
  with pytest.raises(errors.DataError, match='no captions'):
    text.train_sentencepiece(['', ' '])
  with pytest.raises(errors.ConfigError, match='vocab_size'):
    text.train_sentencepiece(_captions(), vocab_size=5)


def test_ids_are_those_of_seqio(tmp_path, trained):
  seqio = pytest.importorskip('seqio', reason='seqio is the reference here')
  trained.save(tmp_path)
  vocabulary = seqio.SentencePieceVocabulary(
    str(tmp_path / text.MODEL_FILE), extra_ids=0
  )
  assert vocabulary.vocab_size == trained.vocab_size
  assert vocabulary.eos_id == text.EOS_ID and vocabulary.pad_id == text.PAD_ID
  for caption in (*_captions()[:20], 'A strange  ZEBRA, äh?'):
    theirs = vocabulary.encode(caption)
    ours = trained.encode([caption], 64)[0]
    assert ours[: len(theirs)].tolist() == theirs
    assert ours[len(theirs)] == text.EOS_ID
    assert vocabulary.decode(theirs) == trained.decode(ours[None])[0]
  theirs = seqio.ByteVocabulary(extra_ids=0)
  ours = text.ByteTokenizer()
  assert theirs.vocab_size == ours.vocab_size
  assert theirs.encode('Größe') == ours.pieces('Größe')
