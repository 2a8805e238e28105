"""How far a job is: amount done, rate and time left, on standard error."""

from collections.abc import Callable, Iterable, Iterator
import sys
import time
from typing import TextIO, TypeVar

_Item = TypeVar('_Item')

_TERMINAL_INTERVAL = 0.5
_LOG_INTERVAL = 10.0  # A log is read later: fewer lines, each kept.


class Meter:
  """Counts work of a known total.

  Attributes:
    done: the amount so far.
  """

  def __init__(
    self,
    total: float,
    unit: str,
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
  ) -> None:
    """Starts the clock.

    Args:
      total: amount of work.
      unit: what is counted, as text: 's of video'.
      stream: where to write, standard error unless given.
      clock: seconds; a test gives its own.
    """
    self.done = 0.0
    self._total = total
    self._unit = unit
    self._stream = stream or sys.stderr
    self._clock = clock
    self._terminal = self._stream.isatty()
    self._interval = _TERMINAL_INTERVAL if self._terminal else _LOG_INTERVAL
    self._started = self._shown = clock()

  def advance(self, amount: float, note: str = '') -> None:
    """Adds to what is done, and shows it if the last time is long ago."""
    self.done += amount
    now = self._clock()
    if now - self._shown >= self._interval:
      self._shown = now
      self._show(note)

  def watch(
    self, items: Iterable[_Item], amount: float, note: str = ''
  ) -> Iterator[_Item]:
    """Yields the items and advances by `amount` after each."""
    for item in items:
      yield item
      self.advance(amount, note)

  def finish(self) -> None:
    """Ends the line on a terminal."""
    if self._terminal:
      self._show('')
      print(file=self._stream)

  def _show(self, note: str) -> None:
    elapsed = max(1e-9, self._clock() - self._started)
    rate = self.done / elapsed
    left = max(0.0, self._total - self.done) / rate if rate else 0.0
    share = min(1.0, self.done / self._total) if self._total else 1.0
    line = (
      f'{share:4.0%} {self.done:.0f} of {self._total:.0f} {self._unit}, '
      f'{rate:.1f} a second, {_duration(left)} left  {note}'
    )
    if self._terminal:
      print(f'\r{line:<79.79}', end='', file=self._stream, flush=True)
    else:
      print(line.rstrip(), file=self._stream, flush=True)


def _duration(seconds: float) -> str:
  minutes, rest = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return (
    f'{hours}:{minutes:02d}:{rest:02d}' if hours else f'{minutes}:{rest:02d}'
  )
