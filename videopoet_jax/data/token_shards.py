"""Token data sets written in pieces, in any order, by any number of hosts.

A piece is a file of the data set: a range of a split's examples whose size
follows from the number of examples and their bytes. The files are the same
whoever wrote them.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import pathlib
from typing import Any

import tensorflow_datasets as tfds

from videopoet_jax.core import errors
from videopoet_jax.data import shard_writer
from videopoet_jax.data import tokens as tokens_lib

# Enough files for many hosts to share, none so small that reading is slow.
_FILES = 256
_LEAST_BYTES = 4 * 2**20
_MOST_BYTES = 512 * 2**20
# One record a group: any record is read alone.
_OPTIONS = 'group_size:1'


@dataclasses.dataclass(frozen=True)
class Piece:
  """A range of the examples of one split.

  Attributes:
    split: split that it belongs to.
    first: number of its first example, counted from 0.
    stop: number of the example after its last.
    index: number of the file in the split.
    files: number of files in the split.
  """

  split: str
  first: int
  stop: int
  index: int
  files: int

  @property
  def name(self) -> str:
    """Name of the file."""
    template = tokens_lib.template(pathlib.Path('.'), self.split)
    path = template.sharded_filepath(
      shard_index=self.index, num_shards=self.files
    )
    return path.name


def examples_a_file(
  counts: Mapping[str, int], example_bytes: int, batch: int, asked: int = 0
) -> int:
  """Returns the number of examples in a file.

  Args:
    counts: examples by split.
    example_bytes: approximate size of an example in bytes.
    batch: examples that are made together; files hold a multiple of it.
    asked: requested number, rounded up to whole batches; 0 decides by size.
  """
  if asked:
    return -(-asked // batch) * batch
  share = sum(counts.values()) * example_bytes / _FILES
  size = min(max(share, _LEAST_BYTES), _MOST_BYTES)
  return max(1, round(size / example_bytes / batch)) * batch


def plan(counts: Mapping[str, int], size: int) -> list[Piece]:
  """All pieces of a data set, in order.

  Args:
    counts: examples by split.
    size: examples of a piece; the last of a split may have fewer.
  """
  return [
    Piece(split, first, min(first + size, count), index, -(-count // size))
    for split, count in counts.items()
    for index, first in enumerate(range(0, count, size))
  ]


class TokenShardWriter:
  """Writes the pieces of a token data set, and the whole when all are there.

  All examples have the features, shapes and dtypes of the first.
  """

  def __init__(self, pieces: shard_writer.ShardWriter) -> None:
    self._pieces = pieces

  def left(self, planned: Sequence[Piece]) -> list[Piece]:
    """Returns the pieces that are not finished."""
    return [p for p in planned if p.name not in self._pieces.finished]

  def write(self, piece: Piece, examples: Iterable[Mapping[str, Any]]) -> None:
    """Writes one piece.

    Args:
      piece: piece to write.
      examples: its examples, in order.

    Raises:
      DataError: they differ from one another, there are more or fewer than
        planned, or they cannot be written.
    """
    info: dict[str, Any] = {}
    serializer = tokens_lib.Serializer(self._pieces.output)
    with self._pieces.piece(piece.name, _OPTIONS, info) as records:
      for example in examples:
        records.write(serializer(example))
      if records.count != piece.stop - piece.first:
        raise errors.DataError(
          f'{records.count} examples were made of {piece.stop - piece.first} '
          f'of split {piece.split!r}: the data set that is read has changed; '
          'run the job again'
        )
      info['features'] = serializer.described()

  def finish(
    self,
    planned: Sequence[Piece],
    info: tokens_lib.TokenInfo,
    metadata: Mapping[str, Any],
  ) -> tuple[str, ...]:
    """Moves the data set to its place; only the first host calls it.

    Args:
      planned: all pieces, which must be finished.
      info: tokenizers that the ids belong to.
      metadata: JSON values for TFDS metadata, such as `frame_rate`.

    Returns:
      Names of the features.

    Raises:
      DataError: there is no example, pieces differ, or they cannot be written.
    """
    if not planned:
      raise errors.DataError(
        f'{self._pieces.output}: there was no example to write.'
      )
    infos = self._pieces.finished
    features = infos[planned[0].name]['features']
    for piece in planned:
      if infos[piece.name]['features'] != features:
        raise errors.DataError(
          f'{self._pieces.output}: {piece.name} differs from the first file in '
          'its features.'
        )
    splits: dict[str, list[Piece]] = {}
    for piece in planned:
      splits.setdefault(piece.split, []).append(piece)
    names = [piece.name for piece in planned]
    with shard_writer.description(names) as folder:
      tokens_lib.describe(
        folder,
        tokens_lib.schema_of(features),
        [
          tfds.core.SplitInfo(
            name=split,
            shard_lengths=[piece.stop - piece.first for piece in own],
            num_bytes=sum(infos[piece.name]['bytes'] for piece in own),
            filename_template=tokens_lib.template(folder, split),
          )
          for split, own in splits.items()
        ],
        info,
        metadata,
      )
      self._pieces.publish(folder, names)
    return tuple(features)
