"""Reads captions files and matches them with media files."""

from collections.abc import Mapping, Sequence
import csv
import dataclasses
import io
import json
import math
import pathlib
from typing import Any

from videopoet_jax.core import errors
from videopoet_jax.data.ingest import clips


@dataclasses.dataclass(frozen=True)
class Captions:
  """Captions of sources (`folder/a.mp4`) and clips (`folder/a.mp4#00002`).

  Attributes:
    texts: captions by source or clip name.
    numbers: numbers such as a quality, by their names.
  """

  texts: Mapping[str, str] = dataclasses.field(default_factory=dict)
  numbers: Mapping[str, Mapping[str, float]] = dataclasses.field(
    default_factory=dict
  )

  def of(self, clip: clips.Clip) -> str:
    """The clip's own caption, else its file's, else an empty text."""
    return self.texts.get(clip.clip_id) or self.texts.get(clip.source, '')

  def numbers_of(self, clip: clips.Clip) -> dict[str, float]:
    """The clip's own numbers, else its file's, else NaN, by their names."""
    return {
      name: values.get(clip.clip_id, values.get(clip.source, math.nan))
      for name, values in self.numbers.items()
    }


def read_captions(
  path: pathlib.Path, sources: Sequence[str], numbers: Sequence[str] = ()
) -> Captions:
  """Reads captions and matches them with the files.

  A name is a source (`folder/a.mp4`), a file's name or its stem where only
  one file has it, each also followed by `#` and the number of a clip.

  Args:
    path: `.csv` with a header `clip,caption`; `.json`, an object from names to
      captions or a list of objects with `clip` and `caption`; or `.txt`, lines
      of a name, a tab and a caption.
    sources: the names that `find_files` gave.
    numbers: further columns of a `.csv`, or fields of the objects of a list in
      a `.json`, that hold a number of each clip; an empty one is unknown.

  Returns:
    Captions and numbers by full source or clip names.

  Raises:
    DataError: the file cannot be read, names a file that does not exist, or has
      no such numbers.
  """
  names: dict[str, list[str]] = {}
  for source in sources:
    pure = pathlib.PurePosixPath(source)
    for name in {source, pure.name, pure.stem, str(pure.with_suffix(''))}:
      names.setdefault(name, []).append(source)
  texts: dict[str, str] = {}
  values: dict[str, dict[str, float]] = {name: {} for name in numbers}
  missing = []
  for name, text, own in _read_entries(path, numbers):
    stem, mark, index = name.rpartition('#')
    if not mark or not index.isdigit():
      stem, index = name, ''
    matches = names.get(stem, [])
    if stem in matches:
      matches = [stem]
    if not matches:
      missing.append(name)
      continue
    if len(matches) > 1:
      raise errors.DataError(
        f'{path}: {name!r} may be {" or ".join(matches)}; write which'
      )
    full = f'{matches[0]}#{int(index):05d}' if index else matches[0]
    texts[full] = text
    for column, value in own.items():
      values[column][full] = value
  if missing:
    shown = ', '.join(map(repr, missing[:5]))
    shown += f' and {len(missing) - 5} more' if len(missing) > 5 else ''
    raise errors.DataError(
      f'{path}: names {shown}, not among the {len(sources)} input files'
      f'{errors.near_names(missing[0], list(sources)[:1000])}'
    )
  return Captions(texts, values)


def check_indices(
  path: pathlib.Path, captions: Captions, most: Mapping[str, int]
) -> None:
  """Refuses captions of clips that a file is too short to have.

  Args:
    path: path of the captions, for the message.
    captions: captions read from it.
    most: clips that a source may have at most; others are not checked.

  Raises:
    DataError: a clip's number is not below that.
  """
  missing = []
  for name in captions.texts:
    source, mark, index = name.rpartition('#')
    if mark and source in most and int(index) >= most[source]:
      missing.append((name, most[source]))
  if missing:
    (name, number), more = missing[0], len(missing) - 1
    raise errors.DataError(
      f'{path}: names the clip {name!r}'
      + (f' and {more} more that are not there' if more else '')
      + f'; that file has {number} at most, counted from 0. Correct the '
      'numbers or name the file alone, which gives all its clips one caption'
    )


def _read_entries(
  path: pathlib.Path, numbers: Sequence[str]
) -> list[tuple[str, str, dict[str, float]]]:
  """Yields name, caption and the known `numbers`, entry by entry."""
  entries = []
  for row in _read_rows(path):
    entry = row if isinstance(row, dict) else {}
    clip, caption = entry.get('clip'), entry.get('caption')
    if not isinstance(clip, str) or not isinstance(caption, str):
      raise errors.DataError(
        f'{path}: each entry needs a "clip" and a "caption", both text; found '
        f'{row!r}'
      )
    known = {}
    for name in numbers:
      if name not in entry:
        raise errors.DataError(
          f'{path}: no {name!r} in {row!r}; --numbers names columns of a .csv '
          'or fields of the objects of a list in a .json'
          f'{errors.near_names(name, list(entry))}'
        )
      if entry[name] in ('', None):
        continue
      try:
        known[name] = float(entry[name])
      except (TypeError, ValueError) as error:
        raise errors.DataError(
          f'{path}: {name} of {clip!r} is {entry[name]!r}, not a number; leave '
          'it empty where it is not known'
        ) from error
    entries.append((clip.strip(), caption.strip(), known))
  return entries


def _read_rows(path: pathlib.Path) -> list[Any]:
  try:
    text = path.read_text(encoding='utf-8-sig')
  except (OSError, UnicodeDecodeError) as error:
    raise errors.DataError(f'{path}: cannot be read: {error}') from error
  kind = path.suffix.lower()
  rows: list[Any]
  if kind == '.txt':
    rows = []
    for line in text.splitlines():
      name, tab, rest = line.partition('\t')
      if tab:
        rows.append({'clip': name, 'caption': rest})
      elif line.strip():
        raise errors.DataError(
          f'{path}: {line!r} has no tab between the clip and its caption'
        )
  elif kind == '.csv':
    rows = list(csv.DictReader(io.StringIO(text, newline='')))
  elif kind == '.json':
    try:
      loaded = json.loads(text)
    except json.JSONDecodeError as error:
      raise errors.DataError(f'{path}: is not JSON: {error}') from error
    if isinstance(loaded, dict):
      loaded = [{'clip': k, 'caption': v} for k, v in loaded.items()]
    rows = loaded if isinstance(loaded, list) else [loaded]
  else:
    raise errors.DataError(
      f'{path}: captions are a .csv, .json or .txt file, not {kind or "this"}'
    )
  return rows
