"""Data: sources, preprocessors, registry and the embedded data set."""

from typing import Any

from videopoet_jax.core import tensorflow_notices

tensorflow_notices.install()


def __getattr__(name: str) -> Any:
  """`register` of `layout_tasks`, imported when it is asked for.

  It needs TensorFlow and SeqIO, which not all that is imported from here does.
  """
  if name == 'register':
    from videopoet_jax.data import layout_tasks

    return layout_tasks.register
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
