"""What the shell makes of the pages' commands, without running programs."""

import os
import pathlib
import subprocess

from tests.docs import snippets

# Notes how many words it was given, and the words.
_NOTE = '#!/bin/bash\nprintf \'%s\\0\' $(($# + 1)) "{name}" "$@" >>"$NOTES"\n'


def commands(page: str, folder: pathlib.Path) -> list[list[str]]:
  """Command lines of a page's shell blocks, expanded by bash.

  All blocks of a page are one script: later ones use variables of earlier ones.
  Nothing is on the PATH but stand-ins that note their arguments; any other
  program is not found, and the script goes on.

  Args:
    page: its path.
    folder: an empty one to run in.

  Returns:
    The words of each command: `videopoet` and its arguments, also where it is
    what a launcher starts; `python -m videopoet_jax...` likewise.
  """
  programs = folder / 'programs'
  launchers = [f'launch/{p.name}' for p in (snippets.ROOT / 'launch').iterdir()]
  for name, place in {
    'videopoet': programs / 'videopoet',
    'python': programs / 'python',
    '.venv/bin/videopoet': folder / '.venv' / 'bin' / 'videopoet',
    **{name: folder / name for name in launchers},
  }.items():
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(_NOTE.format(name=name))
    place.chmod(0o755)
  script = '\n'.join(
    block.text
    for block in snippets.of_page(page)
    if block.language in snippets.SHELL
  )
  notes = folder / 'notes'
  notes.touch()
  checked = subprocess.run(
    ['/bin/bash', '-n', '-c', script], capture_output=True, text=True
  )
  assert not checked.stderr, f'{page}: {checked.stderr}'
  subprocess.run(
    ['/bin/bash', '-c', script],
    cwd=folder,
    env={'PATH': os.fspath(programs), 'NOTES': os.fspath(notes)},
    stdin=subprocess.DEVNULL,
    capture_output=True,
    timeout=60,
  )
  return [_inner(words) for words in _read(notes.read_text())]


def _read(notes: str) -> list[list[str]]:
  words = notes.split('\0')[:-1]
  found = []
  while words:
    end = int(words[0]) + 1
    found.append(words[1:end])
    words = words[end:]
  return found


def _inner(words: list[str]) -> list[str]:
  """What a launcher starts; the program's name without its folder."""
  if words[0].startswith('launch/') and 'videopoet' in words:
    words = words[words.index('videopoet') :]
  return [words[0].removeprefix('.venv/bin/'), *words[1:]]
