"""Data jobs of several hosts: they begin, fail and end together.

What they make is compared with what one host makes in the tests of each job.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.preparation import hosts_run
from tests.training import processes
from videopoet_jax.preparation import hosts as hosts_lib

_PATIENCE = 600


def test_shares_are_whole_and_balanced():
  items = list(range(11))
  hosts = [hosts_lib.Hosts(index, 4) for index in range(4)]
  assert [i for host in hosts for i in host.share(items)] == items
  weights = [9, 1, 1, 1, 5, 4, 8, 1, 2, 3, 1]
  shares = [h.balanced(items, lambda i: weights[i]) for h in hosts]
  assert sorted(i for share in shares for i in share) == items
  assert all(share == sorted(share) for share in shares)
  assert max(sum(weights[i] for i in share) for share in shares) == 9


class _Run:
  """Some processes of one job, with no launcher that stops them."""

  def __init__(self, count, output, **options):
    command = [
      sys.executable, '-m', 'tests.preparation.hosts_run', str(output),
      json.dumps(options),
    ]  # fmt: skip
    variables = processes.hosts(count)
    self.processes = [
      subprocess.Popen(
        command,
        cwd=processes.ROOT,
        env=processes.environment()
        | (variables | {'PROCESS_ID': str(i)} if count > 1 else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
      )
      for i in range(count)
    ]

  def end(self):
    """Status, standard output and last line of errors of each."""
    told = [p.communicate(timeout=_PATIENCE) for p in self.processes]
    return [
      (p.returncode, out, (err.strip().splitlines() or [''])[-1])
      for p, (out, err) in zip(self.processes, told, strict=True)
    ]


def _made(text):
  return re.findall(r'makes (\S+)', text)


def _await_pieces(output, count):
  notes = output.with_name(f'{output.name}.partial') / '.job' / 'pieces'
  deadline = time.monotonic() + _PATIENCE
  while not notes.is_dir() or len(list(notes.glob('*.json'))) < count:
    assert time.monotonic() < deadline
    time.sleep(0.02)


@pytest.mark.multi_process
def test_killed_job_goes_on_with_other_hosts(tmp_path):
  output = tmp_path / 'set'
  run = _Run(2, output, seconds=2)
  _await_pieces(output, 3)
  for process in run.processes:
    process.kill()
  before = [name for _, out, _ in run.end() for name in _made(out)]
  assert not output.exists()
  ((status, out, error),) = _Run(1, output).end()
  assert status == 0, error
  assert 'going on: ' in out
  # At most the one that each was at is made again.
  again = _made(out)
  assert len(set(before) & set(again)) <= 2
  assert set(before) | set(again) == set(hosts_run.PIECES)
  assert {p.name for p in output.iterdir()} == {
    *hosts_run.PIECES,
    'dataset_info.json',
  }
  # Again: refused by the first host, before any work, on all.
  ended = _Run(2, output).end()
  assert [status for status, _, _ in ended] == [2, 2]
  assert 'exists already' in ended[0][2]
  assert 'host 0 could not begin' in ended[1][2]
  assert not any(_made(out) for _, out, _ in ended)


@pytest.mark.multi_process
def test_one_that_fails_stops_the_others_with_its_reason(tmp_path):
  output = tmp_path / 'set'
  ended = _Run(2, output, fails='piece-04', seconds=5).end()
  assert [status for status, _, _ in ended] == [2, 2]
  assert ended[1][2] == 'DataError: piece-04 cannot be made'
  assert ended[0][2] == (
    'stopped, because host 1 failed: piece-04 cannot be made'
  )
  # At host 1's first piece; host 0 has not made its four.
  assert len(_made(ended[0][1])) < 4
  assert not output.exists()


@pytest.mark.multi_process
@pytest.mark.parametrize(
  ('options', 'first', 'second'),
  [
    (
      {'flags': {'0': 'a', '1': 'b'}},
      'host 1 was given other flags than host 0',
      'host 1 was given other flags than host 0',
    ),
    ({'missing': 1}, 'host 1 could not begin', 'a disk is missing'),
    ({'missing': 0}, 'a disk is missing', 'host 0 could not begin'),
    ({'elsewhere': 1}, 'host 1 does not find in', 'host 1 does not find in'),
  ],
)
def test_nobody_begins_alone(tmp_path, options, first, second):
  ended = _Run(2, tmp_path / 'set', **options).end()
  assert [status for status, _, _ in ended] == [2, 2]
  assert first in ended[0][2]
  assert second in ended[1][2]
  assert not any(_made(out) for _, out, _ in ended)


@pytest.mark.multi_process
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_one_that_is_stopped_or_killed_ends_the_others(tmp_path, number):
  output = tmp_path / 'set'
  run = _Run(2, output, seconds=10)
  _await_pieces(output, 1)
  began = time.monotonic()
  os.kill(run.processes[1].pid, number)
  ended = run.end()
  seconds = time.monotonic() - began
  if number == signal.SIGTERM:
    assert [status for status, _, _ in ended] == [143, 143]
    assert 'because host 1 failed: stopped by SIGTERM' in ended[0][2]
  else:
    # The coordination service misses it after 100 seconds.
    assert [status for status, _, _ in ended] == [-signal.SIGABRT, -number]
  print(f'\n{number!r}: all ended after {seconds:.0f} s; {ended[0][2]}')
  assert not output.exists()
  ((status, out, _),) = _Run(1, output).end()
  assert status == 0
  assert len(_made(out)) < len(hosts_run.PIECES)
