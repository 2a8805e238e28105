"""Compares results with rules, with a baseline, and with each other."""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import math
import operator
import re

from videopoet_jax.core import errors
from videopoet_jax.evaluation import protocol as protocol_lib
from videopoet_jax.evaluation import results as results_lib

_OPERATORS = {
  '>=': operator.ge,
  '<=': operator.le,
  '>': operator.gt,
  '<': operator.lt,
}
_RULE = re.compile(
  r'\s*(?P<metric>\w+)/(?P<task>\w+|\*)\s*(?P<sign>>=|<=|>|<)\s*'
  r'(?P<bound>[-+0-9.eE]+)\s*'
)


@dataclasses.dataclass(frozen=True)
class Rule:
  """A condition on a metric, as the user wrote it.

  Attributes:
    text: `metric/task>=0.5`; task `*` means all.
    metric: name of the metric.
    task: name of the task.
    sign: one of >=, <=, >, <.
    bound: the number.
  """

  text: str
  metric: str
  task: str
  sign: str
  bound: float

  def applies(self, result: results_lib.Result) -> bool:
    return self.metric == result.metric and self.task in ('*', result.task)

  def holds(self, result: results_lib.Result) -> bool:
    """Whether the rule holds; NaN breaks every rule."""
    return bool(_OPERATORS[self.sign](result.value, self.bound))


def rule(text: str) -> Rule:
  """Parses `metric/task>=0.5`; raises ConfigError if it is malformed."""
  match = _RULE.fullmatch(text)
  try:
    if match is None:
      raise ValueError
    bound = float(match['bound'])
  except ValueError:
    raise errors.ConfigError(
      f'--fail_below {text!r} is no rule; expected METRIC/TASK>=NUMBER (or <=, '
      '>, <; * for every task), such as right/text_to_video>=0.5.'
    ) from None
  return Rule(text, match['metric'], match['task'], match['sign'], bound)


def broken(
  rules: Sequence[Rule], results: Sequence[results_lib.Result]
) -> list[str]:
  """Returns a line for each metric that breaks a rule.

  Raises:
    ConfigError: a rule matches no metric.
  """
  lines = []
  for one in rules:
    about = [result for result in results if one.applies(result)]
    if not about:
      names = [result.name for result in results]
      hint = errors.near_names(f'{one.metric}/{one.task}', names)
      raise errors.ConfigError(
        f'--fail_below {one.text!r} names no metric of this job{hint}.'
      )
    lines += [
      f'{result.name} is {result.value:.4g}; the rule is {one.sign} '
      f'{one.bound:g}'
      for result in about
      if not one.holds(result)
    ]
  return lines


def check_rules(rules: Sequence[Rule], names: Iterable[str]) -> None:
  """Raises ConfigError if a rule matches none of these `metric/task`."""
  names = list(names)
  for one in rules:
    wanted = re.compile(
      re.escape(one.metric) + '/' + (r'\w+' if one.task == '*' else one.task)
    )
    if not any(wanted.fullmatch(name) for name in names):
      hint = errors.near_names(f'{one.metric}/{one.task}', names)
      raise errors.ConfigError(
        f'--fail_below {one.text!r} names no metric of the protocol{hint}.'
      )


@dataclasses.dataclass(frozen=True)
class Change:
  """A metric and its value in a baseline.

  Attributes:
    before: result of the baseline.
    after: the new result.
  """

  before: results_lib.Result
  after: results_lib.Result

  @property
  def is_worse(self) -> bool:
    """Whether the baseline lies beyond the new interval, on the better side.

    Without an interval, whether the new value is worse at all. A value that is
    not a number counts as worse than a number.
    """
    if math.isnan(self.before.value):
      return False
    if math.isnan(self.after.value):
      return True
    if self.after.higher_is_better:
      end = self.after.high
      return self.before.value > (self.after.value if end is None else end)
    end = self.after.low
    return self.before.value < (self.after.value if end is None else end)

  def __str__(self) -> str:
    word = 'worse' if self.is_worse else 'kept'
    return (
      f'{self.after.name}: {self.before.value:.4g} before, '
      f'{self.after.value:.4g} now ({word})'
    )


def latest(
  results: Iterable[results_lib.Result],
) -> dict[str, results_lib.Result]:
  """Returns the last result of every `metric/task`."""
  return {result.name: result for result in results}


def changes(
  before: Sequence[results_lib.Result], after: Sequence[results_lib.Result]
) -> list[Change]:
  """Pairs the metrics of two evaluations.

  Args:
    before: results of the baseline; of each metric the last one counts.
    after: the new results; of each metric the last one counts.

  Raises:
    ConfigError: they belong to different protocols, or differ in networks,
      settings or data.
  """
  protocol_lib.check_same([r.protocol for r in (*before, *after)])
  old, new = latest(before), latest(after)
  found = []
  for name, result in new.items():
    if name not in old:
      continue
    _check_alike(old[name], result)
    found.append(Change(old[name], result))
  if not found:
    raise errors.ConfigError(
      f'nothing to compare: the one has {", ".join(sorted(old)) or "no metric"}'
      f', the other {", ".join(sorted(new)) or "none"}.'
    )
  return found


def _check_alike(one: results_lib.Result, other: results_lib.Result) -> None:
  if one.fingerprint != other.fingerprint:
    raise errors.ConfigError(
      f'{one.name} was measured with other weights or settings ({one.metric} '
      f'of fingerprint {one.fingerprint} and {other.fingerprint}): results '
      'cannot be compared; measure both with the same network files.'
    )
  if dict(one.data) != dict(other.data):
    raise errors.ConfigError(
      f'{one.name} was measured on other data (fingerprints '
      f'{_pairs(one.data)} and {_pairs(other.data)}): results cannot be '
      'compared; evaluate both on the same sets.'
    )


def _pairs(data: Mapping[str, str]) -> str:
  return ', '.join(f'{name}={value}' for name, value in sorted(data.items()))


def table(found: Sequence[Change]) -> str:
  """Changes as lines of text for the terminal."""
  lines = [f'{"metric/task":<38}{"before":>10}{"after":>10}']
  for change in found:
    lines.append(
      f'{change.after.name:<38}{change.before.value:>10.4g}'
      f'{change.after.value:>10.4g}{"  worse" if change.is_worse else ""}'
    )
  return '\n'.join(lines)
