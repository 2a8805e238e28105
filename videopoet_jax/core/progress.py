"""Progress of long work: amount done, rate and time left."""

from collections.abc import Callable, Iterable, Iterator
import sys
import time
from typing import TextIO, TypeVar

import tqdm

_Item = TypeVar('_Item')

_TERMINAL_INTERVAL = 0.5
_LOG_INTERVAL = 10.0  # A log is read later: fewer lines, each kept.
_TEXT = '{n:.0f} of {total:.0f} {unit}, {rate_noinv:.1f}/s, {remaining} left'
_LINE = f'{{percentage:3.0f}}% {_TEXT}{{postfix}}'
_BAR = f'{{percentage:3.0f}}% {{bar:20}} {_TEXT}{{postfix}}'


class Meter:
  """Counts work of a known total.

  On a terminal it is a bar; in a log, one line an interval.

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
      stream: where to write; None shows nothing.
      clock: seconds; a test gives its own.
    """
    self.done = 0.0
    self._total = total
    self._unit = unit
    self._stream = stream
    self._clock = clock
    self._terminal = stream is not None and stream.isatty()
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
    if self._stream is None:
      return
    line = tqdm.tqdm.format_meter(
      min(self.done, self._total),
      self._total,
      max(1e-9, self._clock() - self._started),
      unit=self._unit,
      postfix=note or None,
      bar_format=_BAR if self._terminal else _LINE,
    )
    if self._terminal:
      print(f'\r{line:<79.79}', end='', file=self._stream, flush=True)
    else:
      print(line.rstrip(), file=self._stream, flush=True)


def duration(seconds: float) -> str:
  """A duration for people: `41 s`, `12 min 05 s`, `2 h 10 min`."""
  whole = max(0, round(seconds))
  if whole < 60:
    return f'{whole} s'
  if whole < 3600:
    return f'{whole // 60} min {whole % 60:02d} s'
  return f'{whole // 3600} h {whole % 3600 // 60:02d} min'


def clock(seconds: float) -> str:
  """A duration as a clock shows it: `00:41`, `12:05`, `2:10:00`."""
  return tqdm.tqdm.format_interval(max(0.0, seconds))


# Makes what shows the progress of a total, counted in a unit.
Meters = Callable[[float, str], Meter]


def shown(total: float, unit: str) -> Meter:
  """A meter on standard error, for commands."""
  return Meter(total, unit, sys.stderr)
