"""`videopoet evaluate`: figures of checkpoints by a frozen protocol.

  videopoet evaluate --protocol shapes_easy_scoreboard --checkpoint demo \
    --out scores
  videopoet evaluate --protocol k600.gin --watch runs/lm --out scores \
    --best fvd/future_prediction --until_step 300000
  videopoet evaluate --votes votes.json --out scores
  videopoet evaluate --compare scores_before scores_after

Started again with the same --out it goes on where it was, sample by sample.
Exit status: 0, 3 where a figure breaks a --fail_below rule or is worse than the
--baseline, 2 for a mistake in what was given.
"""

import argparse
from collections.abc import Mapping, Sequence
import dataclasses
import os
import sys
from typing import Any

# Read when TensorFlow is first imported: its notices are not the user's.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import gin

from videopoet_jax.core import config as config_lib
from videopoet_jax.core import errors
from videopoet_jax.core import paths
from videopoet_jax.core import storage
from videopoet_jax.core import termination
from videopoet_jax.evaluation import compare
from videopoet_jax.evaluation import protocol as protocol_lib
from videopoet_jax.evaluation import results as results_lib
from videopoet_jax.evaluation.networks import paths as paths_lib
from videopoet_jax.jobs import cli
from videopoet_jax.jobs import evaluate_checkpoints
from videopoet_jax.jobs import evaluate_devices
from videopoet_jax.jobs import evaluate_metrics
from videopoet_jax.jobs import evaluate_pages
from videopoet_jax.jobs import evaluate_run
from videopoet_jax.jobs import evaluate_votes
from videopoet_jax.jobs import evaluate_watch
from videopoet_jax.jobs import unused_flags
from videopoet_jax.jobs.factories import parts as parts_lib
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules as rules_lib
from videopoet_jax.parallel import start

del parts_lib  # Imported for what it registers with gin: MeshConfig.

BROKEN_STATUS = 3
_FOLDER = 'gin/protocols'


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What an evaluation found.

  Attributes:
    results: of the last checkpoint, the newest of a watched run.
    problems: a line for each rule that is broken and each figure that is
      worse than the baseline's.
  """

  results: tuple[results_lib.Result, ...]
  problems: tuple[str, ...] = ()


def evaluate(
  *,
  protocol: protocol_lib.Protocol | None = None,
  out: str | os.PathLike[str] = '',
  checkpoint: Sequence[str] = (),
  all_steps: bool = False,
  watch: str = '',
  watching: evaluate_watch.WatchConfig | None = None,
  data: Mapping[str, str] | None = None,
  networks: paths_lib.NetworkPaths | None = None,
  batch_size: int = 64,
  mesh: mesh_lib.MeshConfig | None = None,
  rules: rules_lib.Rules = rules_lib.STANDARD,
  keep_samples: int = 8,
  videos: bool = False,
  cache: str = '',
  best: str = '',
  baseline: str = '',
  fail_below: Sequence[str] = (),
  versus: str = '',
) -> Outcome:
  """Evaluates checkpoints; needs no gin.

  Args:
    protocol: the figures.
    out: folder of all results.
    checkpoint: folders of language models.
    all_steps: every step on disk, and not the newest alone.
    watch: in place of checkpoints, folder of a run that goes on.
    watching: when watching ends.
    data: folders of the protocol's sets, by name.
    networks: where the weights of feature networks are.
    batch_size: samples generated at once on each host.
    mesh: this host's devices along each axis; copies of the model unless given.
    rules: logical to mesh axes.
    keep_samples: samples of a task kept to be looked at; -1 all.
    videos: whether they are kept as mp4, too.
    cache: folder of real sides, to be shared by jobs.
    best: figure whose best checkpoint is kept, `metric/task`.
    baseline: results of before, a file or folder.
    fail_below: rules, `metric/task>=0.5`.
    versus: folder of another evaluation by this protocol, whose samples are
      put beside these for human rating.

  Returns:
    The figures of the last checkpoint, and what is wrong with them.

  Raises:
    UserError: something is not there or does not fit.
  """
  if protocol is None:
    raise errors.ConfigError(
      'no protocol: give --protocol, or bind evaluate.protocol = @Protocol().'
    )
  if not out:
    raise errors.ConfigError('give --out FOLDER, or bind evaluate.out in gin.')
  if bool(checkpoint) == bool(watch):
    raise errors.ConfigError(
      'give either --checkpoint FOLDER (one or more) or --watch FOLDER.'
    )
  if batch_size < 1:
    raise errors.ConfigError(
      f'--batch_size is {batch_size}; expected 1 or more.'
    )
  before = results_lib.read(baseline) if baseline else []
  if before:
    protocol_lib.check_same(
      [protocol.id, *(result.protocol for result in before)],
      'baseline and protocol',
    )
  known = [f'{m}/{task.name}' for task in protocol.tasks for m in task.metrics]
  checked = [compare.rule(text) for text in fail_below]
  compare.check_rules(checked, known)
  if best:
    compare.check_rules([compare.rule(f'{best}>0')], known)
  # What is missing is said before a model is read.
  evaluate_run.open_sets(protocol, data or {})
  networks = networks or paths_lib.NetworkPaths()
  evaluate_metrics.check(protocol, networks)
  found = evaluate_checkpoints.find_all(checkpoint, all_steps)
  devices = evaluate_devices.Devices.create(mesh)
  job = evaluate_run.Job(
    protocol=protocol,
    out=storage.path(out),
    data=dict(data or {}),
    networks=networks,
    devices=dataclasses.replace(devices, rules=rules),
    batch_size=batch_size,
    keep=keep_samples,
    videos=videos,
    cache=cache,
  )
  job.prepare()
  keeper = evaluate_watch.BestKeeper(job.out, best, job.say)
  pages = evaluate_pages.Pages(job, before, versus)
  last: list[results_lib.Result] = []

  def one(checkpoint: evaluate_checkpoints.Checkpoint) -> None:
    if job.is_first:
      job.say(f'{protocol.id}: {checkpoint.folder} {_step(checkpoint)}')
    last[:] = job.evaluate(checkpoint)
    job.collect()
    if job.is_first:
      keeper.note(checkpoint, last)
      pages.write()
      for line in _worse(before, last):
        job.say(f'worse than the baseline: {line}')

  if watch:
    config = watching or evaluate_watch.WatchConfig()
    evaluate_watch.watch(watch, one, job.is_done, config, say=job.say)
    last = _newest(job.collect())
  else:
    for checkpoint_ in found:
      one(checkpoint_)
  problems = compare.broken(checked, last) if last else []
  return Outcome(tuple(last), (*problems, *_worse(before, last)))


def _step(checkpoint: evaluate_checkpoints.Checkpoint) -> str:
  return '' if checkpoint.step is None else f'step {checkpoint.step}'


def _worse(
  before: Sequence[results_lib.Result], after: Sequence[results_lib.Result]
) -> list[str]:
  """A line for each figure that is worse than the baseline's."""
  if not before or not after:
    return []
  found = compare.changes(before, after)
  return [str(change) for change in found if change.is_worse]


def _newest(results: Sequence[results_lib.Result]) -> list[results_lib.Result]:
  """Those of the last checkpoint."""
  return [result for result in results if result.model == results[-1].model]


_configured = gin.external_configurable(evaluate, 'evaluate')
gin.external_configurable(evaluate_watch.WatchConfig, 'WatchConfig')
gin.external_configurable(paths_lib.NetworkPaths, 'NetworkPaths')


def protocol_file(name: str) -> str:
  """The gin file of a protocol: a shipped one's, or a path.

  Raises:
    ConfigError: there is neither.
  """
  if name.endswith('.gin'):
    return name
  shipped = [
    file.removeprefix(f'{_FOLDER}/').removesuffix('.gin')
    for file in paths.gin_files()
    if file.startswith(f'{_FOLDER}/')
  ]
  protocols = [one for one in shipped if not one.endswith('_sampling')]
  if name not in protocols:
    raise errors.ConfigError(
      f'there is no protocol {name!r}{errors.near_names(name, protocols)}; '
      'give one of these, or a gin file of your own.'
    )
  return f'{_FOLDER}/{name}.gin'


def from_gin(
  gin_files: Sequence[str],
  bindings: Sequence[str] = (),
  **given: Any,
) -> Outcome:
  """What the command does, for other jobs.

  Args:
    gin_files: paths or shipped files, later ones win.
    bindings: `NAME = VALUE` each, after the files.
    **given: arguments of `evaluate`, which win over gin's.

  Raises:
    UserError: a name, a value or a folder is wrong.
  """
  config_lib.parse(gin_files, bindings)
  return config_lib.call(_configured, **given)


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
    print(evaluate_votes.summary(flags.out, flags.votes))
    return 0
  if not flags.protocol and not flags.gin_file:
    raise errors.ConfigError('give --protocol NAME or FILE.gin.')
  files = [protocol_file(flags.protocol)] if flags.protocol else []
  start.initialize(start.from_environment())
  termination.end_by_sigterm()
  given = {
    name: getattr(flags, name)
    for name in (
      'checkpoint', 'all_steps', 'watch', 'out', 'batch_size', 'keep_samples',
      'videos', 'cache', 'best', 'baseline', 'fail_below', 'versus',
    )
    if getattr(flags, name) is not None
  }  # fmt: skip
  bindings += [
    f'WatchConfig.{name} = {getattr(flags, name)}'
    for name in ('until_step', 'idle_minutes')
    if getattr(flags, name) is not None
  ]
  if flags.watch:
    bindings.append('evaluate.watching = @WatchConfig()')
  outcome = from_gin([*files, *flags.gin_file], bindings, **given)
  print(results_lib.table(outcome.results))
  for problem in outcome.problems:
    print(f'not good enough: {problem}', file=sys.stderr)
  return BROKEN_STATUS if outcome.problems else 0


if __name__ == '__main__':
  sys.exit(cli.run(main, sys.argv[1:]))
