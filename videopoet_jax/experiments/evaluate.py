"""Evaluates checkpoints or tokenizers by a protocol, from gin or objects."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import os
import pathlib
from typing import Any

import gin

from videopoet_jax.core import config as config_lib
from videopoet_jax.core import errors
from videopoet_jax.core import gin_state
from videopoet_jax.core import paths
from videopoet_jax.core import storage
from videopoet_jax.evaluation import checkpoint_choice
from videopoet_jax.evaluation import compare
from videopoet_jax.evaluation import devices as devices_lib
from videopoet_jax.evaluation import eval_datasets
from videopoet_jax.evaluation import job as job_lib
from videopoet_jax.evaluation import protocol as protocol_lib
from videopoet_jax.evaluation import reconstruction
from videopoet_jax.evaluation import results as results_lib
from videopoet_jax.evaluation import watch as watch_lib
from videopoet_jax.evaluation.metrics import catalogue
from videopoet_jax.evaluation.networks import paths as paths_lib
from videopoet_jax.evaluation.reporting import pages as pages_lib
from videopoet_jax.evaluation.reporting import tokenizer_pages
from videopoet_jax.evaluation.reporting import tokenizer_table
from videopoet_jax.experiments import experiment as experiment_lib
from videopoet_jax.inference import pipeline
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules as rules_lib
from videopoet_jax.tokenizers import interface

del experiment_lib  # Imported to register MeshConfig with gin.

BROKEN_STATUS = 3
_FOLDER = 'gin/protocols'


@dataclasses.dataclass(frozen=True)
class Outcome:
  """The outcome of an evaluation.

  Attributes:
    results: results of the last checkpoint, the newest of a watched run.
    problems: a line for each rule that is broken and each metric that is worse
      than the baseline's.
    table: one row a tokenizer that the folder holds; '' where checkpoints were
      evaluated.
  """

  results: tuple[results_lib.Result, ...]
  problems: tuple[str, ...] = ()
  table: str = ''

  @property
  def values(self) -> dict[str, float]:
    """The value of each metric, by `metric/task`."""
    return {f'{r.metric}/{r.task}': r.value for r in self.results}

  def __str__(self) -> str:
    """The results as a table."""
    return self.table or results_lib.table(self.results)

  def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
    """How a notebook shows it."""
    printer.text('\n'.join([str(self), *self.problems]))


Path = str | os.PathLike[str]
Subject = Path | pipeline.Model | interface.Tokenizer


def evaluate(
  checkpoint: Subject | Sequence[Subject] = (),
  protocol: protocol_lib.Protocol | str | None = None,
  out: Path = '',
  *,
  tokenizer: Subject | Sequence[Subject] = (),
  all_steps: bool = False,
  watch: str = '',
  watching: watch_lib.WatchConfig | None = None,
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
  log: Callable[[str], None] | None = None,
) -> Outcome:
  """Evaluates checkpoints; called again with the same folder, it resumes.

  Args:
    checkpoint: one or several models, or folders of language models; with a
      protocol of reconstruction, tokenizers or their folders.
    protocol: a protocol, the name of a shipped one, or a gin file.
    out: folder of all results.
    tokenizer: the same as `checkpoint`, and refused by a protocol of language
      models.
    all_steps: whether to evaluate every step on disk, not only the newest.
    watch: folder of a running training, instead of checkpoints.
    watching: when watching ends.
    data: folders of the protocol's sets, by name.
    networks: paths of the weights of feature networks.
    batch_size: number of samples generated together on each host.
    mesh: this host's devices along each axis; copies of the model unless given.
    rules: logical to mesh axes.
    keep_samples: number of samples of a task to keep for viewing; -1 keeps all.
    videos: whether they are also kept as mp4.
    cache: folder of the measured real sides, which jobs may share.
    best: metric whose best checkpoint is kept, `metric/task`.
    baseline: results of an earlier evaluation, a file or folder.
    fail_below: rules, `metric/task>=0.5`.
    versus: folder of another evaluation by this protocol, whose samples are
      compared with these in a human rating.
    log: receives lines of progress; without it nothing is printed.

  Returns:
    The results of the last checkpoint, and the problems.

  Raises:
    UserError: something is missing or does not match.
  """
  log = log or (lambda line: None)
  given = [*_several(checkpoint), *_several(tokenizer)]
  if isinstance(protocol, str):
    protocol = load_protocol(protocol)
  if protocol is None:
    raise errors.ConfigError(
      'no protocol: give --protocol, or bind evaluate.protocol = @Protocol().'
    )
  if not out:
    raise errors.ConfigError('give --out FOLDER, or bind evaluate.out in gin.')
  if protocol.is_reconstruction:
    _refuse(
      protocol, all_steps=all_steps, watch=watch, best=best, versus=versus
    )
  elif tokenizer:
    raise errors.ConfigError(
      f'{protocol.id} evaluates language models: give --checkpoint FOLDER, or '
      'for a tokenizer a protocol such as tokenizer_film.'
    )
  if bool(given) == bool(watch):
    raise errors.ConfigError(
      'give --tokenizer FOLDER (one or more).'
      if protocol.is_reconstruction
      else 'give either --checkpoint FOLDER (one or more) or --watch FOLDER.'
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
  # Missing inputs are reported before a model is read.
  sets = job_lib.open_sets(protocol, data or {})
  networks = networks or paths_lib.NetworkPaths()
  catalogue.check(protocol, networks)
  found: Sequence[job_lib.Subject]
  if protocol.is_reconstruction:
    found = tokenizers = reconstruction.choose(_tokenizers(given))
    _check_fit(protocol, tokenizers, sets)
  else:
    found = checkpoint_choice.find_all(_folders(given), all_steps)
  devices = devices_lib.Devices.create(mesh)
  job = job_lib.Job(
    protocol=protocol,
    out=storage.absolute(out),
    data=dict(data or {}),
    networks=networks,
    devices=dataclasses.replace(devices, rules=rules),
    batch_size=batch_size,
    keep=keep_samples,
    videos=videos,
    cache=cache,
    log=log,
  )
  job.prepare()
  keeper = watch_lib.BestKeeper(job.out, best, job.log)
  pages: pages_lib.Pages | tokenizer_pages.TokenizerPages
  if protocol.is_reconstruction:
    pages = tokenizer_pages.TokenizerPages(job)
  else:
    pages = pages_lib.Pages(job, before, versus)
  last: list[results_lib.Result] = []

  def one(checkpoint: job_lib.Subject) -> None:
    if job.is_first:
      job.log(f'{protocol.id}: {checkpoint.folder} {_step(checkpoint)}')
    last[:] = job.evaluate(checkpoint)
    job.collect()
    if job.is_first:
      if isinstance(checkpoint, checkpoint_choice.Checkpoint):
        keeper.note(checkpoint, last)
      pages.write()
      for line in _worse(before, last):
        job.log(f'worse than the baseline: {line}')

  if watch:
    config = watching or watch_lib.WatchConfig()
    watch_lib.watch(
      storage.absolute(watch), one, job.is_done, config, log=job.log
    )
    last = _newest(job.collect())
  else:
    for checkpoint_ in found:
      one(checkpoint_)
  problems = compare.broken(checked, last) if last else []
  table = ''
  if protocol.is_reconstruction:
    table = tokenizer_table.Table.of(protocol, job.collect()).text()
  return Outcome(tuple(last), (*problems, *_worse(before, last)), table)


def _refuse(protocol: protocol_lib.Protocol, **settings: Any) -> None:
  """Refuses settings that cannot act on tokenizers."""
  for name, value in settings.items():
    if value:
      raise errors.ConfigError(
        f'--{name} cannot act with {protocol.id}, which evaluates tokenizers; '
        'leave it out.'
      )


def _check_fit(
  protocol: protocol_lib.Protocol,
  found: Sequence[reconstruction.ChosenTokenizer],
  sets: Mapping[tuple[str, str], eval_datasets.Set],
) -> None:
  """Refuses a tokenizer that does not fit, before any is evaluated."""
  for one in found:
    for task in protocol.tasks:
      source = sets[task.data, task.split]
      inputs = reconstruction.ReconstructedInputs(task, one.tokenizer, source)
      inputs.check()


def _several(given: Subject | Sequence[Subject]) -> list[Subject]:
  """One or several subjects as a list; '' is none."""
  if isinstance(given, str):
    return [given] if given else []
  return list(given) if isinstance(given, Sequence) else [given]


def _tokenizers(given: Sequence[Subject]) -> list[Path | interface.Tokenizer]:
  """Folders and tokenizers; raises ConfigError for a language model."""
  found: list[Path | interface.Tokenizer] = []
  for one in given:
    if isinstance(one, pipeline.Model):
      raise errors.ConfigError(
        f'the protocol evaluates tokenizers, and {one.directory} is a language '
        'model; give the folder of its visual tokenizer.'
      )
    found.append(one)
  return found


def _folders(given: Sequence[Subject]) -> list[pathlib.Path]:
  """Folders of checkpoints; raises ConfigError for a tokenizer in memory."""
  found = []
  for one in given:
    path = one.directory if isinstance(one, pipeline.Model) else one
    if not isinstance(path, str | os.PathLike):
      raise errors.ConfigError(
        f'the protocol evaluates language models, and {one!r} is none; give a '
        'folder or a loaded model, or a protocol such as tokenizer_film.'
      )
    found.append(storage.absolute(path))
  return found


def _step(checkpoint: job_lib.Subject) -> str:
  return '' if checkpoint.step is None else f'step {checkpoint.step}'


def _worse(
  before: Sequence[results_lib.Result], after: Sequence[results_lib.Result]
) -> list[str]:
  """Returns a line for each metric that is worse than the baseline's."""
  if not before or not after:
    return []
  found = compare.changes(before, after)
  return [str(change) for change in found if change.is_worse]


def _newest(results: Sequence[results_lib.Result]) -> list[results_lib.Result]:
  """The results of the last checkpoint."""
  return [result for result in results if result.model == results[-1].model]


_configured = gin.external_configurable(evaluate, 'evaluate')
gin.external_configurable(watch_lib.WatchConfig, 'WatchConfig')
gin.external_configurable(paths_lib.NetworkPaths, 'NetworkPaths')


def protocol_file(name: str) -> str:
  """Finds the gin file of a protocol: a shipped one's, or a path.

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


def load_protocol(
  name: str | Sequence[str],
  bindings: Sequence[str] | Mapping[str, Any] = (),
) -> protocol_lib.Protocol:
  """Loads a protocol by name or gin files; keeps the caller's gin state.

  Args:
    name: name of a shipped protocol, a gin file, or several; later ones win.
    bindings: `NAME = VALUE` each, or values by name; they change the
      protocol's id.

  Raises:
    ConfigError: there is none, or a value is invalid.
  """
  names = [name] if isinstance(name, str) else name
  files = [protocol_file(one) for one in names]
  with gin_state.isolated():
    config_lib.parse(files, config_lib.as_lines(bindings))
    found = gin.get_bindings(_configured).get('protocol')
  if found is None:
    raise errors.ConfigError(
      f'{name} binds no evaluate.protocol: it is no protocol, such as '
      f'{_FOLDER}/shapes_scoreboard.gin'
    )
  return found


def from_gin(
  gin_files: Sequence[str],
  bindings: Sequence[str] = (),
  **given: Any,
) -> Outcome:
  """Evaluates according to gin files; keeps the caller's own gin state.

  Args:
    gin_files: paths or shipped files, later ones win.
    bindings: `NAME = VALUE` each, after the files.
    **given: arguments of `evaluate`, which override gin's.

  Raises:
    UserError: a name, a value or a folder is wrong.
  """
  with gin_state.isolated():
    config_lib.parse(gin_files, bindings)
    if given.get('data'):
      given['data'] = _sets(given['data'])
    return config_lib.call(_configured, **given)


def _sets(given: Mapping[str, str]) -> dict[str, str]:
  """Folders of sets: gin's, and those that override them.

  Raises:
    ConfigError: the protocol has no such set.
  """
  bound = gin.get_bindings(_configured)
  protocol = bound.get('protocol')
  known = {
    name
    for task in (protocol.tasks if protocol else ())
    for name in (task.data, task.real_name)
  }
  for name in given:
    if protocol and name not in known:
      raise errors.ConfigError(
        f'--data {name}=...: the protocol has no set {name!r}'
        f'{errors.near_names(name, sorted(known))}.'
      )
  return {**(bound.get('data') or {}), **given}
