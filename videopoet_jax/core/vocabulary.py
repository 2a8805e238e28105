"""The unified vocabulary: special, visual, audio and text ids in one space.

VideoPoet (Kondratyuk et al., 2024, section 3.1) puts 256 special ids first,
then 2^18 visual ids, then 4 x 1,024 audio ids, then a small text vocabulary:
about 300,000 in all.
"""

import dataclasses
import functools

from videopoet_jax.core import errors
from videopoet_jax.core import types

# Tables shard evenly over any power of two up to this, large ones over more: a
# table that 256 chips cannot split would lie whole on each.
_ALIGNMENT = 128
_LARGE, _LARGE_ALIGNMENT = 8192, 512

# Every `<task:...>` token stands for one kind of output, so tasks that differ
# only in their condition share it (section 3.3).
TASK_TOKENS = (
  'video',
  'continuation',
  'inpainting',
  'outpainting',
  'stylization',
  'audio_to_video',
  'audio',
  'video_and_audio',
)
# Clips of 5, 9, ... 65 frames each have a token that signals their duration.
DURATIONS = tuple(range(5, 66, 4))
SPECIAL_TOKENS = (
  '<pad>',
  '<bos>',
  '<eos>',
  '<bot_i>',
  '<eot_i>',
  '<bov_i>',
  '<eov_i>',
  '<boa_i>',
  '<eoa_i>',
  '<source>',
  '<bov_o>',
  '<eov_o>',
  '<boa_o>',
  '<eoa_o>',
  '<res:portrait>',
  '<res:landscape>',
  *(f'<duration:{frames}>' for frames in DURATIONS),
  *(f'<task:{name}>' for name in TASK_TOKENS),
)


def _round_up(size: int) -> int:
  alignment = _ALIGNMENT if size < _LARGE else _LARGE_ALIGNMENT
  return -(-size // alignment) * alignment


@dataclasses.dataclass(frozen=True)
class Range:
  """A run of consecutive global ids.

  Attributes:
    modality: the table that embeds these ids.
    start: first global id.
    size: number of ids in use; `start <= id < start + size`.
    table_offset: row of the first id within its modality's table.
  """

  modality: types.Modality
  start: int
  size: int
  table_offset: int = 0

  @property
  def stop(self) -> int:
    return self.start + self.size


@dataclasses.dataclass(frozen=True)
class Vocabulary:
  """Sizes of the four ranges; everything else about ids is derived.

  Attributes:
    special_size: ids kept for special tokens and task prompts.
    visual_size: codes of the visual tokenizer (2^18 in the paper).
    audio_levels: residual-quantizer levels, each with ids of its own.
    audio_codes: codes a level.
    text_size: ids of the text tokenizer.
    extra_special: names a user's tasks add after the built-in tokens.
  """

  special_size: int = 256
  visual_size: int = 2**18
  audio_levels: int = 4
  audio_codes: int = 1024
  text_size: int = 32_128
  extra_special: tuple[str, ...] = ()

  def __post_init__(self) -> None:
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if isinstance(value, int) and value < 1:
        raise errors.LayoutError(
          f'Vocabulary.{field.name} must be at least 1, got {value}.'
        )
    names = SPECIAL_TOKENS + tuple(self.extra_special)
    if len(set(names)) != len(names):
      raise errors.LayoutError(
        f'Vocabulary.extra_special repeats a name: {self.extra_special}.'
      )
    if len(names) > self.special_size:
      raise errors.LayoutError(
        f'{len(names)} special tokens do not fit in '
        f'Vocabulary.special_size={self.special_size}; raise it.'
      )

  @functools.cached_property
  def ranges(self) -> dict[types.Modality, Range]:
    """Range of each modality; starts are multiples of 128."""
    sizes = {
      types.Modality.SPECIAL: self.special_size,
      types.Modality.VISUAL: self.visual_size,
      types.Modality.AUDIO: self.audio_levels * self.audio_codes,
      types.Modality.TEXT: self.text_size,
    }
    ranges, start = {}, 0
    for modality, size in sizes.items():
      ranges[modality] = Range(modality, start, size)
      start += _round_up(size)
    return ranges

  @functools.cached_property
  def table_sizes(self) -> dict[types.Modality, int]:
    """Rows of each modality's table: whole multiples of 128, or of 512."""
    return {m: _round_up(r.size) for m, r in self.ranges.items()}

  @property
  def size(self) -> int:
    """All ids, the rounding of every range included."""
    return sum(self.table_sizes.values())

  def audio_level(self, level: int) -> Range:
    """Range of one residual-quantizer level."""
    if not 0 <= level < self.audio_levels:
      raise errors.LayoutError(
        f'audio level {level} of a vocabulary with {self.audio_levels} levels.'
      )
    whole = self.ranges[types.Modality.AUDIO]
    offset = level * self.audio_codes
    return Range(whole.modality, whole.start + offset, self.audio_codes, offset)

  @functools.cached_property
  def special_ids(self) -> dict[str, int]:
    """Global id of each special token."""
    names = SPECIAL_TOKENS + tuple(self.extra_special)
    return {name: index for index, name in enumerate(names)}

  def special(self, name: str) -> int:
    """Global id of a special token; LayoutError for an unknown name."""
    try:
      return self.special_ids[name]
    except KeyError:
      hint = errors.near_names(name, self.special_ids)
      raise errors.LayoutError(f'no special token {name!r}{hint}.') from None
