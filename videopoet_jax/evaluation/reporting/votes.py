"""Reads the votes of a rating page back into preferences."""

from collections.abc import Sequence
import os

from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.evaluation import sample_store
from videopoet_jax.evaluation.reporting import rating

KEYS = 'ratings'
PREFERENCES = 'preferences.json'


def summary(
  out: str | os.PathLike[str], files: Sequence[str | os.PathLike[str]]
) -> str:
  """Returns all votes' preferences as text; also writes `preferences.json`.

  Args:
    out: folder of the job whose page was rated.
    files: files that the page saved.

  Raises:
    DataError: a file holds no votes, or votes on a page of another folder.
  """
  votes = [vote for path in files for vote in rating.read_votes(path)]
  if not votes:
    raise errors.DataError('no question was answered in any of these files.')
  folder = storage.path(out)
  parts, found = [], {}
  for name in sorted({vote.rating for vote in votes}):
    key = sample_store.read_json(folder / KEYS / f'{name}.json')
    if key is None:
      raise errors.DataError(
        f'{folder} has no key of page {name} ({KEYS}/{name}.json); give the '
        '--out of the job that wrote the page.'
      )
    rows = rating.preferences(key, [v for v in votes if v.rating == name])
    found[name] = {'a': key['a'], 'b': key['b'], 'questions': rows}
    parts.append(rating.table(key, rows))
  sample_store.write_json(folder / PREFERENCES, found)
  return '\n\n'.join(parts)
