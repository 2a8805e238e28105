"""Token data sets that the hosts of a data job make together."""

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
  """Makes a token data set, this host its share of the files.

  Args:
    hosts: this one among them.
    output: the data set's folder.
    planned: all files.
    examples: makes those of one file, in order.
    settings: see `data_hosts.making`.
    overwrite: likewise.
    info: whose ids they are.
    metadata: JSON values for TFDS metadata.
    meter: makes what shows the progress.
    unit: what it counts.

  Returns:
    Names of the features, on the first host alone.

  Raises:
    UserError: see `data_hosts.making` and `TokenShardWriter`.
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
