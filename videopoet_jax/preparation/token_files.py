"""Writes token data sets on all hosts of a data job."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from videopoet_jax.core import progress
from videopoet_jax.core import storage
from videopoet_jax.data import token_shards
from videopoet_jax.data import tokens as tokens_lib
from videopoet_jax.preparation import hosts as hosts_lib


def make(
  hosts: hosts_lib.Hosts,
  output: storage.Path,
  planned: Sequence[token_shards.Piece],
  examples: Callable[[token_shards.Piece], Iterable[Mapping[str, Any]]],
  *,
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
    planned: all files.
    examples: function that yields the examples of one file, in order.
    settings: see `hosts.making`.
    overwrite: see `hosts.making`.
    info: tokenizers that the ids belong to.
    metadata: JSON values for TFDS metadata.
    meter: makes the meter that shows the progress.
    unit: unit of the meter.

  Returns:
    Names of the features, on the first host only.

  Raises:
    UserError: see `hosts.making` and `TokenShardWriter`.
  """
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
