"""The report of an evaluation: one self-contained page."""

from collections.abc import Mapping, Sequence
import math
import os
from typing import Any

from videopoet_jax.evaluation import compare
from videopoet_jax.evaluation import protocol as protocol_lib
from videopoet_jax.evaluation import results as results_lib
from videopoet_jax.evaluation import runner
from videopoet_jax.evaluation.reporting import report

_TEMPLATE = 'evaluation.html.jinja'
_MOST_CURVES = 6


def write(
  path: str | os.PathLike[str],
  *,
  protocol: protocol_lib.Protocol,
  results: Sequence[results_lib.Result],
  examples: Mapping[str, Sequence[report.Example]],
  seconds: Mapping[str, float],
  changes: Sequence[compare.Change] = (),
  rating: str = '',
  rates: tuple[float, int] = (8.0, 16_000),
) -> None:
  """Writes the page.

  Args:
    path: path of the HTML file.
    protocol: protocol of all results.
    results: results of all checkpoints; the table shows the last one's metrics.
    examples: examples by task.
    seconds: seconds of each kind of work.
    changes: metrics compared with a baseline.
    rating: link to the rating page; '' for none.
    rates: frames and samples of sound a second.

  Raises:
    DataError: it cannot be written.
  """
  models = list(dict.fromkeys(result.model for result in results))
  newest = [result for result in results if result.model == models[-1]]
  by_name = {change.after.name: change for change in changes}
  described = protocol.describe()
  report.render(
    path,
    _TEMPLATE,
    protocol=described,
    fields=[
      (name, value)
      for name, value in described.items()
      if name != 'tasks' and value not in ('', {}, [])
    ],
    checkpoints=models,
    newest={'name': _name(newest[0]), 'path': newest[0].checkpoint},
    rows=[_row(result, by_name.get(result.name)) for result in newest],
    has_baseline=bool(changes),
    best=_best(results) if len(models) > 1 else {},
    titles=report.TITLES,
    plots=[report.plot_values(plot) for plot in _plots(results)],
    examples={
      task: [report.example_values(example, *rates) for example in some]
      for task, some in examples.items()
    },
    data={k: v for result in newest for k, v in result.data.items()},
    fingerprints={result.metric: result.fingerprint for result in newest}
    if len({(r.metric, r.fingerprint) for r in newest})
    == len({r.metric for r in newest})
    else {result.name: result.fingerprint for result in newest},
    seconds=seconds,
    overhead=runner.overhead(seconds),
    revision=newest[0].revision,
    rating=rating,
    height=_height(examples),
  )


def _height(examples: Mapping[str, Sequence[report.Example]]) -> int:
  """Pixels that clips are shown at: small ones enlarged, at most 192."""
  heights = [
    signal.video_THWC.shape[1]
    for some in examples.values()
    for example in some
    for signal in example.signals
    if signal.video_THWC is not None
  ]
  return min(192, max(96, max(heights, default=96)))


def _name(result: results_lib.Result) -> str:
  return 'parameters' if result.step is None else f'step {result.step}'


def _number(value: float | None) -> str:
  if value is None or not math.isfinite(value):
    return '-'
  return f'{value:.4g}'


def _row(
  result: results_lib.Result, change: compare.Change | None
) -> dict[str, Any]:
  interval = ''
  if result.low is not None and result.high is not None:
    interval = f'{_number(result.low)} – {_number(result.high)}'
  return {
    'name': result.name,
    'task': result.task,
    'metric': result.metric,
    'value': _number(result.value),
    'interval': interval,
    'samples': result.samples,
    'higher_is_better': result.higher_is_better,
    'seconds': result.seconds,
    'baseline': '' if change is None else _number(change.before.value),
    'is_worse': change is not None and change.is_worse,
  }


def _best(
  results: Sequence[results_lib.Result],
) -> dict[str, dict[str, str]]:
  """The best value of each metric, and its checkpoint."""
  found: dict[str, results_lib.Result] = {}
  for result in results:
    before = found.get(result.name)
    sign = 1 if result.higher_is_better else -1
    if before is None or sign * result.value > sign * before.value:
      found[result.name] = result
  return {
    name: {'value': _number(result.value), 'of': _name(result)}
    for name, result in found.items()
  }


def _plots(results: Sequence[results_lib.Result]) -> list[report.Plot]:
  """Plots each metric over the steps of one folder, all tasks together."""
  found = []
  folders = list(dict.fromkeys(result.checkpoint for result in results))
  for folder in folders:
    mine = [r for r in results if r.checkpoint == folder and r.step is not None]
    if len({result.step for result in mine}) < 2:
      continue
    for metric in dict.fromkeys(result.metric for result in mine):
      curves = [
        _curve(task, [r for r in mine if r.metric == metric and r.task == task])
        for task in dict.fromkeys(r.task for r in mine if r.metric == metric)
      ]
      for first in range(0, len(curves), _MOST_CURVES):
        part = tuple(curves[first : first + _MOST_CURVES])
        title = metric if len(folders) == 1 else f'{metric}, {folder}'
        found.append(report.Plot(title, metric, part))
  return found


def _curve(task: str, results: Sequence[results_lib.Result]) -> report.Curve:
  points = sorted((r.step or 0, r.value) for r in results)
  return report.Curve(task, [p[0] for p in points], [p[1] for p in points])
