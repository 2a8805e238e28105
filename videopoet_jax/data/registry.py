"""Reads the tasks of a run from gin files and registers them with SeqIO.

A task file binds `Task` under the task's name as a scope:

    text_to_video/Task.template = 'text_to_video'
    text_to_video/Task.drop = {'text': 0.1}

gin is lazy, so a file that is only included registers nothing: a run lists its
tasks, in gin (`load_tasks.tasks = ['text_to_video', 'my/task.gin']`) or with
`--task_file`. A user's file may define a task of its own and name preprocessors
of the user's own module (import paths are also looked up in the folder of the
file). `docs/design.md` explains what follows from a template.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
import contextlib
import dataclasses
import importlib
import pathlib
from typing import Any

import gin
import gin.config_parser
import seqio
import tensorflow as tf

from videopoet_jax.core import bindings as bindings_lib
from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import paths
from videopoet_jax.core import storage
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.core import types
from videopoet_jax.core import vocabulary as vocabulary_lib
from videopoet_jax.data import preprocessors as preprocessors_lib
from videopoet_jax.data import source as source_lib
from videopoet_jax.data import task as task_lib

Task = task_lib.Task

_REGISTERED: dict[str, tuple[Any, ...]] = {}


# Task files.


@gin.configurable('load_tasks')
def _listed(tasks: Sequence[str] = ()) -> tuple[str, ...]:
  """Tasks listed in gin. Separate, since gin adds lines to errors of calls."""
  return tuple(tasks)


def load_tasks(
  task_files: Iterable[str] = (), tasks: Sequence[str] | None = None
) -> tuple[Task, ...]:
  """The tasks of a run, in the order listed, each name once.

  Bindings that gin already holds are kept, so that
  `--gin.text_to_video/Task.rate=2`, parsed before, overrides the file.

  Args:
    task_files: names of shipped tasks (`text_to_video`), include strings or
      paths; the `--task_file` flags.
    tasks: names, include strings or paths; `load_tasks.tasks` of gin if not
      given.

  Returns:
    The tasks.

  Raises:
    ConfigError: a file is missing, defines no task, or one that is already
      listed.
  """
  loaded: dict[str, tuple[Task, pathlib.Path]] = {}
  tasks = _listed() if tasks is None else tasks
  for listed in (*tasks, *task_files):
    path = _task_file(str(listed))
    for name in _read(path):
      if name in loaded:
        raise errors.ConfigError(
          f'task {name!r} is defined twice: in {loaded[name][1]} and in '
          f'{path}; rename one (its scope), or list it once.'
        )
      loaded[name] = (_instantiate(name, path), path)
  return tuple(task for task, _ in loaded.values())


def at_least(
  tasks: Sequence[Task], minimum: Mapping[str, float]
) -> tuple[Task, ...]:
  """Returns the tasks with further least values of scalar features.

  Args:
    tasks: tasks of a run.
    minimum: see `Task.minimum`; the larger value counts if the task has one for
      the same feature.

  Raises:
    ConfigError: it is not a mapping of names to numbers.
  """
  if not isinstance(minimum, Mapping) or not all(
    isinstance(name, str)
    and isinstance(least, (int, float))
    and not isinstance(least, bool)
    for name, least in minimum.items()
  ):
    raise errors.ConfigError(
      f'prefix_lm.minimum is {minimum!r}; expected names of numeric features '
      "with their least values: {'quality': 0.5}."
    )
  found = []
  for task in tasks:
    joined = dict(task.minimum)
    for name, least in minimum.items():
      joined[name] = max(least, joined.get(name, least))
    found.append(dataclasses.replace(task, minimum=joined))
  return tuple(found)


def _task_file(listed: str) -> pathlib.Path:
  if listed.endswith('.gin'):
    return paths.resolve(listed)
  shipped = {pathlib.PurePosixPath(f).stem: f for f in paths.task_files()}
  if listed not in shipped:
    hint = errors.near_names(listed, shipped)
    raise errors.ConfigError(
      f'there is no task {listed!r}{hint}. A task of your own is listed by the '
      'path of its file, which ends in .gin.'
    )
  return paths.resolve(shipped[listed])


def _read(path: pathlib.Path) -> list[str]:
  """Parses a task file, keeps earlier bindings, returns the tasks in it."""
  statements = []
  try:
    with path.open() as lines, paths.importable(path.parent):
      parser = gin.config_parser.ConfigParser(lines, _Unresolved())
      statements = [s for s in parser if hasattr(s, 'arg_name')]
      kept = {}
      for statement in statements:
        scope = f'{statement.scope}/' if statement.scope else ''
        key = f'{scope}{statement.selector}.{statement.arg_name}'
        with contextlib.suppress(ValueError):
          kept[key] = gin.query_parameter(key)
      with gin.unlock_config():
        gin.parse_config_file(str(storage.absolute(path)))
        for key, value in kept.items():
          gin.bind_parameter(key, value)
      bindings_lib.check_types()
  except (ValueError, SyntaxError, OSError, ImportError) as error:
    reason = ' '.join(str(error).split())
    raise errors.ConfigError(f'{path} cannot be read: {reason}') from error
  names = dict.fromkeys(
    s.scope for s in statements if s.selector.split('.')[-1] == 'Task'
  )
  if '' in names:
    raise errors.ConfigError(
      f"{path} binds Task without a scope; write the task's name before it: "
      'my_task/Task.template = ...'
    )
  if not names:
    raise errors.ConfigError(
      f'{path} defines no task: it binds no NAME/Task parameter.'
    )
  return list(names)


class _Unresolved(gin.config_parser.ParserDelegate):
  """Reads statements without resolving their references."""

  def configurable_reference(self, scoped_name: str, evaluate: bool) -> Any:
    return scoped_name, evaluate

  def macro(self, scoped_name: str) -> Any:
    return scoped_name


def _instantiate(name: str, path: pathlib.Path) -> Task:
  # A macro that holds a configurable is called in a scope of its own name, in
  # which the task's bindings would not be found: it stays unresolved.
  with gin.config_scope(None), gin.config_scope(name):
    try:
      return Task(name=name, folder=str(storage.absolute(path.parent)))
    except errors.UserError as error:
      # gin appends lines about its own call.
      raise errors.ConfigError(str(error).split('\n')[0]) from None
    except (TypeError, ValueError, AttributeError) as error:
      reason = ' '.join(str(error).split())
      raise errors.ConfigError(f'task {name!r} of {path}: {reason}') from error


def resolve_function(
  named: str | Callable[..., Any], task: Task, field: str
) -> Callable[..., Any]:
  """Returns a function given by itself or by its import path.

  Raises:
    ConfigError: there is no such module or function.
  """
  if callable(named):
    return named
  module_name, _, function_name = str(named).replace(':', '.').rpartition('.')
  where = f'{task.name}/Task.{field}: {named!r}'
  if not module_name:
    hint = errors.near_names(str(named), _public(preprocessors_lib))
    raise errors.ConfigError(
      f'{where} is no import path (module.function); ours are in '
      f'videopoet_jax.data.preprocessors{hint}.'
    )
  try:
    with paths.importable(task.folder):
      module = importlib.import_module(module_name)
  except ImportError as error:
    raise errors.ConfigError(
      f'{where}: the module {module_name!r} cannot be imported ({error}); put '
      f'it beside the task file or on the PYTHONPATH.'
    ) from error
  function = getattr(module, function_name, None)
  if not callable(function):
    hint = errors.near_names(function_name, _public(module))
    raise errors.ConfigError(
      f'{where}: {module.__name__} has no function {function_name!r}{hint}.'
    )
  return function


def _public(module: Any) -> list[str]:
  return [
    name
    for name, value in vars(module).items()
    if callable(value) and not name.startswith('_')
  ]


# Layouts.


def space_for(
  tasks: Sequence[Task], space: tasks_lib.LayoutSpace
) -> tasks_lib.LayoutSpace:
  """Returns the space with the templates of these tasks and no others.

  Task tokens of the tasks' own join the vocabulary.

  Raises:
    LayoutError: two tasks have one name.
    ConfigError: a task names an unknown template.
  """
  templates = tuple(task.layout_template() for task in tasks)
  tokens = (template.task_token for template in templates)
  own = (f'<task:{t}>' for t in tokens if t not in vocabulary_lib.TASK_TOKENS)
  vocabulary = dataclasses.replace(
    space.vocabulary,
    extra_special=tuple(dict.fromkeys((*space.vocabulary.extra_special, *own))),
  )
  return dataclasses.replace(space, vocabulary=vocabulary, templates=templates)


def layout_names(
  tasks: Sequence[Task],
  space: tasks_lib.LayoutSpace,
  frames: int,
  height: int,
  width: int,
) -> tuple[str, ...]:
  """Names of all layouts of all tasks at one clip size."""
  return tuple(
    name
    for task in tasks
    for name in task.layout_names(space, frames, height, width)
  )


def by_name(tasks: Sequence[Task], name: str) -> Task:
  """The task of that name; raises ConfigError with near names if unknown."""
  known = {task.name: task for task in tasks}
  if name not in known:
    hint = errors.near_names(name, known)
    raise errors.ConfigError(f'this run has no task {name!r}{hint}.')
  return known[name]


# SeqIO.


def register(
  task: Task,
  layouts: Sequence[layout_lib.SequenceLayout],
  text: str = preprocessors_lib.BYTES,
) -> seqio.Task:
  """Registers a task with SeqIO; repeating it changes nothing.

  Args:
    task: the definition.
    layouts: the task's layouts in this run; they determine the features, their
      ranks, and the number of text slots.
    text: the text tokenizer, `bytes` or the path of a SentencePiece model; or
      `embeddings` if the data hold those.

  Returns:
    The SeqIO task. It reads `task.directory`; a run sets another source.

  Raises:
    ConfigError: the name is registered with another definition, a preprocessor
      does not exist, or a feature to be dropped is not a condition.
    DataError: the text tokenizer does not match the vocabulary.
  """
  vocabulary = preprocessors_lib.text_vocabulary(text)
  features = _output_features(layouts, vocabulary, text)
  slots = {s.size for la in layouts for s in la.filled() if s.feature == 'text'}
  definition = (task, text, tuple(features), tuple(sorted(slots)))
  if task.name in _REGISTERED:
    if _REGISTERED[task.name] == definition:
      return seqio.TaskRegistry.get(task.name)
    if _REGISTERED[task.name][0] == task:
      _forget(task.name)  # The same task, for other layouts.
  if task.name in seqio.TaskRegistry.names():
    raise errors.ConfigError(
      f'a task {task.name!r} is registered already, with another definition; '
      'rename yours (the scope in its gin file).'
    )
  steps = preprocessing(task, layouts, text)
  registered = seqio.TaskRegistry.add(
    task.name,
    source=source_lib.IndexedSource(
      task.directory,
      stream=task.name,
      selection=selection(task),
      splits=() if task.directory else ('train', 'validation'),
    ),
    preprocessors=steps,
    output_features=features,
    shuffle_buffer_size=None,
  )
  _REGISTERED[task.name] = definition
  return registered


def preprocessing(
  task: Task,
  layouts: Sequence[layout_lib.SequenceLayout],
  text: str = preprocessors_lib.BYTES,
) -> list[Callable[..., tf.data.Dataset]]:
  """Returns the steps that make a task's features from its records.

  Args:
    task: the definition.
    layouts: layouts of the task; those with text give the number of slots.
    text: see `register`.

  Returns:
    The task's own preprocessors, then the text tokenizer if a layout has text.

  Raises:
    ConfigError: a preprocessor does not exist, or a feature to be dropped is
      not a condition.
    DataError: the text tokenizer cannot be read.
  """
  _check_dropped(task)
  steps = [
    resolve_function(step, task, 'preprocessors') for step in task.preprocessors
  ]
  slots = {s.size for la in layouts for s in la.filled() if s.feature == 'text'}
  if not slots:
    return steps
  if text == preprocessors_lib.EMBEDDINGS:
    return [*steps, preprocessors_lib.embedded_text(max(slots))]
  vocabulary = preprocessors_lib.text_vocabulary(text)
  return [*steps, preprocessors_lib.tokenize_text(vocabulary, max(slots))]


def selection(task: Task) -> source_lib.Selection:
  """The records of a task; raises ConfigError if its predicate is unknown."""
  predicate = task.predicate
  if predicate is not None:
    predicate = resolve_function(predicate, task, 'predicate')
  return source_lib.Selection(task.minimum, predicate)


def _check_dropped(task: Task) -> None:
  """Raises ConfigError if `Task.drop` names a feature that is no condition."""
  conditions = task.layout_template().conditions
  for feature, _ in task.drop:
    if feature not in conditions:
      raise errors.ConfigError(
        f'{task.name}/Task.drop names {feature!r}, which is no condition of '
        f'the task{errors.near_names(feature, conditions)}.'
      )


def _output_features(
  layouts: Sequence[layout_lib.SequenceLayout],
  vocabulary: seqio.Vocabulary,
  text: str,
) -> Mapping[str, seqio.Feature]:
  """Every feature of these layouts, with its rank and vocabulary.

  None is required by SeqIO: variants of a task leave parts out, and the feature
  converter knows the needs of its layout.
  """
  features = {}
  for layout in layouts:
    for segment, fill in zip(layout.filled(), layout.fills, strict=True):
      run = next(r for r in layout.runs if r.segment == segment.name)
      ids: seqio.Vocabulary = seqio.PassThroughVocabulary(run.range.size)
      if segment.modality is types.Modality.TEXT:
        ids = vocabulary
        if vocabulary.vocab_size > run.range.size:
          raise errors.DataError(
            f'the text tokenizer {text!r} has {vocabulary.vocab_size} ids, the '
            f'vocabulary room for {run.range.size}; set '
            f'Vocabulary.text_size={vocabulary.vocab_size}.'
          )
      features[fill.feature] = seqio.Feature(
        ids,
        add_eos=False,
        required=False,
        dtype=tf.int32,
        rank=len(segment.shape),
      )
  return dict(sorted(features.items()))


def _forget(name: str) -> None:
  seqio.TaskRegistry.remove(name)
  del _REGISTERED[name]


def reset() -> None:
  """Unregisters all tasks registered here, for tests."""
  for name in tuple(_REGISTERED):
    _forget(name)
