"""The words of docstrings and pages are those of the field."""

import ast
from collections.abc import Iterator
import functools
import pathlib
import re

_ROOT = pathlib.Path(__file__).parents[1]

# `name: of the task` does not say what `name` is.
_ENTRY = re.compile(r'\*{0,2}\w+: (of|likewise)\b')
_SECTIONS = ('Args:', 'Attributes:')

# Words that readers would have to translate, and what to write.
_DIALECT = {
  r'figures?': 'metric, or measurement',
  r'goes on from': 'resumes from',
  r'(made|make|makes|making) (it |them )?larger': 'upscaled',
  r'number of the host': 'process index',
  r'(is|are) told(?! apart)': 'reported, or given',
  r'says? so at once': 'reported immediately',
  r'so many': 'the name of the number',
  r'(a straight|one) story': 'a description',
  r'[Aa]imed at': 'target',
  r'speaks? for all': 'reports',
}
_ALLOWED = ('media/data_uris.py',)  # Figures of matplotlib.


@functools.cache
def _docstrings(path: pathlib.Path) -> list[tuple[int, str]]:
  """The first line's number and the text of every docstring."""
  found = []
  for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
      text = ast.get_docstring(node)
      if text:
        found.append((node.body[0].lineno, text))
  return found


def _offences(text: str) -> Iterator[tuple[int, str]]:
  """Yields the line's number, from 0, and the fault of lines of a docstring."""
  in_section = False
  for number, line in enumerate(text.split('\n')):
    if number == 0 and re.match(r'Of\b', line):
      yield number, 'begins with "Of"'
    if line and not line.startswith(' '):
      in_section = line in _SECTIONS
    elif in_section and re.match(r'  \S', line) and _ENTRY.match(line.strip()):
      yield number, 'does not say what the entry is'


def dialect(line: str) -> str:
  """Says which word of a line to replace, '' if there is none."""
  for pattern, better in _DIALECT.items():
    found = re.search(rf'\b{pattern}\b', line)
    if found:
      return f'{found[0]!r}; write {better!r}'
  return ''


def _sources() -> list[pathlib.Path]:
  paths = sorted((_ROOT / 'videopoet_jax').rglob('*.py'))
  return list(paths)


def test_entries_say_what_they_are():
  wrong = [
    f'{path.relative_to(_ROOT)}:{first + number}: {fault}'
    for path in _sources()
    for first, text in _docstrings(path)
    for number, fault in _offences(text)
  ]
  assert not wrong, '\n'.join(wrong)


def test_words_of_the_field():
  pages = [*_ROOT.glob('*.md'), *(_ROOT / 'docs').glob('*.md')]
  texts = [(page, 1, page.read_text(encoding='utf-8')) for page in pages]
  texts += [
    (path, first, text)
    for path in _sources()
    if not path.as_posix().endswith(_ALLOWED)
    for first, text in _docstrings(path)
  ]
  wrong = [
    f'{path.relative_to(_ROOT)}:{first + number}: {fault}'
    for path, first, text in texts
    for number, line in enumerate(text.split('\n'))
    if (fault := dialect(line))
  ]
  assert not wrong, '\n'.join(wrong)


def test_faults_are_found():
  text = 'Of the weights.\n\nArgs:\n  name: of the task.\n  size: bytes.'
  assert [number for number, _ in _offences(text)] == [0, 3]
  assert 'resumes from' in dialect('The run goes on from step 3.')
  assert not dialect('Time goes on.')
