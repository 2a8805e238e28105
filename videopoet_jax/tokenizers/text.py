"""Converts text to ids and back by SentencePiece or bytes; no TensorFlow.

Both number their pieces like T5's family: 0 is padding, 1 ends a text, 2 is
unknown. So the ids equal those of seqio's vocabularies for the same model, and
a language model trained through seqio generates without it.
"""

import abc
from collections.abc import Iterable, Mapping, Sequence
import hashlib
import io
import os
import pathlib
from typing import Any

import numpy as np
import sentencepiece

from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import folders
from videopoet_jax.core import errors
from videopoet_jax.core import storage

KIND = 'text_tokenizer'
MODEL_FILE = 'spiece.model'
BYTES = 'bytes'
PAD_ID = 0
EOS_ID = 1
UNKNOWN_ID = 2
_NUM_SPECIAL = 3


class TextTokenizer(abc.ABC):
  """Methods and attributes of every text tokenizer.

  Attributes:
    algorithm: name in the description, 'sentencepiece' or 'bytes'.
  """

  algorithm = ''

  @property
  @abc.abstractmethod
  def vocab_size(self) -> int:
    """Number of ids, padding, end and unknown included."""

  @property
  @abc.abstractmethod
  def fingerprint(self) -> str:
    """Hash of everything that decides the ids, 16 hexadecimal digits."""

  @abc.abstractmethod
  def pieces(self, text: str) -> list[int]:
    """Returns the ids of a text, without its end."""

  @abc.abstractmethod
  def join(self, ids: Sequence[int]) -> str:
    """Returns the text of ids without special ones."""

  def encode(self, texts: Sequence[str], slots: int) -> np.ndarray:
    """Encodes texts into a fixed number of slots.

    Example: two pieces in 4 slots -> [17, 5, 1, 0].

    Args:
      texts: any number of texts.
      slots: number of ids a text; a text that is too long loses its last
        pieces, never its end.

    Returns:
      int32 (texts, slots), local ids, each text followed by 1 and zeros.

    Raises:
      ConfigError: if there is no slot.
      DataError: if the texts are one string instead of a list.
    """
    if slots < 1:
      raise errors.ConfigError(f'text slots are {slots}; give at least 1.')
    if isinstance(texts, str):
      raise errors.DataError(
        f'expected a list of texts, got one string: [{texts!r}] is meant?'
      )
    ids_BS = np.full((len(texts), slots), PAD_ID, np.int32)
    for row, text in enumerate(texts):
      ids = [*self.pieces(text)[: slots - 1], EOS_ID]
      ids_BS[row, : len(ids)] = ids
    return ids_BS

  def decode(self, ids_BS: Any) -> list[str]:
    """Returns the texts of ids (texts, slots), each up to its first end."""
    texts = []
    for ids in np.asarray(ids_BS, np.int32).tolist():
      if EOS_ID in ids:
        ids = ids[: ids.index(EOS_ID)]
      texts.append(self.join([n for n in ids if n != PAD_ID]))
    return texts

  def save(self, directory: str | os.PathLike[str]) -> None:
    """Writes a folder that `load` reads.

    Raises:
      CheckpointError: if the folder cannot be written.
    """
    directory = storage.path(directory)
    describe.begin(directory)
    with describe.writing(directory):
      for name, content in self.files().items():
        (directory / name).write_bytes(content)
    describe.write_description(
      directory,
      {
        'kind': KIND,
        'algorithm': self.algorithm,
        'vocab_size': self.vocab_size,
        'fingerprint': self.fingerprint,
      },
    )

  def files(self) -> dict[str, bytes]:
    """Contents of the files beside the description, by name."""
    return {}


class SentencePieceTokenizer(TextTokenizer):
  """A SentencePiece model with the numbering of T5's."""

  algorithm = 'sentencepiece'

  def __init__(self, model: bytes) -> None:
    """Opens a serialized model.

    Raises:
      CheckpointError: if it is invalid, or pads or ends with other ids.
    """
    self._model = model
    self._processor = sentencepiece.SentencePieceProcessor()
    try:
      loaded = bool(model) and self._processor.LoadFromSerializedProto(model)
    except RuntimeError as error:
      raise errors.CheckpointError(
        'a text tokenizer is not a SentencePiece model; give a spiece.model.'
      ) from error
    if not loaded:
      raise errors.CheckpointError(
        'a text tokenizer is an empty SentencePiece model; give a spiece.model.'
      )
    found = (self._processor.pad_id(), self._processor.eos_id())
    if found != (PAD_ID, EOS_ID):
      raise errors.CheckpointError(
        f'a SentencePiece model pads with {found[0]} and ends with {found[1]}; '
        f'{PAD_ID} and {EOS_ID} are needed (train it with pad_id=0, eos_id=1).'
      )

  @property
  def vocab_size(self) -> int:
    return self._processor.GetPieceSize()

  @property
  def fingerprint(self) -> str:
    return hashlib.sha256(self._model).hexdigest()[:16]

  def pieces(self, text: str) -> list[int]:
    return self._processor.EncodeAsIds(text)

  def join(self, ids: Sequence[int]) -> str:
    size = self.vocab_size
    return self._processor.DecodeIds(
      [n if 0 <= n < size else UNKNOWN_ID for n in ids]
    )

  def files(self) -> dict[str, bytes]:
    return {MODEL_FILE: self._model}


class ByteTokenizer(TextTokenizer):
  """A tokenizer with one id for each byte of UTF-8, from 3 on."""

  algorithm = 'bytes'

  @property
  def vocab_size(self) -> int:
    return _NUM_SPECIAL + 256

  @property
  def fingerprint(self) -> str:
    return hashlib.sha256(b'bytes from 3').hexdigest()[:16]

  def pieces(self, text: str) -> list[int]:
    return [byte + _NUM_SPECIAL for byte in text.encode('utf-8')]

  def join(self, ids: Sequence[int]) -> str:
    known = (n - _NUM_SPECIAL for n in ids)
    return bytes(n for n in known if 0 <= n < 256).decode('utf-8', 'ignore')


def train_sentencepiece(
  captions: Iterable[str], vocab_size: int = 128
) -> SentencePieceTokenizer:
  """Trains a small vocabulary on captions.

  Args:
    captions: texts.
    vocab_size: most ids; fewer if the captions do not hold that many pieces.

  Returns:
    A tokenizer that depends on captions and size only; characters that do not
    occur in the captions are unknown to it, id 2.

  Raises:
    DataError: if there is no text.
    ConfigError: if the size cannot hold the captions' characters.
  """
  captions = [text for text in captions if text.strip()]
  if not captions:
    raise errors.DataError(
      'no captions to train a text tokenizer on; give a data set with captions.'
    )
  model = io.BytesIO()
  try:
    sentencepiece.SentencePieceTrainer.train(
      sentence_iterator=iter(captions),
      model_writer=model,
      model_type='bpe',
      vocab_size=vocab_size,
      hard_vocab_limit=False,
      character_coverage=1.0,
      pad_id=PAD_ID,
      eos_id=EOS_ID,
      unk_id=UNKNOWN_ID,
      bos_id=-1,
      num_threads=1,
      minloglevel=2,
    )
  except RuntimeError as error:
    raise errors.ConfigError(
      f'no SentencePiece vocabulary of {vocab_size} ids fits the captions '
      f'({error}); choose another vocab_size.'
    ) from error
  return SentencePieceTokenizer(model.getvalue())


def load(directory: pathlib.Path) -> TextTokenizer:
  """Opens a folder that `TextTokenizer.save` wrote.

  Raises:
    CheckpointError: if the folder is missing, half written, or not of a text
      tokenizer.
  """
  description = describe.read_description(directory, KIND)
  tokenizer = _open(directory, description)
  if tokenizer.fingerprint != description['fingerprint']:
    raise errors.CheckpointError(
      f'the text tokenizer in {directory} is not the one it was written with; '
      'copy or write the folder again.'
    )
  return tokenizer


def find(name: str) -> str:
  """Finds a tokenizer by name: `BYTES`, or the path of a SentencePiece model.

  Args:
    name: 'bytes', the path of a model, a folder that `TextTokenizer.save`
      wrote, or a checkpoint's folder with such a folder `text/` in it.

  Raises:
    CheckpointError: the folder holds no text tokenizer.
  """
  path = storage.path(name)
  if name == BYTES or not path.is_dir():
    return name
  folder = folders.within(path, folders.TEXT)
  if isinstance(load(folder), ByteTokenizer):
    return BYTES
  return str(folder / MODEL_FILE)


def open_named(name: str) -> TextTokenizer:
  """Opens the tokenizer of a name that `find` takes."""
  path = storage.path(name)
  if name == BYTES:
    return ByteTokenizer()
  if path.is_dir():
    return load(folders.within(path, folders.TEXT))
  return load_sentencepiece(path)


def load_sentencepiece(path: pathlib.Path) -> SentencePieceTokenizer:
  """Opens a `.model` file, such as T5's.

  Raises:
    CheckpointError: if it is missing or not such a model.
  """
  try:
    model = path.read_bytes()
  except OSError as error:
    raise errors.CheckpointError(
      f'cannot read the SentencePiece model {path}: {error.strerror}.'
    ) from error
  try:
    return SentencePieceTokenizer(model)
  except errors.CheckpointError as error:
    raise errors.CheckpointError(f'{path}: {error}') from error


def _open(
  directory: pathlib.Path, description: Mapping[str, Any]
) -> TextTokenizer:
  algorithm = description.get('algorithm')
  if algorithm == ByteTokenizer.algorithm:
    return ByteTokenizer()
  if algorithm == SentencePieceTokenizer.algorithm:
    return load_sentencepiece(directory / MODEL_FILE)
  raise errors.CheckpointError(
    f'{directory} holds a text tokenizer of unknown kind {algorithm!r}; it '
    'needs a newer version of videopoet_jax.'
  )
