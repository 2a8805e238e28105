"""Where the time of a run goes: goodput.

The time of a run is divided among a few kinds, and whatever is in no other
kind counts as steps. Devices work while the host goes on, so a kind is what
the *host* was busy with or waited for; lines of figures wait for the devices,
so that over a few of them the shares are those of the wall clock.
"""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import time

STEP = 'step'
# start: restore or initialise, and open the data.
# compile: waiting for a unit's program.
# data: waiting for a batch.
# validation: scoring.
# checkpoint: the part of a save that training waits for.
OTHERS = ('start', 'compile', 'data', 'validation', 'checkpoint')


class Goodput:
  """Seconds of one call of the loop, by kind.

  Attributes:
    kind: what goes on now; read by the watchdog's thread.
    since: clock at which it began.
    last: seconds of the last block of another kind than steps.
  """

  def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
    """Starts the clock with the kind `step`; a test gives its own clock."""
    self._clock = clock
    self._began = clock()
    self._spent: dict[str, float] = dict.fromkeys(OTHERS, 0.0)
    self.kind = STEP
    self.since = self._began
    self.last = 0.0

  @contextlib.contextmanager
  def spend(self, kind: str) -> Iterator[None]:
    """Books the time of a block under a kind; blocks do not nest.

    Args:
      kind: one of `OTHERS`.
    """
    self.since = began = self._clock()
    self.kind = kind
    try:
      yield
    finally:
      now = self._clock()
      self.last = now - began
      self._spent[kind] += self.last
      self.kind, self.since = STEP, now

  def seconds(self) -> dict[str, float]:
    """Seconds by kind, `total` among them."""
    total = self._clock() - self._began
    return {
      STEP: total - sum(self._spent.values()),
      **self._spent,
      'total': total,
    }

  def shares(self) -> dict[str, float]:
    """`goodput/<kind>`: parts of the time so far, which add up to 1."""
    seconds = self.seconds()
    total = max(seconds.pop('total'), 1e-9)
    return {f'goodput/{kind}': value / total for kind, value in seconds.items()}


def describe(shares: Mapping[str, float]) -> str:
  """`81 % steps, 12 % compile, 7 % data`: what is at least half a percent."""
  names = {STEP: 'steps'}
  found = [
    (value, names.get(kind, kind))
    for kind, value in (
      (name.removeprefix('goodput/'), value)
      for name, value in shares.items()
      if name.startswith('goodput/')
    )
    if value >= 0.005
  ]
  return ', '.join(
    f'{value:.0%} {name}'.replace('%', ' %')
    for value, name in sorted(found, reverse=True)
  )
