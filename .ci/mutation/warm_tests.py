"""Runs the same test files again and again, each time in a fork.

Most of a short test run is the import of JAX and its like. Here one process
imports them once; each line that it reads makes a fork, which imports the
package as it is on disk then. So a mutant costs its tests alone.

  python warm_tests.py REQUESTS ANSWERS SECONDS LIBRARIES TEST_FILE...

REQUESTS and ANSWERS are named pipes: for each line of the one, the other gets
pytest's exit status, or 124 where the tests took longer than so many seconds.
LIBRARIES are imported before the first; without JAX among them, tests run
without `conftest.py`, which would import it.
"""

from collections.abc import Sequence
import importlib
import os
import signal
import sys
import time
import traceback

_TIMED_OUT = 124
# What the last run printed, beside the copy of the tree.
_SHOWN = '../last_run.txt'


def _test(arguments: Sequence[str]) -> int:
  """Runs pytest up to the first failure; what it prints is kept in a file."""
  shown = os.open(_SHOWN, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
  for stream in (0, 1, 2):
    os.dup2(shown, stream)
  import hypothesis
  import pytest

  # One failure is enough: the search for a simpler one takes most of the time.
  phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
  hypothesis.settings.register_profile('mutants', phases=phases)
  hypothesis.settings.load_profile('mutants')
  # Drawn examples are the same for every mutant.
  options = ['-x', '-q', '--assert=plain', '--hypothesis-seed=0']
  return int(pytest.main([*options, *arguments]))


def _fork(arguments: Sequence[str], seconds: float) -> int:
  child = os.fork()
  if not child:
    os.setsid()
    status = 1
    try:
      status = _test(arguments)
    except BaseException:
      traceback.print_exc()
    finally:
      sys.stdout.flush()
      sys.stderr.flush()
      os._exit(status)
  stop = time.monotonic() + seconds
  while time.monotonic() < stop:
    found, status = os.waitpid(child, os.WNOHANG)
    if found:
      return abs(os.waitstatus_to_exitcode(status))
    time.sleep(0.005)
  os.killpg(child, signal.SIGKILL)
  os.waitpid(child, 0)
  return _TIMED_OUT


def main(argv: Sequence[str]) -> None:
  """Serves until the requests end."""
  requests, answers, seconds, names, *arguments = argv
  libraries = ['pytest', *names.split(',')]
  sys.path.insert(0, os.getcwd())
  if 'jax' in libraries:
    # Sets up JAX as the tests do, which has to come before its import.
    importlib.import_module('tests.conftest')
  else:
    arguments.append('--noconftest')
  for name in libraries:
    importlib.import_module(name)
  with open(requests) as lines, open(answers, 'w') as out:
    for _ in lines:
      print(_fork(arguments, float(seconds)), file=out, flush=True)


if __name__ == '__main__':
  main(sys.argv[1:])
