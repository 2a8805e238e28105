"""Turns mistakes of the user into one line, for every entry point."""

from collections.abc import Callable, Sequence
import os
import re
import sys

from videopoet_jax.core import errors
from videopoet_jax.core import termination

# gin writes under which call an error arose; the user did not make that call.
_GIN_TRACE = re.compile(r'\n\s+In call to configurable .*')

USER_ERROR_STATUS = 2
_INTERRUPT_STATUS = 130  # 128 + SIGINT, as shells report it.


def run(
  main: Callable[[Sequence[str]], int | None], argv: Sequence[str]
) -> int:
  """Runs a job's `main` and turns the user's mistakes into one line.

  Args:
    main: takes the arguments behind the job's name, returns an exit status.
    argv: those arguments.

  Returns:
    The exit status: 2 for a `UserError`, 130 for an interrupt, else what the
    job returned, 0 for None. Any other exception is a bug and passes through.
  """
  if os.getpid() == 1:
    # The first process of a container has no default action: a signal that
    # comes before the job listens would be lost, or be so for good.
    termination.end_by_sigterm()
  try:
    return main(list(argv)) or 0
  except errors.UserError as error:
    message = ' '.join(_GIN_TRACE.sub('', str(error)).split())
    print(f'{type(error).__name__}: {message}', file=sys.stderr)
    return USER_ERROR_STATUS
  except KeyboardInterrupt:
    print('interrupted', file=sys.stderr)
    return _INTERRUPT_STATUS
  except BrokenPipeError:
    # Whoever read our output has gone (`videopoet layouts | head`). Python
    # flushes standard output once more at exit; give it somewhere to go.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
