"""Reads blocks of code out of the pages."""

import dataclasses
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
# README.md, CONTRIBUTING.md and the like, then docs/.
PAGES = tuple(
  path.relative_to(ROOT).as_posix()
  for folder in (ROOT, ROOT / 'docs')
  for path in sorted(folder.glob('*.md'))
)
SHELL = ('sh', 'bash')

_FENCE = re.compile(r' *```(\w*)')
_NOT_RUN = re.compile(r'<!-- snippet: not run: (\S.*) -->')


@dataclasses.dataclass(frozen=True)
class Snippet:
  """A fenced block."""

  page: str
  line: int  # of the fence, from 1
  language: str
  text: str
  not_run: str  # why, by the comment above the fence; '' if it is run

  @property
  def code(self) -> str:
    """The text behind so many empty lines that errors name the page's."""
    return '\n' * self.line + self.text


def read(page: str) -> str:
  """The text of a page."""
  return (ROOT / page).read_text()


def of_page(page: str) -> list[Snippet]:
  """The blocks of a page in their order."""
  return blocks(page, read(page))


def blocks(page: str, text: str) -> list[Snippet]:
  """The blocks of a page's text."""
  found = []
  lines = text.splitlines()
  start = None
  for number, line in enumerate(lines):
    fence = _FENCE.match(line)
    if not fence:
      continue
    if start is None:
      start, language = number, fence[1]
      continue
    above = _NOT_RUN.fullmatch(lines[start - 1].strip()) if start else None
    inside = '\n'.join(lines[start + 1 : number])
    reason = above[1] if above else ''
    found.append(Snippet(page, start + 1, language, inside, reason))
    start = None
  if start is not None:
    raise ValueError(f'{page} line {start + 1}: the block has no end')
  return found


def pages_with(*languages: str) -> list[str]:
  """Pages that hold a block of one of the languages."""
  return [
    page
    for page in PAGES
    if any(block.language in languages for block in of_page(page))
  ]
