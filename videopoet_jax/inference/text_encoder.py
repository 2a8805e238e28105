"""A frozen T5 encoder with its tokenizer: embeds texts.

VideoPoet (section 3.1) takes text as embeddings of a frozen T5 XL. They are
computed once for a data set, and once a prompt at generation; the folder that
`TextEncoder.save` writes may stand beside a checkpoint:

    text_encoder/checkpoint.json   kind, sizes, fingerprint
    text_encoder/params/           the weights
    text_encoder/tokenizer/        the text tokenizer
"""

from collections.abc import Mapping, Sequence
import dataclasses
import hashlib
import os
import pathlib
from typing import Any
import weakref

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import folders
from videopoet_jax.checkpoints import opened
from videopoet_jax.checkpoints import t5x
from videopoet_jax.checkpoints import tree
from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.inference import conditions
from videopoet_jax.models import t5_encoder
from videopoet_jax.models import t5_import
from videopoet_jax.models import t5x_import
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers import text as text_lib

KIND = 'text_encoder'
BYTES = 'bytes'
PRESETS = {
  'xl': t5_encoder.xl,
  'small': t5_encoder.small,
  'tiny': t5_encoder.tiny,
}
_TOKENIZER = 'tokenizer'
# A language model and its super-resolution share one encoder while it is in
# use:
# T5 XL is larger than they are.
_OPEN: weakref.WeakValueDictionary[str, 'TextEncoder'] = (
  weakref.WeakValueDictionary()
)


class TextEncoder:
  """Encoder, weights and tokenizer.

  Attributes:
    config: sizes of the encoder.
    params: its weights, unboxed.
    tokenizer: tokenizer of the texts.
    batch_size: number of texts of one compiled call.
  """

  def __init__(
    self,
    config: t5_encoder.T5EncoderConfig,
    params: Any,
    tokenizer: text_lib.TextTokenizer,
    batch_size: int = 64,
  ) -> None:
    """Stores the parts.

    Raises:
      CheckpointError: the tokenizer has ids that the encoder lacks.
    """
    if tokenizer.vocab_size > config.vocab_size:
      raise errors.CheckpointError(
        f'the text tokenizer has {tokenizer.vocab_size} ids, the text encoder '
        f'{config.vocab_size}; give the SentencePiece model that the encoder '
        'was trained with.'
      )
    self.config = config
    self.params = jax.tree.map(jnp.asarray, params)
    self.tokenizer = tokenizer
    self.batch_size = batch_size
    self._fingerprint = ''
    self._apply = jax.jit(t5_encoder.T5Encoder(config).apply)

  @property
  def width(self) -> int:
    """Width of an embedding."""
    return self.config.embed_dim

  @property
  def fingerprint(self) -> str:
    """Hash of sizes, weights and tokenizer, 16 hexadecimal digits."""
    if not self._fingerprint:
      weights = interface.fingerprint_of(_Sizes(_sizes(self)), self.params)
      both = f'{weights} {self.tokenizer.fingerprint}'
      self._fingerprint = hashlib.sha256(both.encode()).hexdigest()[:16]
    return self._fingerprint

  def embed(
    self, texts: Sequence[str], slots: int
  ) -> tuple[np.ndarray, np.ndarray]:
    """Encodes texts.

    Args:
      texts: texts, at least one.
      slots: number of positions a text; longer texts lose their last pieces.

    Returns:
      float32 (texts, slots, width), zeros in unused slots, and int32 (texts,),
      the number of used slots of each: its pieces and the end.
    """
    ids_BS = self.tokenizer.encode(texts, slots)
    parts = []
    size = min(self.batch_size, len(ids_BS))
    for start in range(0, len(ids_BS), size):
      # The last batch is filled up, so that one program serves all.
      rows = np.minimum(np.arange(start, start + size), len(ids_BS) - 1)
      part = self._apply({'params': self.params}, ids_BS[rows])
      parts.append(np.asarray(part, np.float32)[: len(ids_BS) - start])
    used_BS = ids_BS != text_lib.PAD_ID
    embeddings_BSE = np.concatenate(parts) * used_BS[..., None]
    return embeddings_BSE, used_BS.sum(axis=1).astype(np.int32)

  def save(self, directory: str | os.PathLike[str]) -> None:
    """Writes a folder for `load`; keeps one that already holds this encoder.

    Raises:
      CheckpointError: it cannot be written.
    """
    directory = storage.path(directory)
    described = {
      'kind': KIND,
      'config': _sizes(self),
      'fingerprint': self.fingerprint,
    }
    if (directory / describe.FILE_NAME).is_file():
      there = describe.read_description(directory)
      if all(there.get(key) == value for key, value in described.items()):
        return
    describe.begin(directory)
    self.tokenizer.save(directory / _TOKENIZER)
    tree.save_tree(directory / interface.PARAMS_FOLDER, self.params)
    describe.write_description(directory, described)


@dataclasses.dataclass(frozen=True)
class _Sizes:
  """Fields of a config that the fingerprint covers."""

  sizes: Mapping[str, Any]


def _sizes(encoder: TextEncoder) -> dict[str, Any]:
  """The config as JSON values without dtype, which depends on the machine."""
  sizes = dataclasses.asdict(encoder.config)
  del sizes['dtype'], sizes['dropout_rate']
  return sizes


def load(directory: pathlib.Path) -> TextEncoder:
  """Opens a folder that `TextEncoder.save` wrote.

  Args:
    directory: absolute path of the folder.

  Raises:
    CheckpointError: it is missing, half written, of another kind, or holds
      other weights than it was written with.
  """
  described = describe.read_description(directory, KIND)
  try:
    config = t5_encoder.T5EncoderConfig(**described['config'])
    fingerprint = described['fingerprint']
  except (KeyError, TypeError) as error:
    raise errors.CheckpointError(
      f'{directory} does not describe a text encoder of this version: {error}.'
    ) from error
  encoder = TextEncoder(
    config,
    opened.read_arrays(directory / interface.PARAMS_FOLDER),
    text_lib.load(directory / _TOKENIZER),
  )
  if encoder.fingerprint != fingerprint:
    raise errors.CheckpointError(
      f'the weights in {directory} are not those it was written with '
      f'(fingerprint {encoder.fingerprint}, described as {fingerprint}); copy '
      'or write the folder again.'
    )
  return encoder


def open_encoder(
  path: str | os.PathLike[str], preset: str = '', sentencepiece: str = ''
) -> TextEncoder:
  """Opens an encoder, ours or a released one.

  Args:
    path: a folder that `TextEncoder.save` wrote, or a released T5 1.1: a file
      of weights, a folder of them, or the folder of a checkpoint of T5X, which
      may be in a bucket.
    preset: key of `PRESETS`, whose sizes the weights must have; otherwise the
      sizes follow from the weights.
    sentencepiece: the tokenizer's `.model` file, or 'bytes'; the folder's
      `spiece.model` unless given.

  Raises:
    ConfigError: there is no such preset, or the weights have other sizes.
    CheckpointError: something is missing or cannot be read.
  """
  return _open_encoder(storage.absolute(path), preset, sentencepiece)


def _open_encoder(
  path: pathlib.Path, preset: str = '', sentencepiece: str = ''
) -> TextEncoder:
  if preset and preset not in PRESETS:
    hint = errors.near_names(preset, PRESETS)
    raise errors.ConfigError(f'there is no text encoder {preset!r}{hint}.')
  if (path / describe.FILE_NAME).is_file():
    encoder = load(path)
    config, params = encoder.config, encoder.params
    tokenizer = _tokenizer(sentencepiece) or encoder.tokenizer
  else:
    is_t5x = t5x.is_checkpoint(path)
    config, params = (t5x_import if is_t5x else t5_import).load(path)
    beside = (path if path.is_dir() else path.parent) / text_lib.MODEL_FILE
    chosen = _tokenizer(sentencepiece)
    if chosen is None and beside.is_file():
      chosen = text_lib.load_sentencepiece(beside)
    if chosen is None:
      published = t5x_import.VOCABULARY
      raise errors.CheckpointError(
        f'{path} has no {text_lib.MODEL_FILE} beside the weights; put the '
        "encoder's SentencePiece model there, or give it with --sentencepiece "
        'to `videopoet embed_text`, whose --save_encoder writes a folder with '
        f'both.{f" The published T5 have {published}." if is_t5x else ""}'
      )
    tokenizer = chosen
  if preset:
    config = _checked(config, preset, path)
  return TextEncoder(config, params, tokenizer)


def beside(
  directory: pathlib.Path,
  described: Mapping[str, Any],
  given: pathlib.Path | None,
) -> conditions.EmbedText:
  """Opens the text encoder that a checkpoint was trained with.

  Args:
    directory: absolute path of the checkpoint's folder, which contains the
      encoder.
    described: the checkpoint's description.
    given: absolute path of the encoder, if it is elsewhere.

  Raises:
    CheckpointError: the text encoder cannot be read, or is another one. A
      missing one is reported when a text is given: other tasks need none.
  """
  folder = given or directory / folders.TEXT_ENCODER
  if given or folder.is_dir():
    wanted = described.get('text_encoder')
    key = str(given) if given else wanted or str(folder)
    encoder = _OPEN.get(key) or _open_encoder(folder)
    if wanted and encoder.fingerprint != wanted:
      raise errors.CheckpointError(
        f'the text encoder in {folder} has fingerprint '
        f'{encoder.fingerprint}; the model was trained on embeddings of '
        f'{wanted}. Give the one it was trained with.'
      )
    _OPEN[key] = encoder
    return encoder.embed

  def refuse(texts: Sequence[str], slots: int) -> tuple[np.ndarray, np.ndarray]:
    del texts, slots
    raise errors.CheckpointError(
      f'{directory} was trained on embeddings of a frozen text encoder and has '
      f'no {folders.TEXT_ENCODER}/ folder; give the encoder with '
      '--text_encoder, or copy the folder that `videopoet embed_text '
      '--save_encoder` wrote there.'
    )

  return refuse


def _tokenizer(name: str) -> text_lib.TextTokenizer | None:
  return text_lib.open_named(name) if name else None


def _checked(
  found: t5_encoder.T5EncoderConfig, preset: str, path: pathlib.Path
) -> t5_encoder.T5EncoderConfig:
  """Returns the preset if the weights have its sizes; else ConfigError."""
  # The vocabulary of a tiny encoder is its tokenizer's.
  wanted = dataclasses.replace(PRESETS[preset](), vocab_size=found.vocab_size)
  differences = [
    f'{field.name} {getattr(found, field.name)}, not '
    f'{getattr(wanted, field.name)}'
    for field in dataclasses.fields(found)
    if field.name.startswith(('embed', 'num', 'head', 'mlp'))
    and getattr(found, field.name) != getattr(wanted, field.name)
  ]
  if differences:
    raise errors.ConfigError(
      f'{path} is not the text encoder {preset!r}: {"; ".join(differences)}. '
      'Leave out --config to take its own sizes.'
    )
  return wanted
