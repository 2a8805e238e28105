"""`videopoet plan`: compiles programs for TPU pods where there is no TPU.

  videopoet plan --model 8b --topology v5p:4x4x4 --batch_per_chip 4
  videopoet plan --model 1b --topology v5e:2x4 --layout all --json
  videopoet plan --model 8b --topology v6e:8x8 --search
  videopoet plan --model sr_stage1 --topology v5p:4x4x4
  videopoet plan --model sr_stage2 --program sample --topology v5p:2x2x1
  videopoet plan --model visual_tokenizer --program decode --topology v5p:2x2x1
  videopoet plan --run_file gin/runs/paper_prefix_lm.gin --model 1b --no_compile

A train step is planned, or a whole call that generates (`--program`). Memory is
the compiler's own, times are estimates (docs/planning.md). An 8B step takes
about a minute and 2 GB to compile; what was compiled is kept.
"""

import argparse
from collections.abc import Sequence
import json
import sys

from videopoet_jax.core import config as config_lib
from videopoet_jax.core import entry
from videopoet_jax.core import errors
from videopoet_jax.jobs import unused_flags
from videopoet_jax.planning import request

# What --search tries values of in place of the flag's.
_SEARCHED = ('mesh', 'remat', 'batch_per_chip')


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='videopoet plan',
    description='Compiles the train step for a TPU slice, with no TPU: memory '
    'a chip, work, traffic, and an estimate of its time; or a whole call that '
    'generates. The model is changed with --gin.prefix_lm_preset.FIELD=VALUE, '
    '--gin.super_resolution_preset.FIELD=VALUE or '
    '--gin.VisualTokenizerConfig.FIELD=VALUE, the optimizer with '
    '--gin.OptimizerConfig.FIELD=VALUE.',
  )
  add = parser.add_argument
  add(
    '--model',
    help='300m, 1b, 8b, sr_stage1, sr_stage2, ... (gin/models), or '
    'visual_tokenizer; 8b unless given, of a --run_file its own',
  )
  add(
    '--run_file',
    action='append',
    help='gin file of a run of the language model, such as '
    'gin/runs/paper_prefix_lm.gin: its whole mixture is planned, and its '
    'average step; repeatable, later ones win. Any --gin.NAME=VALUE goes',
  )
  add(
    '--no_compile',
    action='store_true',
    help='of a --run_file: estimate every step from its work alone, in seconds',
  )
  add(
    '--tokens_per_batch',
    type=int,
    help="of a --run_file: in place of the run's own",
  )
  add(
    '--program',
    default='train',
    choices=request.PROGRAMS,
    help='a train step; `sample`, a call that upscales; `decode`, one that '
    'generates with the language model, or maps ids to pixels with '
    'visual_tokenizer; `encode`, its other direction',
  )
  add('--steps', type=int, default=24, help='of `--program sample`')
  add('--topology', default='v5p:4x4x4', help='v5p:4x4x4, v5e:16x16, v6e:8x8')
  add('--slices', type=int, default=1, help='slices of that shape')
  add('--mesh', default='', help='for example fsdp=16,tensor=4; all to fsdp')
  add(
    '--layout',
    action='append',
    help='a name, `all`, or `longest` (the longest of each clip); '
    'super_resolution/17x448x256 for its models; repeatable',
  )
  add(
    '--clip',
    action='append',
    help=f'clips of `all` and `longest` ({", ".join(request.CLIPS)}), or of '
    'visual_tokenizer; repeatable',
  )
  add('--remat', default='', help="policy; the model's own unless given")
  add('--batch_per_chip', type=float, help='sequences a chip, 1 unless given')
  add('--attention', default='', help='implementation, for example splash')
  add('--optimizer', help='adamw (unless given), adafactor or muon')
  add('--search', action='store_true', help='try --meshes, --remats, --batches')
  add('--meshes', action='append', help='a --mesh to try; repeatable')
  add('--remats', help=f'policies to try, {",".join(request.SEARCH_REMATS)}')
  add('--batches', help='sequences a chip to try, 1,2,4,8')
  add('--cache_dir', help='of compiled programs; ~/.cache/videopoet_jax/plans')
  add('--json', action='store_true', help='JSON on standard output')
  return parser


def _numbers(text: str) -> list[float]:
  try:
    return sorted(float(number) for number in text.split(','))
  except ValueError:
    raise errors.ConfigError(
      f'--batches {text!r} is no list of numbers, for example 1,2,4.'
    ) from None


def _check_flags(flags: argparse.Namespace) -> None:
  """Refuses flags that cannot act together.

  Raises:
    ConfigError: one of them changes nothing beside the others.
  """
  parser = _parser()

  def refuse(reason: str, *names: str) -> None:
    unused_flags.refuse(parser, flags, names, reason)

  if flags.run_file and flags.program != 'train':
    raise errors.ConfigError(
      f'--program {flags.program} is of one layout; leave out --run_file, '
      'which plans train steps of a mixture.'
    )
  searching = ('meshes', 'remats', 'batches')
  if flags.run_file:
    one = ('layout', 'batch_per_chip', 'search', *searching)
    refuse('with --run_file, which plans a mixture', *one)
  else:
    refuse('without --run_file', 'no_compile', 'tokens_per_batch')
    tokenizer = flags.model == request.TOKENIZER
    if tokenizer:
      reason = f'with --model {request.TOKENIZER}, which has no such choice'
      refuse(reason, 'layout', 'remat', 'attention', 'search', *searching)
    if not tokenizer and not {'all', 'longest'} & set(flags.layout or ()):
      refuse('without --layout all or --layout longest', 'clip')
  if flags.program != 'sample':
    refuse('without --program sample', 'steps')
  if flags.program != 'train':
    trained = ('optimizer', 'remat', 'search', *searching)
    refuse(f'with --program {flags.program}, which trains nothing', *trained)
  if flags.search:
    refuse('with --search, which tries its own', *_SEARCHED)
    if len(flags.layout or ()) > 1:
      raise errors.ConfigError('--search searches for one --layout; give one.')
  else:
    refuse('without --search', *searching)


def main(argv: Sequence[str]) -> int:
  """Reads the flags, plans and prints; 1 where something does not fit."""
  bindings, rest = config_lib.split_arguments(argv)
  flags = _parser().parse_args(rest)
  _check_flags(flags)
  from videopoet_jax.experiments import plan as plan_lib

  search = None
  if flags.search:
    given = {
      'meshes': flags.meshes,
      'remats': flags.remats and flags.remats.split(','),
      'batches': flags.batches and _numbers(flags.batches),
    }
    search = plan_lib.Search(**{k: v for k, v in given.items() if v})
  found = plan_lib.plan(
    flags.model or '',
    flags.topology,
    slices=flags.slices,
    mesh=flags.mesh,
    program=flags.program,
    layouts=flags.layout or (),
    clips=flags.clip or (),
    steps=flags.steps,
    remat=flags.remat,
    batch_per_chip=(
      1.0 if flags.batch_per_chip is None else flags.batch_per_chip
    ),
    attention=flags.attention,
    optimizer=flags.optimizer or '',
    search=search,
    run_files=flags.run_file or (),
    tokens_per_batch=flags.tokens_per_batch or 0,
    compiled=not flags.no_compile,
    cache_dir=flags.cache_dir,
    bindings=bindings,
    log=lambda line: print(line, file=sys.stderr, flush=True),
  )
  print(json.dumps(found.values, indent=2) if flags.json else found)
  return 0 if found.fits else 1


if __name__ == '__main__':
  sys.exit(entry.run(main, sys.argv[1:]))
