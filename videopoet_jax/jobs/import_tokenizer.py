"""`videopoet import`: makes a tokenizer of a published checkpoint.

  videopoet import --from vidtok vidtok_fsq_causal_488_32768.ckpt \
    --output tokenizers/vidtok

The folder is a visual tokenizer like those that `train` makes: `tokenize`,
`train` and `generate` take it. Families, files and differences:
docs/importing.md.
"""

import argparse
from collections.abc import Sequence
import sys

from videopoet_jax.core import entry
from videopoet_jax.core import errors
from videopoet_jax.tokenizers import importing


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='videopoet import',
    description='Makes a tokenizer folder of a published checkpoint.',
  )
  add = parser.add_argument
  add('path', help='file of the checkpoint, or the folder that holds its files')
  add(
    '--from',
    dest='family',
    required=True,
    help=f'{", ".join(importing.FAMILIES)}, or {importing.EXPORTED} for what'
    ' `videopoet export` wrote',
  )
  add('--output', required=True, help='folder to write')
  add(
    '--set',
    action='append',
    default=[],
    metavar='NAME=VALUE',
    help='a setting that the checkpoint does not hold; may be repeated',
  )
  add(
    '--last_weights',
    action='store_true',
    help='take the last weights where the checkpoint has averaged ones, too',
  )
  add(
    '--trust_pickle',
    action='store_true',
    help='unpickle objects other than tensors, which may run code',
  )
  return parser


def main(argv: Sequence[str]) -> int:
  """Reads the flags, imports, and prints what was read."""
  flags = _parser().parse_args(list(argv))
  settings = {}
  for text in flags.set:
    name, equals, value = text.partition('=')
    if not equals:
      raise errors.ConfigError(f'--set {text}: it must be NAME=VALUE.')
    settings[name] = value
  print(
    importing.import_tokenizer(
      flags.family,
      flags.path,
      flags.output,
      settings,
      averaged=not flags.last_weights,
      trust_pickle=flags.trust_pickle,
    )
  )
  return 0


if __name__ == '__main__':
  sys.exit(entry.run(main, sys.argv[1:]))
