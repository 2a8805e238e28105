"""Writes captions and reads them back.

A caption is made of few words, so that a small vocabulary carries it: "a red
circle moves up left slowly". Two shapes are joined by "and". The part that
holds for a single image stops before "moves".
"""

from collections.abc import Sequence
import dataclasses

from videopoet_jax.core import errors
from videopoet_jax.shapes import attributes

_MOVES = ' moves '
_AND = ' and '


@dataclasses.dataclass(frozen=True)
class Statement:
  """A caption's statement about one shape: indices into attribute tables.

  Attributes:
    kind: index into attributes.KINDS.
    colour: index into attributes.COLOURS.
    direction: index into attributes.DIRECTIONS, None where not stated.
    speed: index into attributes.SPEEDS, None where not stated.
  """

  kind: int
  colour: int
  direction: int | None = None
  speed: int | None = None


def write(statements: Sequence[Statement]) -> str:
  """Returns the caption of one or two shapes."""
  return _AND.join(_write_one(statement) for statement in statements)


def _write_one(statement: Statement) -> str:
  colour = attributes.COLOURS[statement.colour]
  text = f'a {colour} {attributes.KINDS[statement.kind]}'
  if statement.direction is None or statement.speed is None:
    return text
  direction = attributes.DIRECTIONS[statement.direction]
  return f'{text}{_MOVES}{direction} {attributes.SPEEDS[statement.speed]}'


def image_part(caption: str) -> str:
  """Returns the caption without motion: "a red circle and a blue square"."""
  return _AND.join(
    part.split(_MOVES)[0] for part in caption.strip().split(_AND)
  )


def parse(caption: str) -> tuple[Statement, ...]:
  """Reads a caption back.

  Args:
    caption: text as `write` or `image_part` make it; letter case and further
      space are ignored.

  Returns:
    One statement a shape.

  Raises:
    errors.DataError: the text is not a caption of this form.
  """
  text = ' '.join(caption.lower().split())
  return tuple(_parse_one(part, caption) for part in text.split(_AND))


def _parse_one(part: str, caption: str) -> Statement:
  subject, _, motion = part.partition(_MOVES)
  words = subject.split()
  try:
    article, colour, kind = words
    if article != 'a':
      raise ValueError(article)
    statement = Statement(
      kind=attributes.KINDS.index(kind),
      colour=attributes.COLOURS.index(colour),
    )
    if not motion:
      return statement
    direction, _, speed = motion.rpartition(' ')
    return dataclasses.replace(
      statement,
      direction=attributes.DIRECTIONS.index(direction),
      speed=attributes.SPEEDS.index(speed),
    )
  except ValueError as error:
    raise errors.DataError(
      f'{caption!r} is not a caption of shapes in motion; expected words such '
      'as "a red circle moves up left slowly", or "a red circle".'
    ) from error
