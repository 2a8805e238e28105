"""Code blocks of docstrings: two spaces in the source, four in Markdown."""

import textwrap
from typing import Any

import griffe


class CodeBlocks(griffe.Extension):
  """Makes blocks of code of what docstrings indent, and of doctests."""

  def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
    if obj.docstring:
      obj.docstring.value = with_blocks(obj.docstring.value)

  def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
    self.on_object(obj=pkg)


def with_blocks(text: str) -> str:
  """Indents blocks of code as Markdown wants it.

  A block is a paragraph that begins indented or with a doctest's prompt. A
  section (`Args:` and so on) begins with its heading, so it is none.
  """
  first, *others = text.split('\n\n')
  paragraphs = [first]
  for paragraph in others:
    spaces = len(paragraph) - len(paragraph.lstrip(' '))
    is_code = spaces or paragraph.startswith('>>> ')
    more = max(0, 4 - spaces) if is_code else 0
    paragraphs.append(textwrap.indent(paragraph, ' ' * more))
  return '\n\n'.join(paragraphs)
