"""A picture of reconstructions: original, reconstruction, absolute error."""

import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

# Absolute errors are multiplied, so that small ones can be seen.
GAIN = 4
_COLUMNS = 5
_LEAST, _MOST = 96, 256  # Pixels of a frame's height on the sheet.
_GAP, _LABEL, _TITLE = 4, 106, 24
_INK, _PAPER = '#202124', '#ffffff'
_ROWS = ('original', 'reconstruction', f'error x {GAIN}')


def error(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """Absolute error of uint8 frames times `GAIN`, clipped to 255; uint8."""
  difference = np.abs(found.astype(np.int16) - truth)
  return np.minimum(GAIN * difference, 255).astype(np.uint8)


def draw(
  originals_BTHWC: np.ndarray, found_BTHWC: np.ndarray, title: str
) -> Image.Image:
  """Draws a sheet: three rows a clip, one column a frame.

  Args:
    originals_BTHWC: uint8 clips, of the frames that were reconstructed.
    found_BTHWC: their reconstructions, uint8 of the same shape.
    title: text above.

  Returns:
    The picture; frames are evenly spaced from the first to the last, at most
    five.
  """
  frames, height, width = found_BTHWC.shape[1:4]
  shown = np.unique(
    np.linspace(0, frames - 1, min(_COLUMNS, frames)).round().astype(int)
  )
  scale = max(1, _LEAST // height) if height < _MOST else _MOST / height
  cell = round(width * scale), round(height * scale)
  enlarged = scale >= 1
  how = Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX
  step_x, step_y = cell[0] + _GAP, cell[1] + _GAP
  page = Image.new(
    'RGB',
    (
      _LABEL + len(shown) * step_x,
      _TITLE + len(found_BTHWC) * (len(_ROWS) * step_y + _GAP),
    ),
    _PAPER,
  )
  pen = ImageDraw.Draw(page)
  font, small = ImageFont.load_default(13), ImageFont.load_default(11)
  pen.text((_GAP, _GAP), title, _INK, font)
  top = _TITLE
  for original, found in zip(originals_BTHWC, found_BTHWC, strict=True):
    for label, clip in zip(
      _ROWS, (original, found, error(found, original)), strict=True
    ):
      pen.text((_GAP, top + cell[1] // 2 - 6), label, _INK, small)
      for column, frame in enumerate(shown):
        picture = Image.fromarray(np.ascontiguousarray(clip[frame]))
        page.paste(picture.resize(cell, how), (_LABEL + column * step_x, top))
      top += step_y
    top += _GAP
  return page
