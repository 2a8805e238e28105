"""Tests of the progress line: rate and time left from a made-up clock."""

import io

import pytest

from videopoet_jax.core import progress


class _Terminal(io.StringIO):
  def isatty(self) -> bool:
    return True


def _meter(stream):
  now = [0.0]
  meter = progress.Meter(100, 'clips', stream, lambda: now[0])
  return meter, now


def test_rate_and_time_left_in_a_log():
  stream = io.StringIO()
  meter, now = _meter(stream)
  now[0] = 5.0
  meter.advance(10)
  assert not stream.getvalue()  # Too soon for a log.
  now[0] = 20.0
  meter.advance(10, 'a.mp4')
  assert stream.getvalue() == (
    ' 20% 20 of 100 clips, 1.0/s, 01:20 left, a.mp4\n'
  )


def test_a_terminal_rewrites_its_line():
  stream = _Terminal()
  meter, now = _meter(stream)
  for _ in range(3):
    now[0] += 1
    meter.advance(1, 'x' * 200)
  lines = stream.getvalue().split('\r')[1:]
  assert len(lines) == 3
  assert all(len(line) == 79 for line in lines)
  meter.finish()
  assert stream.getvalue().endswith('\n')


def test_watch_counts_items():
  meter, _ = _meter(io.StringIO())
  assert list(meter.watch('abc', 2.0)) == ['a', 'b', 'c']
  assert meter.done == 6.0


def test_without_a_stream_nothing_is_shown(capsys):
  meter = progress.Meter(2, 'clips')
  assert list(meter.watch('ab', 1)) == ['a', 'b']
  meter.finish()
  assert capsys.readouterr() == ('', '')


@pytest.mark.parametrize(
  ('seconds', 'text'),
  [
    (41.2, '41 s'),
    (59.7, '1 min 00 s'),
    (725, '12 min 05 s'),
    (7800, '2 h 10 min'),
  ],
)
def test_duration(seconds, text):
  assert progress.duration(seconds) == text


@pytest.mark.parametrize(
  ('seconds', 'text'), [(-1, '00:00'), (41, '00:41'), (7800, '2:10:00')]
)
def test_clock(seconds, text):
  assert progress.clock(seconds) == text
