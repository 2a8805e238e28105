"""`videopoet score_upscaling`: super-resolution against bicubic and the truth.

  videopoet score_upscaling --checkpoint runs/stage1 --media data/shapes128 \
    --reduce 2 --steps 1 4 8 16 24 48 --out scores

The clips of the media data set, reduced, are the truth; reduced further, and
encoded, they are the condition. Several checkpoints are a cascade: each takes
the ids that the one before has made.
"""

import argparse
from collections.abc import Mapping, Sequence
import dataclasses
import sys
from typing import Any

from videopoet_jax.core import entry
from videopoet_jax.evaluation import upscaling
from videopoet_jax.inference.super_resolution import config as config_lib

_CONFIG = config_lib.UpscaleConfig()


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='videopoet score_upscaling',
    description='Scores super-resolution against bicubic and the truth.',
  )
  add = parser.add_argument
  add('--checkpoint', nargs='+', required=True, help='stages, in order')
  add('--media', required=True, help='data set folder of clips')
  add('--out', required=True, help='folder for metrics and a picture')
  add('--split', default='validation', help='of the clips (validation)')
  add('--clips', type=int, default=64, help='at most so many (64)')
  add('--reduce', type=int, default=1, help='divide their size by this first')
  add('--steps', type=int, nargs='+', default=[24], help='of decoding (24)')
  for name, value in dataclasses.asdict(_CONFIG).items():
    if name != 'num_steps':
      add(f'--{name}', type=type(value), default=value, help=f'({value})')
  add('--no_text', action='store_true', help='give no captions')
  add('--grey', action='store_true', help='take colour out of the condition')
  add('--noise', type=float, default=0.0, help='share of its ids drawn anew')
  add('--decoder', default='', help='tokenizer with a better decoder')
  add('--autoregressive', default='', help='language model to compare with')
  add('--autoregressive_temperature', type=float, default=1.0)
  add('--text_encoder', default='', help='of models of text embeddings')
  add('--seed', type=int, default=0)
  add('--batch_size', type=int, default=32, help='clips at a time (32)')
  return parser


def main(argv: Sequence[str]) -> int:
  """Reads the flags and scores."""
  flags: dict[str, Any] = vars(_parser().parse_args(list(argv)))
  names = [f.name for f in dataclasses.fields(config_lib.UpscaleConfig)]
  drawn: Mapping[str, Any] = {n: flags.pop(n) for n in names if n in flags}
  upscaling.score(
    config=config_lib.UpscaleConfig(**drawn),
    text=not flags.pop('no_text'),
    **flags,
    log=print,
  )
  return 0


if __name__ == '__main__':
  sys.exit(entry.run(main, sys.argv[1:]))
