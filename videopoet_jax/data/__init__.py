"""Data: sources, preprocessors, registry and the embedded data set."""

from typing import Any

from videopoet_jax.core import tensorflow_notices

tensorflow_notices.install()


def __getattr__(name: str) -> Any:
  """Imports `register` of `layout_tasks` when it is first requested.

  It needs TensorFlow and SeqIO, which other imports from here do not.
  """
  if name == 'register':
    from videopoet_jax.data import layout_tasks

    return layout_tasks.register
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
