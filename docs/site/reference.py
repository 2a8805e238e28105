"""Reference pages: the Python API, and one page a room of the package.

MkDocs calls the `on_` functions (`hooks` in mkdocs.yml). The pages are
directives of mkdocstrings, which reads docstrings from the source and imports
nothing.
"""

import ast
from collections.abc import Iterator
import pathlib

from mkdocs.config import defaults
from mkdocs.structure import files as files_lib

_PACKAGE = pathlib.Path(__file__).resolve().parents[2] / 'videopoet_jax'
_FOLDER = 'reference/'


def on_config(config: defaults.MkDocsConfig) -> defaults.MkDocsConfig:
  """Puts the pages in the place that the navigation keeps for them."""
  for section in config.nav or ():
    if list(section.values()) == [_FOLDER]:
      section.update({title: list(pages()) for title in section})
  return config


def on_files(
  files: files_lib.Files, config: defaults.MkDocsConfig
) -> files_lib.Files:
  """Adds the pages to those of docs/."""
  for path, text in pages().items():
    files.append(files_lib.File.generated(config, path, content=text))
  return files


def pages() -> dict[str, str]:
  """The Markdown of every page, by its path within the site."""
  found = {f'{_FOLDER}index.md': _api()}
  for room in rooms():
    page = f'---\ntitle: {room}\n---\n\n'
    page += directive(f'{_PACKAGE.name}.{room}', heading_level=1)
    found[f'{_FOLDER}{room}.md'] = page
  return found


def rooms() -> Iterator[str]:
  """Names of what stands directly in the package, private ones left out."""
  for path in sorted(_PACKAGE.iterdir()):
    module = path.suffix == '.py' or (path / '__init__.py').is_file()
    if module and not path.stem.startswith('_'):
      yield path.stem


def directive(name: str, **options: object) -> str:
  """Documents what has that dotted name."""
  lines = [f'::: {name}', '    options:']
  lines += [f'      {key}: {value}' for key, value in options.items()]
  return '\n'.join([*lines, '', ''])


def public_names() -> dict[str, str]:
  """What the package offers: name -> where it is, read from `_PUBLIC`."""
  source = _PACKAGE / '__init__.py'
  for node in ast.parse(source.read_text()).body:
    match node:
      case ast.Assign(targets=[ast.Name(id='_PUBLIC')]):
        table = ast.literal_eval(node.value)
        return {name: '.'.join(place) for name, place in table.items()}
  raise ValueError(f'{source} has no table _PUBLIC of its public names')


def _api() -> str:
  name = _PACKAGE.name
  page = '# Python API\n\n' + directive(
    name, members='false', show_root_heading='false', show_submodules='false'
  )
  for public, place in public_names().items():
    # The entry on the room's page is the one that other pages link to.
    page += directive(
      place,
      heading=f'{name}.{public}',
      toc_label=public,
      skip_local_inventory='true',
    )
  return page
