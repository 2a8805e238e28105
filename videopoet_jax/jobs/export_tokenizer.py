"""`videopoet export`: writes a tokenizer as safetensors and JSON.

  videopoet export runs/visual --output exported/visual

`videopoet import --from videopoet exported/visual` makes the same tokenizer of
the two files again.
"""

import argparse
from collections.abc import Sequence
import sys

from videopoet_jax.core import entry
from videopoet_jax.tokenizers import exporting


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='videopoet export',
    description='Writes a tokenizer as model.safetensors and config.json.',
  )
  add = parser.add_argument
  add('tokenizer', help='folder of the tokenizer')
  add('--output', required=True, help='folder to write')
  add(
    '--original_keys',
    action='store_true',
    help='keys and axes of the published PyTorch checkpoints (imported ones)',
  )
  return parser


def main(argv: Sequence[str]) -> int:
  """Reads the flags, exports, and prints where to."""
  flags = _parser().parse_args(list(argv))
  output = exporting.export_tokenizer(
    flags.tokenizer, flags.output, original_keys=flags.original_keys
  )
  print(f'{output}: {exporting.WEIGHTS} and {exporting.CONFIG}')
  return 0


if __name__ == '__main__':
  sys.exit(entry.run(main, sys.argv[1:]))
