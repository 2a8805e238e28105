"""The outcome of planning: estimates, as JSON and as text."""

from collections.abc import Sequence
import dataclasses
from typing import Any

from videopoet_jax.planning import estimate as estimate_lib
from videopoet_jax.planning import report


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
  return Outcome(values['fits'], values, '\n'.join([*lines, report.FORMULA]))
