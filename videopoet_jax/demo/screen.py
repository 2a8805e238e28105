"""What a chain shows: one live bar on a terminal, lines in a log."""

import sys
from typing import TextIO

import tqdm

_TERMINAL_SECONDS = 0.5
_LOG_SECONDS = 20.0
_BAR = '{percentage:3.0f}% |{bar:12}| {desc}{postfix}'


class Screen:
  """Lines that stay, and how far the chain is.

  Attributes:
    interval: seconds between two calls of `show`.
  """

  def __init__(self, stream: TextIO | None = None) -> None:
    """Opens the bar if the stream is a terminal.

    Args:
      stream: where to write; None shows nothing.
    """
    self._stream = stream
    self._note = ''
    self._bar: tqdm.tqdm | None = None
    self.interval = _LOG_SECONDS
    if stream is not None and stream.isatty():
      self.interval = _TERMINAL_SECONDS
      self._bar = tqdm.tqdm(
        total=100, file=stream, bar_format=_BAR, leave=False,
        dynamic_ncols=True,
      )  # fmt: skip

  def line(self, text: str) -> None:
    """Writes a line that stays."""
    if self._bar is not None:
      self._bar.write(text, file=self._stream)
    elif self._stream is not None:
      print(text, file=self._stream, flush=True)

  def note(self, text: str) -> None:
    """Takes a line of the running stage: beside the bar, or into the log."""
    self._note = ' '.join(text.split())
    if self._bar is None:
      self.line(text)

  def show(self, text: str, share: float) -> None:
    """Shows how far the chain is.

    Args:
      text: the running stage with its times.
      share: share of the whole chain that is done, from 0 to 1.
    """
    if self._bar is None:
      self.line(text)
      return
    self._bar.n = round(100 * share)
    self._bar.set_description_str(text, refresh=False)
    self._bar.set_postfix_str(self._note)

  def begin(self) -> None:
    """Forgets what the stage before said."""
    self._note = ''

  def close(self) -> None:
    """Takes the bar off the screen."""
    if self._bar is not None:
      self._bar.close()


def standard() -> Screen:
  """The screen of a command: standard error."""
  return Screen(sys.stderr)
