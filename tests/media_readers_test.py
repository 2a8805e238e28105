"""There is one reader and writer of media: nothing outside opens such files."""

import ast
import pathlib
import subprocess
import sys

import videopoet_jax

_PACKAGE = pathlib.Path(videopoet_jax.__file__).parent
_LIBRARIES = {'av', 'wave', 'cv2', 'imageio', 'soundfile'}


def _opens_media(source: str) -> list[str]:
  found = []
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      found += [
        a.name for a in node.names if a.name.split('.')[0] in _LIBRARIES
      ]
    elif isinstance(node, ast.ImportFrom):
      module = (node.module or '').split('.')[0]
      found += [module] if module in _LIBRARIES else []
    elif isinstance(node, ast.Attribute) and node.attr == 'open':
      if isinstance(node.value, ast.Name) and node.value.id == 'Image':
        found.append('Image.open')
  return found


def test_only_media_opens_files_of_media():
  found = {
    str(path.relative_to(_PACKAGE)): _opens_media(path.read_text())
    for path in _PACKAGE.rglob('*.py')
  }
  others = {
    name: what
    for name, what in found.items()
    if what and not name.startswith('media/')
  }
  assert not others
  assert found['media/containers.py'] and found['media/pictures.py']


def test_reading_media_needs_neither_tensorflow_nor_jax():
  code = (
    'import sys\n'
    'from videopoet_jax.media import data_uris, files, pictures, sound, video\n'
    "assert not {'tensorflow', 'jax'} & set(sys.modules)"
  )
  subprocess.run([sys.executable, '-c', code], cwd=_PACKAGE.parent, check=True)
