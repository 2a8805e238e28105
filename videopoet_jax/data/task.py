"""Definition of a task: a layout template and how its examples are made."""

from collections.abc import Callable, Mapping
import dataclasses
from typing import Annotated, Any

import gin

from videopoet_jax.core import errors
from videopoet_jax.core import tasks as tasks_lib

# Stored as sorted pairs; the second type is the one that gin may bind.
_Options = Annotated[Any, Mapping[str, int] | tuple[tuple[str, int], ...]]
_Numbers = Annotated[Any, Mapping[str, float] | tuple[tuple[str, float], ...]]


def _as_items(values: Any) -> tuple[tuple[str, Any], ...]:
  """A mapping or pairs as sorted pairs, so that the dataclass is hashable."""
  items = values.items() if isinstance(values, Mapping) else values
  return tuple(sorted((str(key), value) for key, value in items))


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Task:
  """A task of a run, as a gin file defines it under the scope of its name.

  Either `template` names a built-in template, or `task_token`, `prefix` and
  `target` (and the rest of `core.tasks.TaskTemplate`) define a new one.

  Attributes:
    name: name of the task and first part of its layouts' names; the gin scope.
    template: name of a built-in template.
    task_token: see `TaskTemplate`; only for a new template.
    prefix: see `TaskTemplate`.
    target: see `TaskTemplate`.
    options: see `TaskTemplate`; a mapping or pairs.
    frames: see `TaskTemplate`.
    closed: see `TaskTemplate`.
    variants: the options in the names of its layouts, `''` for none:
      `('condition=1', 'condition=2')`. None takes those of
      `LayoutSpace.standard_names`.
    preprocessors: import paths (`my_module.my_function`) or functions, each
      from a `tf.data.Dataset` to one of as many examples in the same order.
    minimum: least values of scalar features; other examples are left out. A
      name that ends in a question mark applies only if the data have the
      feature.
    predicate: import path or function of an example (numpy arrays) that returns
      whether to keep it; evaluated once per example, before the run.
    drop: share of the examples that do not see a condition, by feature, so that
      a model also learns to do without it (for guidance).
    rate: relative frequency of the task.
    directory: directory of its own token data set, else the run's.
    folder: folder of the task file; modules are searched there too.
  """

  name: str
  template: str = ''
  task_token: str = ''
  prefix: tuple[str, ...] | None = None
  target: tuple[str, ...] | None = None
  options: _Options = ()
  frames: int | None = None
  closed: bool = True
  variants: tuple[str, ...] | None = None
  preprocessors: tuple[str | Callable[..., Any], ...] = ()
  minimum: _Numbers = ()
  predicate: str | Callable[..., Any] | None = None
  drop: _Numbers = ()
  rate: float = 1.0
  directory: str = ''
  folder: str = ''

  def __post_init__(self) -> None:
    """Raises errors.ConfigError for an invalid definition."""
    for field in ('options', 'minimum', 'drop'):
      object.__setattr__(self, field, _as_items(getattr(self, field)))
    for field in ('prefix', 'target', 'variants', 'preprocessors'):
      value = getattr(self, field)
      if isinstance(value, str):
        raise errors.ConfigError(
          f'{self.name}/Task.{field} is the string {value!r}; expected a list '
          f'of strings: [{value!r}].'
        )
      if value is not None:
        object.__setattr__(self, field, tuple(value))
    own = self.task_token or self.prefix is not None or self.target is not None
    if bool(self.template) == bool(own):
      what = 'both a template and' if own else 'neither a template nor'
      raise errors.ConfigError(
        f'task {self.name!r} has {what} a definition of its '
        f'own: bind {self.name}/Task.template to a built-in one, or '
        f'{self.name}/Task.task_token, prefix and target.'
      )
    if own and not (self.task_token and self.target):
      raise errors.ConfigError(
        f'task {self.name!r} is not complete: a new template needs '
        f'{self.name}/Task.task_token and {self.name}/Task.target.'
      )
    if self.rate <= 0:
      raise errors.ConfigError(
        f'{self.name}/Task.rate is {self.rate}; expected a positive number '
        '(to leave a task out, do not list it).'
      )
    for feature, share in self.drop:
      if not 0 <= share <= 1:
        raise errors.ConfigError(
          f'{self.name}/Task.drop says {share} for {feature!r}; expected a '
          'share from 0 to 1.'
        )

  def layout_template(self) -> tasks_lib.TaskTemplate:
    """The template under the task's own name; raises ConfigError if unknown."""
    if not self.template:
      return tasks_lib.TaskTemplate(
        name=self.name,
        task_token=self.task_token,
        prefix=self.prefix or (),
        target=self.target or (),
        options=self.options,
        frames=self.frames,
        closed=self.closed,
      )
    known = {t.name: t for t in tasks_lib.TEMPLATES}
    if self.template not in known:
      hint = errors.near_names(self.template, known)
      raise errors.ConfigError(
        f'{self.name}/Task.template: there is no template '
        f'{self.template!r}{hint}.'
      )
    template = known[self.template]
    options = dict(template.options)
    for option, value in self.options:
      if option not in options:
        hint = errors.near_names(option, options)
        raise errors.ConfigError(
          f'{self.name}/Task.options: template {self.template!r} has no option '
          f'{option!r}{hint}.'
        )
      options[option] = value
    return dataclasses.replace(
      template, name=self.name, options=tuple(options.items())
    )

  def layout_names(
    self, space: tasks_lib.LayoutSpace, frames: int, height: int, width: int
  ) -> tuple[str, ...]:
    """Names of the task's layouts at one clip size.

    Args:
      space: layout space, which decides the standard variants.
      frames: frames of the clip; a task with fixed frames ignores it.
      height: height in pixels.
      width: width in pixels.
    """
    template = self.layout_template()
    if self.variants is None:
      known = dataclasses.replace(template, name=self.template or self.name)
      alone = dataclasses.replace(space, templates=(known,))
      names = alone.standard_names(frames, height, width)
      return tuple(
        '/'.join([self.name, *name.split('/')[1:]]) for name in names
      )
    base = f'{self.name}/{template.frames or frames}x{height}x{width}'
    return tuple(f'{base}/{v}' if v else base for v in self.variants)
