"""`videopoet bench`: how fast training, decoding, tokenizers and data are.

Everything is timed in turn with a plain matrix product of the model's size, so
that a metric says something on any machine: `of_floor` is the share of that
product's rate which the model's own FLOPs reach. `docs/benchmarks.md` says how
to read and reproduce the metrics.
"""

import argparse
from collections.abc import Sequence
import json
import pathlib
import sys

from videopoet_jax.benchmarks import bench
from videopoet_jax.core import entry
from videopoet_jax.core import errors
from videopoet_jax.jobs import unused_flags
from videopoet_jax.models.prefix_lm import presets

# What each flag changes.
_ACTS_ON = {
  'size': tuple(name for name in bench.WHATS if name not in bench.OF_NO_SIZE),
  'tokens_per_batch': ('train_step', 'data'),
  'rounds': tuple(name for name in bench.WHATS if name != 'memory'),
  'batch': ('decode', 'tokenizers', 'super_resolution'),
}


def main(argv: Sequence[str] | None = None) -> int:
  """Entry point of `videopoet bench`."""
  parser = argparse.ArgumentParser(prog='videopoet bench', description=__doc__)
  parser.add_argument(
    'part', nargs='?', choices=(*bench.WHATS, 'all'), help='the same as --what'
  )
  parser.add_argument('--what', choices=(*bench.WHATS, 'all'), default='all')
  parser.add_argument(
    '--size', default='tiny', help=f'one of {", ".join(presets.NAMES)}'
  )
  parser.add_argument('--rounds', type=int, default=7)
  parser.add_argument('--tokens_per_batch', type=int, default=4096)
  parser.add_argument('--batch', type=int, default=32)
  parser.add_argument('--json', metavar='FILE', help='also write it there')
  flags = parser.parse_args(argv)
  if min(flags.rounds, flags.tokens_per_batch, flags.batch) < 1:
    raise errors.ConfigError(
      '--rounds, --tokens_per_batch and --batch must be at least 1.'
    )
  if flags.part and flags.what not in ('all', flags.part):
    raise errors.ConfigError(
      f'bench {flags.part} and --what {flags.what} differ; give one of them.'
    )
  chosen = flags.part or flags.what
  for name, acts_on in _ACTS_ON.items():
    if chosen != 'all' and chosen not in acts_on:
      unused_flags.refuse(parser, flags, [name], f'on {chosen}')
  result = bench.bench(
    what=flags.part or flags.what,
    size_name=flags.size,
    rounds=flags.rounds,
    tokens_per_batch=flags.tokens_per_batch,
    batch=flags.batch,
  )
  text = json.dumps(result, indent=2)
  print(text)
  if flags.json:
    try:
      pathlib.Path(flags.json).write_text(text + '\n')
    except OSError as error:
      raise errors.ConfigError(
        f'--json: cannot write {flags.json}: {error.strerror}.'
      ) from error
  return 0


if __name__ == '__main__':
  sys.exit(entry.run(main, sys.argv[1:]))
