"""Writes token data sets on all hosts of a data job."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from videopoet_jax import __version__
from videopoet_jax.core import errors
from videopoet_jax.core import progress
from videopoet_jax.core import storage
from videopoet_jax.data import token_shards
from videopoet_jax.data import tokens as tokens_lib
from videopoet_jax.preparation import hosts as hosts_lib


def make(
  hosts: hosts_lib.Hosts,
  output: storage.Path,
  counts: Mapping[str, int],
  examples: Callable[[token_shards.Piece], Iterable[Mapping[str, Any]]],
  *,
  batch: int,
  file_size: int,
  example_bytes: int,
  settings: Mapping[str, Any],
  overwrite: bool,
  info: tokens_lib.TokenInfo,
  metadata: Mapping[str, Any],
  meter: progress.Meters,
  unit: str,
) -> tuple[str, ...]:
  """Makes a token data set; this host makes its share of the files.

  Args:
    hosts: this host among them.
    output: the data set's folder.
    counts: number of examples by split.
    examples: function that yields the examples of one file, in order.
    batch: number of examples that are made together.
    file_size: number of examples of a file, rounded up to whole batches; 0
      decides by their size.
    example_bytes: approximate size of an example in bytes.
    settings: settings of the job besides these, see `hosts.making`.
    overwrite: see `hosts.making`.
    info: tokenizers that the ids belong to.
    metadata: JSON values for TFDS metadata.
    meter: makes the meter that shows the progress.
    unit: what an example is made of, 'clips' or 'texts'.

  Returns:
    Names of the features, on the first host only.

  Raises:
    UserError: `file_size` is negative; see also `hosts.making` and
      `TokenShardWriter`.
  """
  errors.check_not_negative(f'--file_{unit}', file_size)
  size = token_shards.examples_a_file(counts, example_bytes, batch, file_size)
  planned = token_shards.plan(counts, size)
  settings = {
    **settings,
    'version': __version__,
    'tokens': info.to_json(),
    'batch': batch,
    f'file_{unit}': size,
  }
  features: tuple[str, ...] = ()
  with hosts_lib.making(hosts, output, settings, overwrite) as pieces:
    writer = token_shards.TokenShardWriter(pieces)
    mine = hosts.share(writer.left(planned))
    total = sum(piece.stop - piece.first for piece in mine)
    shown = meter(total, hosts.unit(unit))
    for piece in mine:
      writer.write(piece, shown.watch(examples(piece), 1, piece.split))
    shown.finish()
    pieces.gather('pieces', last=True)
    if hosts.is_first:
      features = writer.finish(planned, info, metadata)
  return features
