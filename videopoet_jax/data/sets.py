"""The token data sets of a run, and which of them fills which layout.

A run may take its examples from several token data sets, each of one clip size,
which its `tokens.json` states: 17 and 41 frames, square and portrait, and
images, which are clips of one frame. A layout is filled from every set of its
own size. If there is none, it takes the first latent frames of longer clips of
the same height and width, which are those of a shorter clip since tokenizers
are causal; so the first frames of videos are a run's images unless it is given
image sets.

Several sets of one size are mixed in proportion to their examples.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses

from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import specs
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.core import vocabulary as vocabulary_lib
from videopoet_jax.data import registry
from videopoet_jax.data import task as task_lib
from videopoet_jax.data import tokens as tokens_lib

Clip = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class TokenSets:
  """Token data sets of one run, all of the same tokenizers.

  Attributes:
    directories: directories of the sets, at least one, without duplicates.
    infos: contents of each set's `tokens.json`.
  """

  directories: tuple[str, ...]
  infos: tuple[tokens_lib.TokenInfo, ...]

  def __post_init__(self) -> None:
    """Refuses sets that cannot belong to one run.

    Raises:
      ConfigError: there is no set, or one is given twice.
      DataError: two sets have different tokenizers, or one of several does not
        state the size of its clips.
    """
    if not self.directories:
      raise errors.ConfigError(
        'prefix_lm.tokens is an empty list; bind it to the directory of a '
        'token data set, or to several.'
      )
    for directory, info in zip(self.directories, self.infos, strict=True):
      if self.directories.count(directory) > 1:
        raise errors.ConfigError(
          f'prefix_lm.tokens names {directory} twice; name it once.'
        )
      if len(self.directories) > 1 and info.clip is None:
        raise errors.DataError(
          f'{directory} does not say the size of its clips, which a run of '
          'several token sets needs; encode it again with `videopoet tokenize`.'
        )
    self._check_tokenizers('visual')
    self._check_tokenizers('audio')

  def _check_tokenizers(self, kind: str) -> None:
    """Raises DataError if two sets have different tokenizers of a kind."""
    having = [
      (directory, getattr(info, kind), getattr(info, f'{kind}_fingerprint'))
      for directory, info in zip(self.directories, self.infos, strict=True)
      if getattr(info, kind) is not None
    ]
    for directory, spec, fingerprint in having[1:]:
      first, first_spec, first_fingerprint = having[0]
      if spec == first_spec and fingerprint == first_fingerprint:
        continue
      what = f'{fingerprint or "unknown"} and {first_fingerprint or "unknown"}'
      if fingerprint == first_fingerprint:
        what = f'{spec} and {first_spec}'
      raise errors.DataError(
        f'{directory} holds ids of another {kind} tokenizer than {first} '
        f'({what}); encode the clips of both with the same one.'
      )

  @property
  def clips(self) -> tuple[Clip, ...]:
    """The sizes of clips that the sets state, each once."""
    return tuple(dict.fromkeys(i.clip for i in self.infos if i.clip))

  def joint_info(self) -> tokens_lib.TokenInfo:
    """The common info of the sets: grids and fingerprints of any that has them.

    `clip` is the first set's.
    """
    found = self.infos[0]
    for kind in ('visual', 'audio'):
      for info in self.infos:
        if getattr(info, kind) is not None:
          fingerprint = f'{kind}_fingerprint'
          found = dataclasses.replace(
            found,
            **{
              kind: getattr(info, kind),
              fingerprint: getattr(info, fingerprint),
            },
          )
          break
    return found

  def of_clip(self, clip: Clip) -> tuple[str, ...]:
    """Directories of the sets that fill layouts of a size; () for none.

    A single set fills every layout whose shapes it has; readers check the
    shapes.
    """
    if len(self.directories) == 1:
      return self.directories
    same = self._where(lambda theirs: theirs == clip)
    longer = self._where(
      lambda theirs: theirs[1:] == clip[1:] and theirs[0] > clip[0]
    )
    return same or longer

  def _where(self, fits: Callable[[Clip], bool]) -> tuple[str, ...]:
    """Directories of the sets whose size of clips fits."""
    return tuple(
      directory
      for directory, info in zip(self.directories, self.infos, strict=True)
      if info.clip is not None and fits(info.clip)
    )

  def layout_names(
    self,
    tasks: Sequence[task_lib.Task],
    space: tasks_lib.LayoutSpace,
    clip: Clip | None = None,
  ) -> tuple[str, ...]:
    """Names of the layouts of all tasks at every size of the sets.

    If a run has videos, its image sets give layouts only to the tasks whose
    output is an image. A task with a data set of its own has layouts of that
    set's size.

    Args:
      tasks: tasks of the run.
      space: vocabulary and grids.
      clip: the only size, replacing those of the sets.

    Raises:
      ConfigError: no set states the size of its clips.
    """
    sizes = (clip,) if clip else self.clips
    videos = any(size[0] > 1 for size in sizes)
    names: list[str] = []
    for task in tasks:
      own = None
      if task.directory and not clip:
        own = tokens_lib.read_info(task.directory).clip
      if own is None and not sizes:
        raise errors.ConfigError(
          f'{self.directories[0]} does not say the size of its clips; bind '
          'prefix_lm.clip = (frames, height, width)'
        )
      for size in (own,) if own else sizes:
        image_task = task.layout_template().frames == 1
        if own is None and videos and size[0] == 1 and not image_task:
          continue
        names += registry.layout_names((task,), space, *size)
    return tuple(dict.fromkeys(names))

  def assign(
    self,
    tasks: Sequence[task_lib.Task],
    layouts: Sequence[layout_lib.SequenceLayout],
  ) -> dict[str, tuple[str, ...]]:
    """Returns the directories that fill each layout, by the layout's name.

    Raises:
      DataError: no set has the size of a layout, or no layout that of a set.
    """
    found = {}
    for layout in layouts:
      own = registry.by_name(tasks, layout.task).directory
      clip = tasks_lib.clip_of(layout.name)
      found[layout.name] = (own,) if own else self.of_clip(clip)
      if not found[layout.name]:
        raise errors.DataError(
          f'no token set fills {layout.name}: the sets of this run hold clips '
          f'of {self._sizes()}. Give prefix_lm.tokens a set of '
          f'{tasks_lib.clip_text(clip)}, or leave the layout out.'
        )
    if len(self.directories) > 1:
      used = {directory for some in found.values() for directory in some}
      for directory, info in zip(self.directories, self.infos, strict=True):
        if directory not in used:
          size = tasks_lib.clip_text(info.clip) if info.clip else 'no size'
          raise errors.DataError(
            f'{directory} holds clips of {size}, and no layout of this run is '
            'filled from it; leave it out of prefix_lm.tokens, or list a task '
            'or a layout of that size.'
          )
    return found

  def _sizes(self) -> str:
    return ', '.join(map(tasks_lib.clip_text, self.clips))


def open_sets(directories: 'str | Sequence[str] | TokenSets') -> TokenSets:
  """Opens the sets of one directory or several.

  Raises:
    DataError: one is not a token data set, or they do not match.
  """
  if isinstance(directories, TokenSets):
    return directories
  if isinstance(directories, str):
    directories = (directories,)
  return TokenSets(
    tuple(directories),
    tuple(tokens_lib.read_info(directory) for directory in directories),
  )


def make_space(
  info: tokens_lib.TokenInfo,
  tasks: Sequence[task_lib.Task],
  *,
  text_size: int,
  text_slots: int,
) -> tasks_lib.LayoutSpace:
  """Returns the vocabulary and grids of a run from its tokens.

  Args:
    info: info of the token data set.
    tasks: tasks of the run; their own task tokens join the vocabulary.
    text_size: ids of the text tokenizer.
    text_slots: positions reserved for text.
  """
  visual = info.visual or specs.VisualSpec()
  audio = info.audio or specs.AudioSpec()
  vocabulary = vocabulary_lib.Vocabulary(
    visual_size=visual.codebook_size,
    audio_levels=audio.levels,
    audio_codes=audio.codes,
    text_size=text_size,
  )
  space = tasks_lib.LayoutSpace(vocabulary, visual, audio, text_slots)
  return registry.space_for(tasks, space)


def check(
  tasks: Sequence[task_lib.Task],
  space: tasks_lib.LayoutSpace,
  sets: TokenSets,
  fingerprints: Mapping[str, str] | None = None,
) -> None:
  """Refuses data sets of other tokenizers; see `tokens.check`."""
  own = [task.directory for task in tasks if task.directory]
  needed = sets.directories if len(own) < len(tasks) or not tasks else ()
  for path in dict.fromkeys((*needed, *own)):
    tokens_lib.check(path, space, fingerprints)
