"""The outcome of planning: estimates, as JSON and as text."""

from collections.abc import Sequence
import dataclasses
import math
from typing import Any

from videopoet_jax.planning import estimate as estimate_lib
from videopoet_jax.planning import report
from videopoet_jax.planning import visual_tokenizer


@dataclasses.dataclass(frozen=True)
class Outcome:
  """A finished plan, which prints as a table.

  Attributes:
    fits: whether every program fits into the memory of its chips.
    values: the complete outcome as JSON values.
    text: the same as text.
  """

  fits: bool
  values: Any
  text: str

  def __str__(self) -> str:
    return self.text

  def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
    """How a notebook shows it."""
    printer.text(self.text)


def of_steps(
  estimates: Sequence[estimate_lib.Estimate], *, is_search: bool = False
) -> Outcome:
  """Returns the outcome of planned train steps.

  Args:
    estimates: estimates, one a layout; for a search, the best first.
    is_search: whether each has a mesh of its own.
  """
  values = (report.search_json if is_search else report.to_json)(estimates)
  lines = [report.table(estimates, with_mesh=is_search)]
  lines += [report.details(estimate) for estimate in estimates[:1]]
  if not is_search:
    lines += compare(
      [(e.plan.layout, e.seconds, values['layouts'][e.plan.layout])
       for e in estimates]
    )  # fmt: skip
  return Outcome(values['fits'], values, '\n'.join([*lines, report.FORMULA]))


def compare(
  found: Sequence[tuple[str, float | None, dict[str, Any]]],
) -> list[str]:
  """Marks the faster way to compute a tokenizer's convolutions.

  Args:
    found: name of a plan, seconds (None if it does not fit), and its values, of
      which `fastest` is set if the clip was planned in more than one way.

  Returns:
    One line of text a clip; none for other models.
  """
  clips: dict[str, list[tuple[float, str, dict[str, Any]]]] = {}
  for name, seconds, values in found:
    kind, _, rest = name.partition('/')
    if kind == visual_tokenizer.KIND:
      clip, _, way = rest.partition('/')
      row = (seconds or math.inf, way, values)
      clips.setdefault(clip, []).append(row)
  lines = []
  for clip, rows in clips.items():
    if len(rows) < 2:
      continue
    best, other = sorted(rows, key=lambda row: row[0])[:2]
    for row in rows:
      row[2]['fastest'] = row is best and math.isfinite(best[0])
    if math.isfinite(best[0]):
      lines.append(
        f'{clip}: convolution {best[1]!r} is the fastest, '
        f'{best[0] / other[0]:.2f} of the time of {other[1]!r}'
      )
  return lines
