"""`videopoet evaluate`: measures models or tokenizers by a frozen protocol.

  videopoet evaluate --protocol shapes_easy_scoreboard --checkpoint demo \
    --out scores
  videopoet evaluate --protocol k600.gin --watch runs/lm --out scores \
    --best fvd/future_prediction --until_step 300000
  videopoet evaluate --protocol tokenizer_film --tokenizer runs/a runs/b \
    --data film=data/film_held_out --out scores
  videopoet evaluate --votes votes.json --out scores
  videopoet evaluate --compare scores_before scores_after

Started again with the same --out it resumes, sample by sample.
Exit status: 0, 3 where a metric breaks a --fail_below rule or is worse than the
--baseline, 2 for a mistake in what was given.
"""

import argparse
from collections.abc import Sequence
import sys

from videopoet_jax.core import config as config_lib
from videopoet_jax.core import entry
from videopoet_jax.core import errors
from videopoet_jax.core import termination
from videopoet_jax.evaluation import compare
from videopoet_jax.evaluation import results as results_lib
from videopoet_jax.evaluation.reporting import votes
from videopoet_jax.experiments import evaluate
from videopoet_jax.jobs import unused_flags
from videopoet_jax.parallel import start

BROKEN_STATUS = 3


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='videopoet evaluate',
    formatter_class=argparse.RawDescriptionHelpFormatter,
    description=__doc__,
    epilog='Settings are changed with --gin.NAME=VALUE; those of the protocol '
    'change its id.',
  )
  add = parser.add_argument
  add('--protocol', help='name of a shipped protocol, or a gin file')
  add(
    '--gin_file', action='append', default=[],
    help='further gin files; any flag can be bound there (evaluate.out = ...)',
  )  # fmt: skip
  add('--checkpoint', nargs='+', help='folders of language models')
  add('--tokenizer', nargs='+', help='folders of visual tokenizers')
  add(
    '--data', action='append', metavar='NAME=FOLDER',
    help='folder of a set of the protocol; repeatable',
  )  # fmt: skip
  add('--all_steps', action='store_true', default=None)
  add('--watch', help='folder of a run, whose new checkpoints are evaluated')
  add('--until_step', type=int, help='watching ends when it is evaluated')
  add('--idle_minutes', type=float, help='watching ends without news; 0 never')
  add('--out', help='folder of all results')
  add('--batch_size', type=int, help='samples generated at once on a host')
  add('--keep_samples', type=int, help='of each task, to be looked at; -1 all')
  add('--videos', action='store_true', default=None, help='keep mp4, too')
  add('--cache', help='folder of measured real clips, shared by jobs')
  add('--best', metavar='METRIC/TASK', help='keep the best checkpoint by it')
  add('--baseline', metavar='RESULTS', help='results that must not get worse')
  add(
    '--fail_below', action='append', metavar='RULE',
    help="'metric/task>=0.5': exit status 3 unless it holds; repeatable",
  )  # fmt: skip
  add('--versus', help="another evaluation's folder, for rating side by side")
  add('--votes', nargs='+', help='files that the rating page saved')
  add('--compare', nargs=2, metavar='RESULTS', help='two results, side by side')
  return parser


def _check_flags(flags: argparse.Namespace) -> None:
  """Raises ConfigError where a flag cannot act."""
  parser = _parser()

  def refuse(reason: str, names: Sequence[str]) -> None:
    unused_flags.refuse(parser, flags, names, reason)

  if flags.compare:
    others = unused_flags.others(parser, ['compare'])
    refuse('with --compare, which reads two results', others)
  elif flags.votes:
    others = unused_flags.others(parser, ['votes', 'out'])
    refuse('with --votes, which reads files of votes', others)
  elif flags.watch:
    refuse('with --watch, which evaluates every new step', ['all_steps'])
  else:
    refuse('without --watch', ['until_step', 'idle_minutes'])
  if flags.keep_samples == 0:
    refuse('with --keep_samples 0', ['videos'])


def _sets(given: Sequence[str]) -> dict[str, str]:
  """Folders of sets by name; raises ConfigError unless NAME=FOLDER each."""
  found = {}
  for text in given:
    name, _, folder = text.partition('=')
    if not name or not folder:
      raise errors.ConfigError(
        f'--data {text!r} is not NAME=FOLDER, such as film=data/film_held_out.'
      )
    found[name] = folder
  return found


def main(argv: Sequence[str]) -> int:
  """Evaluates, reads votes or compares; see `--help`."""
  bindings, rest = config_lib.split_arguments(argv)
  flags = _parser().parse_args(rest)
  _check_flags(flags)
  if flags.compare:
    before, after = (results_lib.read(path) for path in flags.compare)
    found = compare.changes(before, after)
    print(compare.table(found))
    return BROKEN_STATUS if any(change.is_worse for change in found) else 0
  if flags.votes:
    if not flags.out:
      raise errors.ConfigError(
        '--votes needs --out: the folder whose rating.html was voted on.'
      )
    print(votes.summary(flags.out, flags.votes))
    return 0
  if not flags.protocol and not flags.gin_file:
    raise errors.ConfigError('give --protocol NAME or FILE.gin.')
  files = [evaluate.protocol_file(flags.protocol)] if flags.protocol else []
  start.initialize(start.from_environment())
  termination.end_by_sigterm()
  given = {
    name: getattr(flags, name)
    for name in (
      'checkpoint', 'tokenizer', 'all_steps', 'watch', 'out', 'batch_size',
      'keep_samples', 'videos', 'cache', 'best', 'baseline', 'fail_below',
      'versus',
    )
    if getattr(flags, name) is not None
  }  # fmt: skip
  if flags.data:
    given['data'] = _sets(flags.data)
  bindings += [
    f'WatchConfig.{name} = {getattr(flags, name)}'
    for name in ('until_step', 'idle_minutes')
    if getattr(flags, name) is not None
  ]
  if flags.watch:
    bindings.append('evaluate.watching = @WatchConfig()')
  outcome = evaluate.from_gin(
    [*files, *flags.gin_file], bindings, log=print, **given
  )
  print(outcome)
  for problem in outcome.problems:
    print(f'not good enough: {problem}', file=sys.stderr)
  return BROKEN_STATUS if outcome.problems else 0


if __name__ == '__main__':
  sys.exit(entry.run(main, sys.argv[1:]))
