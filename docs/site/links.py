"""Pages from the root of the repository, and links that leave docs/.

Pages are written for the repository's own view: `docs/metrics.md` in the
README, `../gin/models/8b.gin` in docs/. In the site README.md, CONTRIBUTING.md
and others of the root stand beside the pages of docs/, and what else a page
links to becomes a page that shows it. MkDocs calls the `on_` functions (`hooks`
in mkdocs.yml).
"""

from collections.abc import Callable
import pathlib
import posixpath
import re

from mkdocs.config import defaults
from mkdocs.structure import files as files_lib
from mkdocs.structure import pages as pages_lib

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_DOCS = 'docs/'
_SHOWN = 'repository/'
_FENCED = re.compile(r'^(```.*?^```)$', re.MULTILINE | re.DOTALL)
# `](target#anchor` and `[name]: target#anchor`; not `](#anchor` or `](https:`.
_LINK = re.compile(r'(\]\(|^\[[^\]\n]+\]: +)([\w./-]+)(?=[)#\s])', re.MULTILINE)


def on_files(
  files: files_lib.Files, config: defaults.MkDocsConfig
) -> files_lib.Files:
  """Adds the pages of the root and those of files that pages link to."""
  for path in sorted(_ROOT.glob('*.md')):
    files.append(
      files_lib.File(
        path.name, str(_ROOT), config.site_dir, config.use_directory_urls
      )
    )
  shown: set[str] = set()
  for file in files.documentation_pages():
    rewrite(file.content_string, file.src_uri, shown.add)
  for path in sorted(shown):
    page = page_of(path)
    files.append(files_lib.File.generated(config, page, content=show(path)))
  return files


def on_page_markdown(markdown: str, page: pages_lib.Page, **_: object) -> str:
  """Turns the repository's links into those of the site."""
  return rewrite(markdown, page.file.src_uri)


def rewrite(
  markdown: str, page: str, show: Callable[[str], object] = str
) -> str:
  """Rewrites relative links outside code.

  Args:
    markdown: Markdown of the page.
    page: the page's path within the site's sources.
    show: called with the path of each file to be shown by a page of its own.

  Returns:
    The Markdown; a link to nothing stays, for MkDocs to complain of.
  """
  here = posixpath.dirname(page if is_root(page) else _DOCS + page)

  def replace(match: re.Match[str]) -> str:
    path = posixpath.normpath(posixpath.join(here, match[2]))
    if not (_ROOT / path).exists():
      return match[0]
    target = page_of(path)
    if target.startswith(_SHOWN):
      show(path)
    return match[1] + posixpath.relpath(target, posixpath.dirname(page) or '.')

  parts = _FENCED.split(markdown)
  parts[::2] = [_LINK.sub(replace, part) for part in parts[::2]]
  return ''.join(parts)


def is_root(page: str) -> bool:
  """Whether a page is one of the repository's root."""
  return '/' not in page and (_ROOT / page).is_file()


def page_of(path: str) -> str:
  """Where the site holds a path of the repository."""
  if is_root(path) and path.endswith('.md'):
    return path
  if path.startswith(_DOCS) and (_ROOT / path).is_file():
    return path.removeprefix(_DOCS)
  return f'{_SHOWN}{path}.md'


def show(path: str) -> str:
  """A page that shows a file, or the names within a folder."""
  place = _ROOT / path
  if place.is_dir():
    names = sorted(p.name + '/' * p.is_dir() for p in place.iterdir())
    return f'# {path}\n\n' + ''.join(f'- {_listed(path, n)}\n' for n in names)
  language = 'gin' if place.suffix == '.gin' else place.suffix[1:]
  return f'# {path}\n\n````{language}\n{place.read_text().rstrip()}\n````\n'


def _listed(folder: str, name: str) -> str:
  """One line of a folder's page: a link if the site holds such a file."""
  target = page_of(f'{folder}/{name}')
  if target.startswith(_SHOWN):
    return f'`{name}`'
  here = posixpath.dirname(page_of(folder))
  return f'[{name}]({posixpath.relpath(target, here)})'
