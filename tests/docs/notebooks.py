"""Runs the notebooks of docs/notebooks in a kernel, as a reader does.

  python -m tests.docs.notebooks film MODEL_STEPS=300

runs one (or several) and keeps what it shows (`make notebooks`). Its first code
cell holds the parameters; what is given here takes their place for the run, and
the file keeps its own. The working directory is the repository's root.
"""

import ast
from collections.abc import Mapping, Sequence
import os
import pathlib
import subprocess
import sys
from typing import Any

import nbclient
import nbformat

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / 'docs' / 'notebooks'
# Bytes of all that a notebook shows.
MOST = 300_000


def read(path: str | os.PathLike[str]) -> nbformat.NotebookNode:
  """A notebook of a file."""
  return nbformat.read(path, as_version=4)


def code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
  """Its code cells."""
  return [cell for cell in notebook.cells if cell.cell_type == 'code']


def with_parameters(source: str, values: Mapping[str, Any]) -> str:
  """The source of a cell of assignments, some values replaced.

  Raises:
    KeyError: a name is not assigned there.
  """
  lines, left = source.splitlines(), dict(values)
  for statement in reversed(ast.parse(source).body):
    if not isinstance(statement, ast.Assign):
      continue
    (target,) = statement.targets
    if isinstance(target, ast.Name) and target.id in left:
      line = f'{target.id} = {left.pop(target.id)!r}'
      lines[statement.lineno - 1 : statement.end_lineno] = [line]
  if left:
    raise KeyError(f'the first cell does not assign {", ".join(left)}')
  return '\n'.join(lines)


def run(
  notebook: nbformat.NotebookNode,
  folder: str | os.PathLike[str],
  values: Mapping[str, Any],
) -> None:
  """Runs all cells in a new kernel; their outputs are those of this run.

  A cell that raises is an error, unless it is tagged `raises-exception`.

  Args:
    notebook: changed in place, but for its parameters.
    folder: the kernel's working directory.
    values: parameters.
  """
  first = code(notebook)[0]
  written = first.source
  first.source = with_parameters(written, values)
  paths = [str(ROOT), os.environ.get('PYTHONPATH', '')]
  environment = {
    **os.environ,
    'PYTHONPATH': os.pathsep.join(filter(None, paths)),
    # Tests have eight fake devices, which only cost time here.
    'XLA_FLAGS': '',
  }
  client = nbclient.NotebookClient(
    notebook,
    timeout=7200,
    startup_timeout=600,
    resources={'metadata': {'path': str(folder)}},
  )
  try:
    # What is shown is caught; the kernel itself warns of its sockets.
    client.execute(env=environment, stderr=subprocess.DEVNULL)
  finally:
    first.source = written
  clean(notebook)


def clean(notebook: nbformat.NotebookNode) -> None:
  """Takes out what differs from run to run and says nothing."""
  notebook.metadata = {
    'kernelspec': {
      'display_name': 'Python 3', 'language': 'python', 'name': 'python3',
    },
    'language_info': {'name': 'python'},
  }  # fmt: skip
  for number, cell in enumerate(notebook.cells):
    cell.id = f'cell-{number}'
    cell.metadata.pop('execution', None)
    for output in cell.get('outputs', ()):
      if output.output_type == 'error':
        output.traceback = [line for line in output.traceback if line]


def texts(notebook: nbformat.NotebookNode) -> list[str]:
  """All that the outputs hold: what was written, shown and raised."""
  found: list[str] = []
  for cell in code(notebook):
    for output in cell.outputs:
      found += [output.get('text', ''), *output.get('traceback', ())]
      found += [str(shown) for shown in output.get('data', {}).values()]
  return [text for text in found if text]


def main(arguments: Sequence[str]) -> None:
  """Runs the notebooks named with the parameters given, `NAME=VALUE` each."""
  names = [one for one in arguments if '=' not in one]
  given = [one.partition('=') for one in arguments if '=' in one]
  values = {name: ast.literal_eval(value) for name, _, value in given}
  for name in names or [path.stem for path in sorted(FOLDER.glob('*.ipynb'))]:
    path = FOLDER / f'{name}.ipynb'
    notebook = read(path)
    known = {
      target.id
      for statement in ast.parse(code(notebook)[0].source).body
      if isinstance(statement, ast.Assign)
      for target in statement.targets
      if isinstance(target, ast.Name)
    }
    mine = {key: value for key, value in values.items() if key in known}
    if len(names) == 1 and len(mine) < len(values):
      raise KeyError(f'{name} has no {", ".join(values.keys() - mine.keys())}')
    run(notebook, ROOT, mine)
    nbformat.write(notebook, path)
    size = sum(map(len, texts(notebook)))
    print(f'{path.relative_to(ROOT)}: {size / 1000:.0f} kB shown')


if __name__ == '__main__':
  main(sys.argv[1:])
