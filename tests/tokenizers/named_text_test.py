"""A text tokenizer by each of the names that a user may give it."""

import pytest

from videopoet_jax.core import errors
from videopoet_jax.tokenizers import text


@pytest.fixture(scope='module', name='pieces')
def _pieces():
  texts = ['a red circle moves left', 'a blue square moves right'] * 20
  return text.train_sentencepiece(texts, vocab_size=40)


@pytest.mark.parametrize('where', ['text', '.'])
def test_a_checkpoint_or_its_text_folder_is_taken(tmp_path, pieces, where):
  pieces.save(tmp_path / 'text')
  found = text.find(str(tmp_path / where))
  assert found == str(tmp_path / 'text' / text.MODEL_FILE)
  assert text.find(found) == found
  opened = text.open_named(str(tmp_path / where))
  assert opened.fingerprint == pieces.fingerprint


def test_a_folder_of_bytes_is_bytes(tmp_path):
  text.ByteTokenizer().save(tmp_path / 'run/text')
  assert text.find(str(tmp_path / 'run')) == text.find('bytes') == 'bytes'


def test_other_folders_and_files_are_refused(tmp_path):
  with pytest.raises(errors.CheckpointError, match='checkpoint.json'):
    text.find(str(tmp_path))
  (tmp_path / 'a.model').write_text('no model')
  with pytest.raises(errors.CheckpointError, match='a.model'):
    text.open_named(str(tmp_path / 'a.model'))
  with pytest.raises(errors.CheckpointError, match='cannot read'):
    text.open_named(str(tmp_path / 'missing.model'))
