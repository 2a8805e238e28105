"""From the names of metrics in a protocol to metrics."""

from typing import Any

from videopoet_jax.core import errors
from videopoet_jax.evaluation import measures
from videopoet_jax.evaluation import protocol as protocol_lib
from videopoet_jax.evaluation import right
from videopoet_jax.evaluation import runner
from videopoet_jax.evaluation import sets as sets_lib
from videopoet_jax.evaluation.metrics import catalogue
from videopoet_jax.evaluation.metrics import interface
from videopoet_jax.evaluation.networks import paths as paths_lib

# The scoreboard's row stands for the oracle's share, which it holds.
NAMES = (right.NAME, *(name for name in catalogue.NAMES if name != 'oracle'))
# Metrics that have to know how many samples of sound a second has.
_OF_SOUND = ('fad', 'mel_distance', 'dnsmos')


def build(
  protocol: protocol_lib.Protocol,
  run: runner.TaskRun,
  paths: paths_lib.NetworkPaths,
) -> tuple[interface.Metric, ...]:
  """The metrics of a task.

  Args:
    protocol: says which network each is measured with.
    run: the task, with its generator and its conditions.
    paths: where the weights of networks are.

  Raises:
    ConfigError: there is no such metric, its weights are not there, or its
      network is not the protocol's.
  """
  return tuple(_build(name, protocol, run, paths) for name in run.task.metrics)


def check(
  protocol: protocol_lib.Protocol, paths: paths_lib.NetworkPaths
) -> None:
  """Looks for all metrics and weights before anything is loaded.

  Raises:
    ConfigError: as `build`.
  """
  for task in protocol.tasks:
    for name in task.metrics:
      if name not in NAMES:
        hint = errors.near_names(name, NAMES)
        raise errors.ConfigError(
          f'{task.name}/EvaluationTask.metrics: there is no metric '
          f'{name!r}{hint}.'
        )
      if name != right.NAME:
        _make(name, protocol, paths)


def _build(
  name: str,
  protocol: protocol_lib.Protocol,
  run: runner.TaskRun,
  paths: paths_lib.NetworkPaths,
) -> interface.Metric:
  if name == right.NAME:
    return _right(run)
  settings: dict[str, Any] = {}
  if name in _OF_SOUND:
    settings['sampling_rate'] = run.generator.space.audio.sampling_rate
  return _make(name, protocol, paths, **settings)


def _make(
  name: str,
  protocol: protocol_lib.Protocol,
  paths: paths_lib.NetworkPaths,
  **settings: Any,
) -> interface.Metric:
  """A metric whose network is the protocol's."""
  metric = catalogue.make(name, paths, **settings)
  found = getattr(getattr(metric, 'network', None), 'name', '')
  stated = protocol.networks.get(name, '')
  if found != stated:
    raise errors.ConfigError(
      f'Protocol.networks says that {name!r} is measured with {stated!r}, and '
      f"it is with {found!r}: bind Protocol.networks = {{'{name}': '{found}'}}."
    )
  return metric


def _right(run: runner.TaskRun) -> interface.Metric:
  if not isinstance(run.conditions, sets_lib.ShapesSet) or run.task.subsets:
    raise errors.ConfigError(
      f'{run.task.name}: {right.NAME!r} is judged on shapes in motion, all '
      "samples together; set EvaluationTask.data = 'shapes' and no subsets."
    )
  layout = run.layout
  if layout.task not in measures.TASKS:
    hint = errors.near_names(layout.task, measures.TASKS)
    raise errors.ConfigError(f'no oracle judges {layout.task!r}{hint}.')
  return right.Right(
    layout.task, run.clips_of, run.condition_frames, layout.name
  )
