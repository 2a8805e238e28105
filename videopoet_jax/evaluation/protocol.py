"""Frozen protocols: everything that a metric depends on, under one name.

A protocol is a gin file in `gin/protocols/` that binds a `Protocol` and its
`EvaluationTask`s. Its id holds a hash of every field, so that any change, in
the file or with `--gin.NAME=VALUE`, gives another id. Paths, batch sizes and
devices are not fields, since no metric may depend on them.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import hashlib
import json
import math
import re
from typing import Any

import gin

from videopoet_jax.core import errors
from videopoet_jax.core import value_types
from videopoet_jax.inference import sampling as sampling_lib
from videopoet_jax.media import cuts

ALL = 'all'
RESIZINGS = ('none', 'bicubic')
RECONSTRUCTION = 'reconstruction'
# Fields that act on nothing where clips are reconstructed.
_OF_GENERATION = (
  'per_condition', 'real', 'real_split', 'real_samples', 'real_order_seed',
  'size', 'resizing', 'text_suffix', 'negative_text',
)  # fmt: skip
_NAME = re.compile(r'[a-z0-9_]+')
_HASH_DIGITS = 8


@gin.configurable
@dataclasses.dataclass(frozen=True)
class EvaluationTask:
  """One row of a protocol: a generated task and its reference.

  Attributes:
    name: name of the row in results; unique in its protocol.
    layout: name of the checkpoint's layout that generates, or
      `reconstruction/<frames>x<height>x<width>`: each clip of the set is
      encoded and decoded by a tokenizer, and compared with itself.
    data: set of the conditions ('ucf101'), bound to a folder by
      `evaluate.data`; 'shapes' and 'shapes_easy' are drawn and need none.
    split: split of that set; 'all' joins its splits.
    samples: number of generated samples, numbered 0 .. samples - 1; 0 takes
      every clip of the set, where clips are reconstructed.
    subsets: (size, repeats) by metric: the value is then the mean over this
      many subsets of consecutive samples, rather than that of all samples.
    per_condition: number of samples of one condition, which are adjacent.
    order_seed: seed of the order of the conditions; -1 keeps the set's order.
    metrics: names of metrics, see docs/metrics.md.
    real: set that sets of samples are compared with; '' takes `data`.
    real_split: split of that set; '' takes `split`.
    real_samples: number of its clips that a value is compared with; 0 takes the
      conditions of the samples themselves.
    real_order_seed: the same as `order_seed` for the real set, drawn anew for
      every subset.
    frames: number of measured frames; 0 measures all that are generated.
    first_frame: first measured frame of the generated clip: 5 leaves out the
      frames that a continuation was given.
    real_cut: how the clips of the real set must have been cut from their videos
      by `videopoet prepare --cut`: 'central', 'first' or 'consecutive'; ''
      accepts any. A set that was cut differently, has another size, or does not
      record it is refused (`evaluation/cut.py`).
    real_frames: frames of its clips, with `real_cut`; 0 takes `frames`. If
      there are more than `frames`, the same frames are measured as in the
      generated clip.
    real_rate: frames a second of its clips, with `real_cut`: a number, or
      'native' for the frames of each video.
    size: measured (height, width); () keeps the size of the clips.
    resizing: method of resizing, 'bicubic' or 'none'.
    text_suffix: text appended to every caption.
    negative_text: negative prompt for guidance.
  """

  name: str = gin.REQUIRED
  layout: str = gin.REQUIRED
  metrics: tuple[str, ...] = gin.REQUIRED
  data: str = gin.REQUIRED
  split: str = ALL
  samples: int = gin.REQUIRED
  subsets: Mapping[str, tuple[int, int]] = dataclasses.field(
    default_factory=dict
  )
  per_condition: int = 1
  order_seed: int = -1
  real: str = ''
  real_split: str = ''
  real_samples: int = 0
  real_order_seed: int = -1
  frames: int = 0
  first_frame: int = 0
  real_cut: str = ''
  real_frames: int = 0
  real_rate: str | float = ''
  size: tuple[int, ...] = ()
  resizing: str = 'none'
  text_suffix: str = ''
  negative_text: str = ''

  def __post_init__(self) -> None:
    """Raises errors.ConfigError for an invalid value."""
    where = f'{self.name}/EvaluationTask'
    if isinstance(self.metrics, str):
      raise errors.ConfigError(
        f'{where}.metrics is the string {self.metrics!r}; expected a list of '
        f'names: [{self.metrics!r}].'
      )
    object.__setattr__(self, 'metrics', tuple(self.metrics))
    object.__setattr__(self, 'size', tuple(self.size))
    checks = (
      ('name', bool(_NAME.fullmatch(self.name)), 'a-z, 0-9 and _ only'),
      ('metrics', len(self.metrics) > 0, 'at least one name'),
      ('samples', self.samples >= 1 - self.is_reconstruction, 'at least 1'),
      ('per_condition', self.per_condition >= 1, 'at least 1'),
      ('real_samples', self.real_samples >= 0, 'at least 0'),
      ('frames', self.frames >= 0, 'at least 0'),
      ('first_frame', self.first_frame >= 0, 'at least 0'),
      ('real_frames', self.real_frames >= 0, 'at least 0'),
      ('resizing', self.resizing in RESIZINGS, ' or '.join(RESIZINGS)),
      ('size', len(self.size) in (0, 2), '(height, width), or () for none'),
    )
    for name, good, wish in checks:
      if not good:
        raise errors.ConfigError(
          f'{where}.{name} is {getattr(self, name)!r}; expected {wish}.'
        )
    if self.is_reconstruction:
      self._check_reconstruction(where)
    self._check_real(where)
    for metric, (size, repeats) in self.subsets.items():
      if metric not in self.metrics or not (
        1 <= size
        and 1 <= repeats
        and size * repeats <= (self.samples or math.inf)
      ):
        raise errors.ConfigError(
          f'{where}.subsets: {metric!r}: ({size}, {repeats}) does not fit '
          f'{self.samples} samples and metrics {list(self.metrics)}; expected '
          'METRIC: (SIZE, REPEATS) with SIZE x REPEATS within the samples.'
        )
    if self.size and self.resizing == 'none':
      raise errors.ConfigError(
        f"{where}.size is {self.size} and resizing 'none'; say how to get "
        f"there: {where}.resizing = 'bicubic'."
      )

  @property
  def is_reconstruction(self) -> bool:
    """Whether clips are reconstructed, by a tokenizer."""
    return self.layout.split('/')[0] == RECONSTRUCTION

  def _check_reconstruction(self, where: str) -> None:
    """Refuses a wrong size, and settings that act on generation only."""
    clip_size(self.layout, f'{where}.layout')
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if field.name in _OF_GENERATION and value != field.default:
        raise errors.ConfigError(
          f'{where}.{field.name} is {value!r} and cannot act where clips are '
          'reconstructed and compared with themselves; leave it out.'
        )

  def _check_real(self, where: str) -> None:
    """Refuses settings of the real side that are wrong or cannot act."""
    if self.real_cut:
      errors.check_choice(f'{where}.real_cut', self.real_cut, cuts.CUTS)
      cuts.parse_rate(self.real_rate, f'{where}.real_rate')
      wanted = self._cut_frames
      if wanted < max(self.first_frame + self.frames, 1):
        raise errors.ConfigError(
          f'{where}.real_frames is {self.real_frames} and frames '
          f'{self.frames} from {self.first_frame}; clips that are cut need as '
          'many frames as are measured.'
        )
    elif self.real_frames or self.real_rate:
      raise errors.ConfigError(
        f'{where}.real_frames and real_rate go with {where}.real_cut = '
        f"'central' (or {', '.join(repr(c) for c in cuts.CUTS)})."
      )
    if self.real_order_seed >= 0 and not self.real_samples:
      raise errors.ConfigError(
        f'{where}.real_order_seed is {self.real_order_seed} and real_samples '
        '0: the conditions themselves are compared with, in their order; give '
        'real_samples, or leave real_order_seed out.'
      )

  @property
  def _cut_frames(self) -> int:
    """Frames of the clips of a real set that was cut."""
    frames = self.real_frames or self.frames
    if not frames and self.is_reconstruction:
      frames, _, _ = clip_size(self.layout)
    return frames

  @property
  def cut(self) -> cuts.Cut | None:
    """How the clips of the real set must have been cut; None for any way."""
    if not self.real_cut:
      return None
    size = self.size
    if not size:
      _, height, width = self.layout.split('/')[1].split('x')
      size = int(height), int(width)
    return cuts.Cut(
      self.real_cut,
      self._cut_frames,
      cuts.parse_rate(self.real_rate, 'real_rate'),
      *size,
    )

  def subset(self, metric: str) -> tuple[int, int]:
    """Number of samples in a value of a metric, and number of values."""
    size, repeats = self.subsets.get(metric, (self.samples, 1))
    return size, repeats

  @property
  def real_name(self) -> str:
    return self.real or self.data

  @property
  def real_part(self) -> str:
    return self.real_split or self.split


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Protocol:
  """A protocol.

  Attributes:
    name: name of the protocol, part of its id.
    version: version, raised when the protocol is changed on purpose.
    tasks: rows, in order; a task's place is part of its seed.
    source: source of the protocol, for readers.
    seed: seed of all draws.
    sampling: fields of `inference.sampling.SamplingConfig` by task; 'default'
      is for tasks without their own.
    networks: name of the network that a metric must use, by metric.
    block: number of samples whose statistics are summed before blocks are
      merged in order: a constant, so that no sum depends on a batch size.
  """

  name: str = gin.REQUIRED
  version: int = 1
  tasks: tuple[EvaluationTask, ...] = gin.REQUIRED
  source: str = ''
  seed: int = 0
  sampling: Mapping[str, Mapping[str, Any]] = dataclasses.field(
    default_factory=dict
  )
  networks: Mapping[str, str] = dataclasses.field(default_factory=dict)
  block: int = 64

  def __post_init__(self) -> None:
    """Raises errors.ConfigError for an invalid value."""
    object.__setattr__(self, 'tasks', tuple(self.tasks))
    if not _NAME.fullmatch(self.name):
      raise errors.ConfigError(
        f'Protocol.name is {self.name!r}; expected a-z, 0-9 and _ only.'
      )
    for task in self.tasks:
      if not isinstance(task, EvaluationTask):
        raise errors.ConfigError(
          f'Protocol.tasks holds {task!r}; expected configured tasks, such as '
          '[@text_to_video/EvaluationTask()], whose fields gin binds by that '
          'name.'
        )
    self._check_kind()
    names = [task.name for task in self.tasks]
    if not names or len(set(names)) < len(names):
      raise errors.ConfigError(
        f'Protocol.tasks are named {names}; expected at least one, and every '
        'name once.'
      )
    if self.block < 1 or self.seed < 0 or self.version < 1:
      raise errors.ConfigError(
        f'Protocol.block is {self.block}, seed {self.seed} and version '
        f'{self.version}; expected at least 1, 0 and 1.'
      )
    for name in self.sampling:
      if name not in (*names, 'default'):
        hint = errors.near_names(name, names)
        raise errors.ConfigError(
          f'Protocol.sampling: there is no task {name!r}{hint}.'
        )
    for task in self.tasks:
      config = sampling_of(self.sampling, task.name, 'Protocol.sampling')
      if task.negative_text and not config.is_guided:
        raise errors.ConfigError(
          f'{task.name}/EvaluationTask.negative_text acts with guidance only, '
          'and Protocol.sampling gives none; give one, or leave it out.'
        )

  def _check_kind(self) -> None:
    """Refuses tasks of both kinds, and settings that cannot act on one."""
    if len({task.is_reconstruction for task in self.tasks}) > 1:
      raise errors.ConfigError(
        'Protocol.tasks are of tokenizers and of language models; a protocol '
        'measures one kind: make two protocols.'
      )
    if self.is_reconstruction and (self.seed or self.sampling):
      raise errors.ConfigError(
        'Protocol.seed and Protocol.sampling cannot act where clips are '
        'reconstructed: nothing is drawn; leave them out.'
      )

  @property
  def is_reconstruction(self) -> bool:
    """Whether tokenizers are evaluated, rather than language models."""
    return any(task.is_reconstruction for task in self.tasks)

  @property
  def id(self) -> str:
    """Name, version and a hash of every field: `k600-v1-1a2b3c4d`.

    Fields with default values are left out, so that a field added later changes
    no earlier id; hence a default never changes its meaning. `source` is left
    out.
    """
    fields = _changed(self) | {'tasks': [_changed(task) for task in self.tasks]}
    fields.pop('source', None)
    frozen = json.dumps(fields, sort_keys=True)
    digest = hashlib.sha256(frozen.encode()).hexdigest()[:_HASH_DIGITS]
    return f'{self.name}-v{self.version}-{digest}'

  def task(self, name: str) -> EvaluationTask:
    """Returns the task of a name; raises ConfigError if there is none."""
    for task in self.tasks:
      if task.name == name:
        return task
    hint = errors.near_names(name, [t.name for t in self.tasks])
    raise errors.ConfigError(f'{self.id} has no task {name!r}{hint}.')

  def part(self, *names: str, samples: int = 0) -> 'Protocol':
    """Returns a protocol with some of the tasks, for a quick check.

    Args:
      *names: names of the tasks.
      samples: number of samples of each; 0 keeps that of the protocol.

    Raises:
      ConfigError: there is no such task.
    """
    tasks = tuple(self.task(name) for name in names)
    if samples:
      tasks = tuple(
        dataclasses.replace(task, samples=samples) for task in tasks
      )
    sampling = {
      name: fields
      for name, fields in self.sampling.items()
      if name in (*names, 'default')
    }
    return dataclasses.replace(
      self, name=f'{self.name}_part', tasks=tasks, sampling=sampling
    )

  def task_seed(self, name: str) -> int:
    """Seed of a task's draws, which differs between tasks."""
    place = [t.name for t in self.tasks].index(name)
    return self.seed * len(self.tasks) + place

  def sampling_of(self, name: str) -> sampling_lib.SamplingConfig:
    """Settings of sampling for a task."""
    return sampling_of(self.sampling, name, 'Protocol.sampling')

  def describe(self) -> dict[str, Any]:
    """Returns every field and the id as JSON values."""
    fields = dataclasses.asdict(self)
    return json.loads(json.dumps({'id': self.id, **fields}))


def clip_size(layout: str, setting: str = 'layout') -> tuple[int, int, int]:
  """Frames, height and width of `reconstruction/<frames>x<height>x<width>`.

  Args:
    layout: name of the layout.
    setting: name of the setting, for messages.

  Raises:
    ConfigError: it has another form.
  """
  found = re.fullmatch(
    rf'{RECONSTRUCTION}/([1-9]\d*)x([1-9]\d*)x([1-9]\d*)', layout
  )
  if not found:
    raise errors.ConfigError(
      f'{setting} is {layout!r}; expected '
      f"'{RECONSTRUCTION}/<frames>x<height>x<width>', such as "
      f"'{RECONSTRUCTION}/17x128x128'."
    )
  frames, height, width = map(int, found.groups())
  return frames, height, width


def sampling_of(
  sampling: Mapping[str, Mapping[str, Any]], task: str, binding: str
) -> sampling_lib.SamplingConfig:
  """Returns the settings of one task from a table of settings.

  Args:
    sampling: fields of `SamplingConfig` by task; 'default' applies to all.
    task: name of the task.
    binding: name of the table in gin, for messages.

  Raises:
    ConfigError: there is no such field, or a value is invalid.
  """
  fields = {**sampling.get('default', {}), **sampling.get(task, {})}
  value_types.check_fields(sampling_lib.SamplingConfig, fields, binding)
  return sampling_lib.SamplingConfig(**fields)


def _changed(config: Any) -> dict[str, Any]:
  """Fields of a dataclass that are not at their default."""
  found = {}
  for field in dataclasses.fields(config):
    default = field.default
    if field.default_factory is not dataclasses.MISSING:
      default = field.default_factory()
    value = getattr(config, field.name)
    if value != default:
      found[field.name] = value
  return found


def check_same(ids: Sequence[str], what: str = 'results') -> None:
  """Raises ConfigError unless all protocol ids are equal."""
  found = sorted(set(ids))
  if len(found) > 1:
    raise errors.ConfigError(
      f'these {what} are of different protocols ({", ".join(found)}) and '
      'cannot be compared: evaluate both by one protocol.'
    )
