"""Reads captions files and matches them with media files."""

from collections.abc import Mapping, Sequence
import csv
import dataclasses
import io
import json
import pathlib
from typing import Any

from videopoet_jax.core import errors
from videopoet_jax.data.media import clips


@dataclasses.dataclass(frozen=True)
class Captions:
  """Captions by source (`folder/a.mp4`) and by clip (`folder/a.mp4#00002`)."""

  texts: Mapping[str, str] = dataclasses.field(default_factory=dict)

  def of(self, clip: clips.Clip) -> str:
    """The clip's own caption, else its file's, else an empty text."""
    return self.texts.get(clip.clip_id) or self.texts.get(clip.source, '')


def read_captions(path: pathlib.Path, sources: Sequence[str]) -> Captions:
  """Reads captions and matches them with the files.

  A name is a source (`folder/a.mp4`), a file's name or its stem where only
  one file has it, each also followed by `#` and the number of a clip.

  Args:
    path: `.csv` with a header `clip,caption`; `.json`, an object from names to
      captions or a list of objects with `clip` and `caption`; or `.txt`, lines
      of a name, a tab and a caption.
    sources: the names that `find_files` gave.

  Returns:
    Captions by full source or clip names.

  Raises:
    DataError: the file cannot be read or names a file that is not there.
  """
  names: dict[str, list[str]] = {}
  for source in sources:
    pure = pathlib.PurePosixPath(source)
    for name in {source, pure.name, pure.stem, str(pure.with_suffix(''))}:
      names.setdefault(name, []).append(source)
  texts, missing = {}, []
  for name, text in _read_pairs(path):
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
    texts[f'{matches[0]}#{int(index):05d}' if index else matches[0]] = text
  if missing:
    shown = ', '.join(map(repr, missing[:5]))
    shown += f' and {len(missing) - 5} more' if len(missing) > 5 else ''
    raise errors.DataError(
      f'{path}: names {shown}, not among the {len(sources)} input files'
      f'{errors.near_names(missing[0], list(sources)[:1000])}'
    )
  return Captions(texts)


def check_numbers(
  path: pathlib.Path, captions: Captions, most: Mapping[str, int]
) -> None:
  """Refuses captions of clips that a file is too short to have.

  Args:
    path: of the captions, for the message.
    captions: what was read from it.
    most: clips that a source may have at most; others are not looked at.

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


def _read_pairs(path: pathlib.Path) -> list[tuple[str, str]]:
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
  pairs = []
  for row in rows:
    entry = row if isinstance(row, dict) else {}
    clip, caption = entry.get('clip'), entry.get('caption')
    if not isinstance(clip, str) or not isinstance(caption, str):
      raise errors.DataError(
        f'{path}: each entry needs a "clip" and a "caption", both text; found '
        f'{row!r}'
      )
    pairs.append((clip.strip(), caption.strip()))
  return pairs
