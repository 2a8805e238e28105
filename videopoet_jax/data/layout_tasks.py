"""Registers the layouts of token data sets as SeqIO tasks and mixtures.

SeqIO's own scripts take a module that registers them as
`--module_import=my_tasks`:

    # my_tasks.py
    from videopoet_jax import data

    data.register('data/tokens', tasks=['text_to_video', 'inpainting'])

After that `seqio.get_dataset('videopoet:all', ...)`, feature converters,
evaluators, mixtures of one's own and caching work as for any task:

| name | what it is |
|---|---|
| `videopoet:text_to_video:17x128x128` | task: one layout |
| `videopoet:length:1353` | mixture: the layouts of one total length |
| `videopoet:all` | mixture: all layouts |

Names in SeqIO may not contain `/`, `=` or `,`: `seqio_name` and `layout_name`
convert between the two.

Examples have `inputs` (the prefix) and `targets`, int32 ids of the unified
vocabulary, equal to those of our own batches. `visible`, bool for each position
of `inputs`, is False for text slots that are not used and for conditions that a
training example drops. It is an additional feature and not one of the task's
output features: SeqIO's Evaluator computes lengths of those, and a feature
converter refuses the length of a feature that it does not take. So `visible` is
not trimmed. A converter passes it on with `passthrough_features`, a mixture
with `Mixture.get_dataset(passthrough_features=['visible'])`. SeqIO's prefix-LM
converter by itself attends to all of `inputs`, and puts a 0 (`<pad>`) before
them where our model begins with their first id.

The last feature has no elements and is named after the layout, see
`layout_examples.LAYOUT`: T5X's trainer reads it; SeqIO's converters drop it.

`inputs` and `targets` of a cached task are those of the task. Which training
examples drop a condition depends on a seed, and SeqIO's caching script sets one
of its own.

Our own training loop does not read through these: see `docs/design.md`.
"""

from collections.abc import Mapping, Sequence
import contextlib
import dataclasses
import functools
from typing import Any

import seqio
import tensorflow as tf

from videopoet_jax.core import errors
from videopoet_jax.core import gin_state
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import storage
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.core import vocabulary as vocabulary_lib
from videopoet_jax.data import batches as batches_lib
from videopoet_jax.data import layout_examples
from videopoet_jax.data import layout_reader
from videopoet_jax.data import preprocessors as preprocessors_lib
from videopoet_jax.data import registry
from videopoet_jax.data import sets as sets_lib
from videopoet_jax.data import split_source
from videopoet_jax.data import token_metrics

PREFIX = 'videopoet'
INPUTS = layout_examples.INPUTS
TARGETS = layout_examples.TARGETS

# Definition behind each name, separately for tasks and mixtures.
_TASKS: dict[str, tuple[Any, ...]] = {}
_MIXTURES: dict[str, tuple[Any, ...]] = {}


def seqio_name(layout: str, prefix: str = PREFIX) -> str:
  """The SeqIO task of a layout.

  >>> seqio_name('image_to_video/17x128x128/first=1,text=0')
  'videopoet:image_to_video:17x128x128:first.1:text.0'

  Args:
    layout: name of the layout.
    prefix: prefix given to `register`.

  Raises:
    LayoutError: it is not the name of a layout.
  """
  tasks_lib.clip_of(layout)
  mapped = layout.replace('/', ':').replace(',', ':').replace('=', '.')
  return f'{prefix}:{mapped}'


def layout_name(name: str, prefix: str = PREFIX) -> str:
  """The layout of a SeqIO task, the inverse of `seqio_name`.

  Raises:
    LayoutError: it is not the name of such a task.
  """
  task, *rest = name.removeprefix(f'{prefix}:').split(':')
  size, options = rest[:1], ','.join(rest[1:]).replace('.', '=')
  layout = '/'.join([task, *size, *([options] if options else [])])
  with contextlib.suppress(errors.LayoutError):
    if seqio_name(layout, prefix) == name:
      return layout
  raise errors.LayoutError(
    f'{name!r} is not the task of a layout; expected one such as '
    f'{prefix}:text_to_video:17x128x128.'
  )


def shared_vocabulary(
  unified: vocabulary_lib.Vocabulary,
) -> seqio.PassThroughVocabulary:
  """Returns the vocabulary of all features of all tasks.

  Args:
    unified: the run's vocabulary.
  """
  return seqio.PassThroughVocabulary(
    unified.size, eos_id=unified.special('<eos>')
  )


@dataclasses.dataclass(frozen=True, repr=False)
class Registered:
  """The names that `register` added to SeqIO's registries.

  Attributes:
    space: vocabulary and grids, the same as of a training run.
    layouts: layouts, each of which is one task.
    tasks: names of the tasks, in the order of the layouts.
    groups: names of the mixtures of one total length, by that length.
    everything: name of the mixture of all tasks.
    rates: weight of each task among the draws of `everything`, in any unit.
    prefix: prefix of all names.
  """

  space: tasks_lib.LayoutSpace
  layouts: tuple[layout_lib.SequenceLayout, ...]
  tasks: tuple[str, ...]
  groups: Mapping[int, str]
  everything: str
  rates: Mapping[str, float]
  prefix: str = PREFIX

  def __repr__(self) -> str:
    names = ', '.join((*self.tasks, *self.mixtures))
    return f'Registered({names})'

  @property
  def mixtures(self) -> tuple[str, ...]:
    """Names of all mixtures."""
    return (*self.groups.values(), self.everything)

  def layout(self, name: str) -> layout_lib.SequenceLayout:
    """The layout of a task; raises ConfigError with near names if unknown."""
    if name not in self.tasks:
      hint = errors.near_names(name, self.tasks)
      raise errors.ConfigError(f'no task {name!r} was registered{hint}.')
    return self.layouts[self.tasks.index(name)]

  def lengths(self, name: str = '') -> dict[str, int]:
    """Lengths for `seqio.get_dataset` that cut nothing off.

    Args:
      name: name of a task or of a mixture, `everything` if not given.

    Returns:
      `inputs` and `targets`: the longest lengths of each.
    """
    name = name or self.everything
    names: Sequence[str] = [name]
    if name in self.mixtures:
      mixture = seqio.MixtureRegistry.get(name)
      names = [task.name for task in mixture.tasks]
    layouts = [self.layout(task) for task in names]
    return {
      INPUTS: max(layout.prefix_length for layout in layouts),
      TARGETS: max(layout.target_length for layout in layouts),
    }


def register(
  tokens: str | Sequence[str],
  tasks: Sequence[str | registry.Task] | None = None,
  *,
  layouts: Sequence[str] = (),
  clip: tuple[int, int, int] | None = None,
  text: str = preprocessors_lib.BYTES,
  text_slots: int = 64,
  text_size: int | None = None,
  weights: Mapping[str, float] | None = None,
  minimum: Mapping[str, float] | None = None,
  metric_fns: Sequence[token_metrics.MetricFn] | None = None,
  prefix: str = PREFIX,
) -> Registered:
  """Registers every layout of some tasks with SeqIO, and their mixtures.

  The same call again changes nothing. The layouts, their ids and the draws of
  dropped conditions are those of a training run with these settings
  (`prefix_lm` in gin has most under the same names).

  Args:
    tokens: directory of a token data set, or a list of several, each of one
      clip size (see `data.sets`).
    tasks: names of shipped tasks, paths of task files, or tasks; if not given,
      those that `load_tasks.tasks` of gin lists.
    layouts: names of layouts, all of the tasks if not given.
    clip: frames, height and width; those of the data sets if not given.
    text: the text tokenizer, `bytes` or the path of a SentencePiece model.
    text_slots: positions of text.
    text_size: ids that the vocabulary reserves for text; those of the text
      tokenizer if not given.
    weights: see `batches.layout_weights`. A mixture draws layouts in
      proportion, like our training loop. Where that draws a batch of a constant
      number of positions, SeqIO draws one example, so long layouts get more of
      the positions.
    minimum: least values of scalar features for all tasks.
    metric_fns: SeqIO metric functions of every task, replacing
      `token_metrics.metric_fns` of its layout; () for none.
    prefix: prefix of all names; use another one for another vocabulary.

  Returns:
    Names, layouts and vocabulary.

  Raises:
    ConfigError: a task is unknown, a setting is invalid, or a name is already
      registered with another definition.
    DataError: a data set is missing or does not fill a layout.
    LayoutError: a layout is unknown.
  """
  listed = _load(tasks)
  if minimum:
    listed = registry.at_least(listed, minimum)
  sets = sets_lib.open_sets(_absolute(tokens))
  space = sets_lib.make_space(
    sets.joint_info(),
    listed,
    text_size=_text_size(text, text_size),
    text_slots=text_slots,
  )
  sets_lib.check(listed, space, sets)
  names = tuple(layouts) or sets.layout_names(listed, space, clip)
  built = space.layouts(names)
  directories = sets.assign(listed, built)
  rates = batches_lib.layout_weights(listed, built, weights or {})
  found: dict[str, tuple[Any, ...]] = {}
  for layout in built:
    task = registry.by_name(listed, layout.task)
    if not task.preprocessors:
      layout_reader.check_directories(layout, directories[layout.name])
    fns = None if metric_fns is None else tuple(metric_fns)
    found[seqio_name(layout.name, prefix)] = (
      task, layout, directories[layout.name], text, fns,
    )  # fmt: skip
  by_task = {seqio_name(name, prefix): rate for name, rate in rates.items()}
  if not any(by_task.values()):
    raise errors.ConfigError(
      f'the weights of all layouts are 0: {dict(weights or {})}.'
    )
  groups = {
    f'{prefix}:length:{length}': [seqio_name(la.name, prefix) for la in group]
    for length, group in layout_lib.groups(built).items()
  }
  everything = f'{prefix}:all'
  mixtures = {
    name: tuple((member, by_task[member]) for member in members)
    for name, members in {**groups, everything: list(by_task)}.items()
  }
  # A mixture that never draws from anything does not exist.
  mixtures = {
    name: members
    for name, members in mixtures.items()
    if any(rate for _, rate in members)
  }
  _check_names(found, mixtures)
  for name, definition in found.items():
    if name not in seqio.TaskRegistry.names():
      _TASKS[name] = definition
      _add_task(name, *definition)
  for name, members in mixtures.items():
    if name not in seqio.MixtureRegistry.names():
      _MIXTURES[name] = members
      seqio.MixtureRegistry.add(
        name, [(task, rate) for task, rate in members if rate]
      )
  return Registered(
    space=space,
    layouts=built,
    tasks=tuple(found),
    groups={
      int(name.rsplit(':', 1)[1]): name for name in groups if name in mixtures
    },
    everything=everything,
    rates=by_task,
    prefix=prefix,
  )


def _load(
  tasks: Sequence[str | registry.Task] | None,
) -> tuple[registry.Task, ...]:
  """Returns the given tasks; reads those given by name from their files."""
  if isinstance(tasks, str):
    raise errors.ConfigError(
      f'tasks is the string {tasks!r}; expected a list: [{tasks!r}].'
    )
  if tasks is None:
    with gin_state.isolated():
      found = registry.load_tasks()
  else:
    loaded: list[registry.Task] = []
    for task in tasks:
      if isinstance(task, registry.Task):
        loaded.append(task)
      else:
        # What gin holds counts; it stays as it is.
        with gin_state.isolated():
          loaded += registry.load_tasks(tasks=[task])
    found = tuple(loaded)
  if not found:
    raise errors.ConfigError(
      "there is no task to register; give some: tasks=['text_to_video']."
    )
  return found


def _absolute(tokens: str | Sequence[str]) -> list[str]:
  """Makes directories absolute, whatever the working directory later."""
  listed = [tokens] if isinstance(tokens, str) else list(tokens)
  return [str(storage.absolute(directory)) for directory in listed]


def _text_size(text: str, asked: int | None) -> int:
  """Number of ids of text in the vocabulary."""
  if text == preprocessors_lib.EMBEDDINGS:
    raise errors.ConfigError(
      "text is 'embeddings', which are no ids, and SeqIO's converters take ids "
      "only; give 'bytes' or the path of a SentencePiece model."
    )
  size = preprocessors_lib.text_vocabulary(text).vocab_size
  if asked is not None and asked < size:
    raise errors.ConfigError(
      f'text_size is {asked}, and the text tokenizer has {size} ids; give at '
      'least that, or leave it out.'
    )
  return asked or size


def _check_names(
  tasks: Mapping[str, tuple[Any, ...]],
  mixtures: Mapping[str, tuple[Any, ...]],
) -> None:
  """Raises ConfigError if a name is registered with another definition."""
  for kind, names, ours, wanted in (
    ('task', seqio.TaskRegistry.names(), _TASKS, tasks),
    ('mixture', seqio.MixtureRegistry.names(), _MIXTURES, mixtures),
  ):
    for name, definition in wanted.items():
      if name in names and ours.get(name) != definition:
        raise errors.ConfigError(
          f'a SeqIO {kind} {name!r} is registered already, with another '
          'definition; register all data sets and tasks of one vocabulary in '
          "one call, and others under another name: prefix='mine'."
        )


def _add_task(
  name: str,
  task: registry.Task,
  layout: layout_lib.SequenceLayout,
  directories: Sequence[str],
  text: str,
  metric_fns: Sequence[token_metrics.MetricFn] | None,
) -> None:
  """Registers the task of one layout."""
  # A task's own preprocessors may read any feature; otherwise parse only those
  # needed.
  needed = dict.fromkeys(fill.feature for fill in layout.fills)
  source = split_source.SplitSource(
    directories,
    features=None if task.preprocessors else tuple(needed),
    stream=layout.name,
    selection=registry.selection(task),
  )
  vocabulary = shared_vocabulary(layout.vocabulary)
  if metric_fns is None:
    metric_fns = token_metrics.metric_fns(layout)
  seqio.TaskRegistry.add(
    name,
    source=source,
    preprocessors=[
      *registry.preprocessing(task, [layout], text),
      functools.partial(layout_examples.fill, layout=layout),
      seqio.CacheDatasetPlaceholder(),
      functools.partial(
        layout_examples.drop,
        layout=layout,
        rates={feature: rate for feature, rate in task.drop if rate},
      ),
    ],
    output_features={
      feature: seqio.Feature(vocabulary, add_eos=False, dtype=tf.int32)
      for feature in (INPUTS, TARGETS)
    },
    metric_fns=list(metric_fns),
  )


def reset() -> None:
  """Removes what was registered here, for tests."""
  for name in tuple(_MIXTURES):
    seqio.MixtureRegistry.remove(name)
    del _MIXTURES[name]
  for name in tuple(_TASKS):
    seqio.TaskRegistry.remove(name)
    del _TASKS[name]
