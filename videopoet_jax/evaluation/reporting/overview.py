"""One animation of every task: conditions beside generated samples."""

from collections.abc import Mapping, Sequence
import os
import textwrap

import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

from videopoet_jax.evaluation.reporting import report

_CELL = 96  # Pixels of a clip's side on the page.
_GAP = 6
_TITLE_WIDTH = 150
_TEXT_HEIGHT = 30
_GIVEN, _MADE, _INK, _PAPER = '#9aa0a6', '#1a7f37', '#202124', '#ffffff'


def write(
  path: str | os.PathLike[str],
  examples: Mapping[str, Sequence[report.Example]],
  frame_rate: float,
  columns: int = 3,
) -> None:
  """Writes a looping GIF with one row a task: its condition, its sample.

  Sounds are left out, and so are tasks that generate only sound.

  Args:
    path: path of the file, which is overwritten.
    examples: examples by task; clips are square or nearly, uint8 (frames, H, W,
      3).
    frame_rate: frames a second.
    columns: number of examples of a task.
  """
  rows = {
    task: [_clips(example) for example in found[:columns]]
    for task, found in examples.items()
    if found and any(s.label == 'generated' for s in _seen(found[0]))
  }
  length = max(
    len(clip) for row in rows.values() for cells in row for _, clip in cells
  )
  captions = {task: [e.text for e in examples[task][:columns]] for task in rows}
  pages = [_page(rows, captions, columns, time) for time in range(length)]
  pages[0].save(
    path,
    save_all=True,
    append_images=pages[1:],
    duration=round(1000 / frame_rate),
    loop=0,
    optimize=True,
  )


def _seen(example: report.Example) -> list[report.Signal]:
  return [s for s in example.signals if s.video_THWC is not None]


def _clips(example: report.Example) -> list[tuple[str, np.ndarray]]:
  """(colour of the frame, clip) of the condition, if any, and the sample."""
  return [
    (_MADE if s.label == 'generated' else _GIVEN, s.video_THWC)
    for s in example.signals
    if s.label != 'truth' and s.video_THWC is not None
  ]


def _page(
  rows: Mapping[str, list[list[tuple[str, np.ndarray]]]],
  captions: Mapping[str, list[str]],
  columns: int,
  time: int,
) -> Image.Image:
  """Draws the page at one frame; shorter clips hold their last frame."""
  step = 2 * _CELL + 3 * _GAP
  heights = [
    _CELL + _GAP + (_TEXT_HEIGHT if any(captions[task]) else 0) for task in rows
  ]
  page = Image.new(
    'RGB', (_TITLE_WIDTH + columns * step, sum(heights) + _GAP), _PAPER
  )
  draw = ImageDraw.Draw(page)
  font, small = ImageFont.load_default(13), ImageFont.load_default(11)
  top = _GAP
  for (task, row), height in zip(rows.items(), heights, strict=True):
    title = '\n'.join(textwrap.wrap(task.replace('_', ' '), 18))
    draw.text((_GAP, top + _CELL // 3), title, _INK, font)
    for column, cells in enumerate(row):
      left = _TITLE_WIDTH + column * step
      for place, (colour, clip) in enumerate(cells):
        corner = (left + place * (_CELL + _GAP), top)
        frame = Image.fromarray(clip[min(time, len(clip) - 1)])
        page.paste(
          frame.resize((_CELL, _CELL), Image.Resampling.NEAREST), corner
        )
        draw.rectangle(
          (*corner, corner[0] + _CELL - 1, corner[1] + _CELL - 1),
          outline=colour,
          width=2,
        )
      text = '\n'.join(textwrap.wrap(captions[task][column], 34))
      draw.text((left, top + _CELL + 1), text, _INK, small)
    top += height
  return page
