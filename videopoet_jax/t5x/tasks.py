"""The run's layouts as SeqIO tasks, for T5X's inference and evaluation."""

import inspect
from typing import Any

import gin
import seqio

from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.data import layout_tasks
from videopoet_jax.data import registry
from videopoet_jax.experiments import prefix_lm
from videopoet_jax.t5x import experiment
from videopoet_jax.tokenizers import text as text_lib


def register() -> layout_tasks.Registered:
  """Registers the layouts of the run that gin binds.

  Raises:
    UserError: see `layout_tasks.register`.
  """
  # A macro that holds a configurable is called in a scope of its own name.
  with gin.config_scope(None):
    bound = gin.get_bindings(prefix_lm.prefix_lm)
    tasks = registry.load_tasks(bound.pop('task_files', ()))
  if 'tokens' not in bound:
    raise errors.ConfigError(
      'prefix_lm.tokens is required and still open: give a run file, such as '
      '--gin_file gin/runs/media_prefix_lm.gin, and --gin.TOKENS.'
    )
  if bound.get('text_embeddings'):
    raise errors.ConfigError(
      'prefix_lm.text_embeddings is True, and SeqIO examples hold ids alone; '
      'evaluate and generate with `videopoet`.'
    )
  taken = inspect.signature(layout_tasks.register).parameters
  settings = {name: value for name, value in bound.items() if name in taken}
  if 'text' in settings:
    settings['text'] = text_lib.find(settings['text'])
  found = layout_tasks.register(tasks=tasks, **settings)
  trained = experiment.current().trainable.space.vocabulary
  if found.space.vocabulary != trained:
    raise errors.ConfigError(
      f'the tasks are of the vocabulary {found.space.vocabulary}, the model of '
      f'{trained}; give both the same run file.'
    )
  return found


@gin.register
def registered(name: str = '') -> str:
  """Registers the run's layouts and returns the name of one.

  Args:
    name: a task or mixture, such as `videopoet:text_to_video:17x128x128`;
      the mixture of all unless given.

  Raises:
    ConfigError: there is no such task; the message lists near names.
  """
  found = register()
  known = (*found.tasks, *found.mixtures)
  name = name or found.everything
  if name not in known:
    hint = errors.near_names(name, known)
    raise errors.ConfigError(
      f'MIXTURE_OR_TASK_NAME is {name!r}, which the run does not have{hint}.'
    )
  return name


@gin.register
def evaluator(*, log_dir: str | None = None, **options: Any) -> seqio.Evaluator:
  """SeqIO's Evaluator; creates the folder that its loggers expect.

  Args:
    log_dir: folder of the metric files.
    **options: options of `seqio.Evaluator`.
  """
  if log_dir:
    storage.path(log_dir).mkdir(parents=True, exist_ok=True)
    options['log_dir'] = log_dir
  return seqio.Evaluator(**options)
