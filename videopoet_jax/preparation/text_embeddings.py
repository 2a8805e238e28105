"""Stores a frozen encoder's embeddings of the texts of a token data set."""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import itertools
import time
from typing import Any

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import progress
from videopoet_jax.core import storage
from videopoet_jax.data import converter
from videopoet_jax.data import records as records_lib
from videopoet_jax.data import token_shards
from videopoet_jax.data import tokens as tokens_lib
from videopoet_jax.inference import text_encoder
from videopoet_jax.preparation import hosts as hosts_lib
from videopoet_jax.preparation import token_files

DTYPES = ('float16', 'float32')


@dataclasses.dataclass(frozen=True)
class Summary:
  """Summary of the written data set.

  Attributes:
    directory: the data set's folder.
    clips: number of clips by split.
    slots: number of positions a text.
    width: width of an embedding.
    seconds: the time it took.
  """

  directory: str
  clips: dict[str, int]
  slots: int
  width: int
  seconds: float


def embed_text(
  *,
  tokens: str,
  encoder: str,
  output: str,
  config: str = '',
  sentencepiece: str = '',
  slots: int = 64,
  batch: int = 64,
  dtype: str = 'float16',
  save_encoder: str = '',
  file_texts: int = 0,
  overwrite: bool = False,
  meter: progress.Meters = progress.Meter,
  hosts: hosts_lib.Hosts | None = None,
) -> Summary:
  """Writes a token data set with embeddings of its texts.

  Args:
    tokens: directory of a token data set with the feature `text`.
    encoder: folder or file of a T5 encoder; see `text_encoder.open_encoder`.
    output: directory to write; it appears when it is complete.
    config: sizes that the encoder must have: xl, small or tiny.
    sentencepiece: its tokenizer's model; see `text_encoder.open_encoder`.
    slots: number of positions a text (64 in the paper).
    batch: number of texts encoded together.
    dtype: dtype of the stored embeddings.
    save_encoder: folder to write encoder and tokenizer to, for generation.
    file_texts: number of examples of a file, rounded up to whole batches; 0
      decides by their size. Files are the unit that hosts share and that is
      repeated after a kill.
    overwrite: whether an existing data set is replaced.
    meter: makes the meter that shows the progress; none by default.
    hosts: this host among those that make the data set; alone unless given.

  Returns:
    A summary.

  Raises:
    UserError: the data set or the encoder cannot be read, they do not match, or
      the output cannot be written.
  """
  started = time.monotonic()
  errors.check_positive('--batch', batch)
  errors.check_positive('--slots', slots)
  if dtype not in DTYPES:
    hint = errors.near_names(dtype, DTYPES)
    raise errors.ConfigError(f'--dtype is {dtype!r}{hint}.')
  if storage.path(tokens).resolve() == storage.path(output).resolve():
    raise errors.ConfigError(
      f'--output is the data set that is read, {tokens}; choose another folder.'
    )
  info = tokens_lib.read_info(tokens)
  records = records_lib.open_records(tokens)
  if records.shape('text') != ():
    raise errors.DataError(
      f'{tokens}: the feature text has shape {records.shape("text")}; one text '
      'an example is needed.'
    )
  model = text_encoder.open_encoder(encoder, config, sentencepiece)
  model.batch_size = batch
  hosts = hosts or hosts_lib.Hosts()
  if save_encoder and hosts.is_first:
    model.save(save_encoder)
  info = dataclasses.replace(
    info,
    text_fingerprint=model.fingerprint,
    text_slots=slots,
    text_width=model.width,
  )
  counts = {split: records.size(split) for split in records.splits}
  split = max(counts, key=lambda name: counts[name])
  stored = len(records.read(split, [0])[0]) if counts[split] else 0
  example_bytes = stored + slots * model.width * np.dtype(dtype).itemsize
  settings = {
    'job': 'embed_text',
    'given': records.fingerprint,
    'dtype': dtype,
  }

  def examples(piece: token_shards.Piece) -> Iterator[Mapping[str, Any]]:
    for group in _grouped(records, piece, batch):
      yield from _embedded(group, model, slots, batch, dtype, tokens)

  token_files.make(
    hosts,
    output,
    counts,
    examples,
    batch=batch,
    file_size=file_texts,
    example_bytes=example_bytes,
    settings=settings,
    overwrite=overwrite,
    info=info,
    metadata=records.metadata,
    meter=meter,
    unit='texts',
  )
  seconds = time.monotonic() - started
  return Summary(output, counts, slots, model.width, seconds)


def _grouped(
  records: records_lib.Records, piece: token_shards.Piece, size: int
) -> Iterator[Sequence[Mapping[str, Any]]]:
  """Yields a piece's examples in the order on disk, in groups."""
  examples = records.examples(
    piece.split, first=piece.first, stop=piece.stop
  ).as_numpy_iterator()
  while group := list(itertools.islice(examples, size)):
    yield group


def _embedded(
  examples: Sequence[Mapping[str, Any]],
  model: text_encoder.TextEncoder,
  slots: int,
  batch: int,
  dtype: str,
  directory: str,
) -> Iterator[dict[str, Any]]:
  """Adds the two features of embeddings to examples."""
  texts = [bytes(e['text']).decode('utf-8', 'replace') for e in examples]
  # Filled up, so that the last batch does not compile a second program.
  texts += [''] * (batch - len(texts))
  found_BSE, used_B = model.embed(texts, slots)
  with np.errstate(over='ignore'):
    stored_BSE = found_BSE.astype(dtype)
  for row, example in enumerate(examples):
    if not np.isfinite(stored_BSE[row]).all():
      raise errors.DataError(
        f'{directory}: the embeddings of {texts[row]!r} do not fit {dtype}; '
        'give --dtype float32, or sound weights.'
      )
    yield {
      **example,
      converter.TEXT_EMBEDDINGS: stored_BSE[row],
      converter.TEXT_USED: np.int32(used_B[row]),
    }
