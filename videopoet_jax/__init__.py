"""VideoPoet in JAX: a language model that writes video and sound.

  import videopoet_jax as vp

  model = vp.load('demo')
  clip, = model.generate('text_to_video', text='a red circle moves right')
  clip.save('a.mp4')

Importing it imports neither JAX nor TensorFlow: a name is imported when it is
first asked for.
"""

import importlib
from typing import Any

__version__ = '0.1.0'

# Name -> where it is.
_PUBLIC = {
  'Clip': ('videopoet_jax.inference.clips', 'Clip'),
  'Model': ('videopoet_jax.inference.pipeline', 'Model'),
  'load': ('videopoet_jax.inference.pipeline', 'load'),
}

__all__ = ['__version__', *_PUBLIC]


def __getattr__(name: str) -> Any:
  if name not in _PUBLIC:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  module, attribute = _PUBLIC[name]
  found = getattr(importlib.import_module(module), attribute)
  globals()[name] = found
  return found


def __dir__() -> list[str]:
  return sorted({*globals(), *_PUBLIC})
