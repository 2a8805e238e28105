"""One table of tokenizers: a row for each, a column for each metric."""

from collections.abc import Sequence
import dataclasses
import math
import pathlib

from videopoet_jax.evaluation import protocol as protocol_lib
from videopoet_jax.evaluation import results as results_lib

_MISSING = '-'


@dataclasses.dataclass(frozen=True)
class Cell:
  """One value.

  Attributes:
    value: value of the metric.
    interval: its 95 % interval; '' where there is none.
    is_best: whether it is the best of its column.
  """

  value: str
  interval: str = ''
  is_best: bool = False

  @property
  def text(self) -> str:
    """Value and interval."""
    return f'{self.value} ({self.interval})' if self.interval else self.value


@dataclasses.dataclass(frozen=True)
class Table:
  """The table.

  Attributes:
    columns: titles of the metrics, with the direction that is better.
    rows: label of a tokenizer, and its cells.
    notes: what has to be known about single rows.
  """

  columns: tuple[str, ...]
  rows: tuple[tuple[str, tuple[Cell, ...]], ...]
  notes: tuple[str, ...] = ()

  @classmethod
  def of(
    cls,
    protocol: protocol_lib.Protocol,
    results: Sequence[results_lib.Result],
  ) -> 'Table':
    """Arranges results.

    Args:
      protocol: protocol of the results, which gives the order of the columns.
      results: results of any number of tokenizers.
    """
    names = [(t.name, m) for t in protocol.tasks for m in t.metrics]
    titles, columns = [], []
    for task, metric in names:
      column = [r for r in results if (r.task, r.metric) == (task, metric)]
      arrow = ''
      if column:
        arrow = ' ↑' if column[0].higher_is_better else ' ↓'
      titles.append(
        (metric if len(protocol.tasks) == 1 else f'{metric}/{task}') + arrow
      )
      columns.append({r.model + r.checkpoint: r for r in column})
    labels = _labels(results)
    rows = tuple(
      (label, tuple(_cell(column, key) for column in columns))
      for key, label in labels.items()
    )
    return cls(tuple(titles), rows, _notes(results, labels))

  def markdown(self) -> str:
    """The table in Markdown, the best value of each column in bold."""
    lines = [
      '| ' + ' | '.join(('tokenizer', *self.columns)) + ' |',
      '|---' * (len(self.columns) + 1) + '|',
    ]
    for label, cells in self.rows:
      shown = [f'**{c.text}**' if c.is_best else c.text for c in cells]
      lines.append('| ' + ' | '.join((label, *shown)) + ' |')
    lines += [f'\n{note}' for note in self.notes]
    return '\n'.join(lines) + '\n'

  def text(self) -> str:
    """The table for the terminal."""
    grid = [['tokenizer', *self.columns]]
    grid += [
      [label, *(cell.text for cell in cells)] for label, cells in self.rows
    ]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    lines = [
      '  '.join(
        text.ljust(width) if not place else text.rjust(width)
        for place, (text, width) in enumerate(zip(row, widths, strict=True))
      ).rstrip()
      for row in grid
    ]
    return '\n'.join([*lines, *self.notes])


def _labels(results: Sequence[results_lib.Result]) -> dict[str, str]:
  """A unique label for each tokenizer, by key: the shortest that is."""
  first = {r.model + r.checkpoint: r for r in reversed(results)}
  keys = sorted(first, key=lambda key: (first[key].checkpoint, key))
  ways = (
    lambda r: pathlib.PurePath(r.checkpoint).name,
    lambda r: r.checkpoint,
    lambda r: f'{r.checkpoint} {r.model[:8]}',
  )
  for way in ways:
    labels = [way(first[key]) for key in keys]
    if len(set(labels)) == len(labels):
      break
  return dict(zip(keys, labels, strict=True))


def _cell(column: dict[str, results_lib.Result], key: str) -> Cell:
  result = column.get(key)
  if result is None:
    return Cell(_MISSING)
  interval = ''
  if (
    result.low is not None
    and result.high is not None
    and result.low < result.high
  ):
    interval = f'{_number(result.low)} to {_number(result.high)}'
  values = [r.value for r in column.values() if math.isfinite(r.value)]
  best = (max if result.higher_is_better else min)(values, default=math.nan)
  is_best = len(set(values)) > 1 and result.value == best
  return Cell(_number(result.value), interval, is_best)


def _notes(
  results: Sequence[results_lib.Result], labels: dict[str, str]
) -> tuple[str, ...]:
  """How clips were fitted to single tokenizers, and on what they differ."""
  found: dict[str, None] = {}
  for result in results:
    label = labels[result.model + result.checkpoint]
    for line in result.detail.get('fitted', ()):
      found[f'{label}: {line}.'] = None
  data = {tuple(sorted(result.data.items())) for result in results}
  if len(data) > 1:
    found['Rows were measured on different data and cannot be compared.'] = None
  weights: dict[str, set[str]] = {}
  for result in results:
    weights.setdefault(result.metric, set()).add(result.fingerprint)
  for metric, prints in weights.items():
    if len(prints) > 1:
      found[
        f'{metric} was measured with different weights or settings in these '
        'rows and cannot be compared.'
      ] = None
  return tuple(found)


def _number(value: float) -> str:
  return f'{value:.4g}' if math.isfinite(value) else _MISSING
