"""What `make docs` needs, as far as it can be told without building a site."""

import pathlib
import re
import runpy

from packaging import requirements
import pytest
import setuptools

from tests.docs import snippets


@pytest.mark.parametrize('page', snippets.PAGES)
def test_the_navigation_holds_every_page(repository, page):
  navigation = (repository / 'mkdocs.yml').read_text().split('\nnav:')[1]
  name = re.escape(page.removeprefix('docs/'))
  assert re.search(rf'[-:] {name}$', navigation, re.MULTILINE)


def _pinned(file: pathlib.Path) -> dict[str, str]:
  """Versions by name, as pip compares names."""
  found = re.findall(r'^([\w.-]+)==(\S+)$', file.read_text(), re.MULTILINE)
  return {re.sub(r'[-_.]+', '-', name).lower(): at for name, at in found}


def test_what_the_site_is_built_with_is_pinned(repository, monkeypatch):
  given = {}
  monkeypatch.setattr(setuptools, 'setup', given.update)
  monkeypatch.chdir(repository)
  runpy.run_path('setup.py')
  pinned = _pinned(repository / 'constraints' / 'docs.txt')
  for line in given['extras_require']['docs']:
    needed = requirements.Requirement(line)
    assert needed.specifier.contains(pinned[needed.name]), line


def test_shared_packages_have_one_version(repository):
  docs = _pinned(repository / 'constraints' / 'docs.txt')
  for file in (repository / 'constraints').glob('py*.txt'):
    other = _pinned(file)
    shared = docs.keys() & other.keys()
    assert {n: docs[n] for n in shared} == {n: other[n] for n in shared}
