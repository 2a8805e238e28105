"""Settings of sampling for super-resolution: steps, draws and guidance."""

import dataclasses

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.inference.super_resolution import mask_schedule


@dataclasses.dataclass(frozen=True)
class Pass:
  """One evaluation of the model in a step.

  Attributes:
    low_visible: whether the low-resolution ids are given.
    text_visible: whether the text is given.
  """

  low_visible: bool
  text_visible: bool


DECODE_FROM = ('ids', 'expectation')

FREE = Pass(False, False)
LOW = Pass(True, False)
BOTH = Pass(True, True)


@dataclasses.dataclass(frozen=True)
class UpscaleConfig:
  """Settings of sampling.

  Guidance on the low-resolution ids and on the text is independent (as in
  InstructPix2Pix, arXiv 2211.09800, equation 3):

    logits = free + low_guidance (low - free) + text_guidance (both - low)

  where `free` has neither condition, `low` the low-resolution ids and `both`
  the text too. A pass whose weight is 0 is not run: 1 and 1 take one pass, 4
  and 1 (text, low) take two, 8 and 2 take three.

  Attributes:
    num_steps: number of steps of the decoding (24 in the paper).
    schedule: one of `mask_schedule.SCHEDULES`.
    temperature: divides the logits that ids are drawn from; 0 takes the most
      likely.
    confidence_temperature: scale of Gumbel noise that is added to a draw's log
      probability to choose what is kept; it falls to 0 over the steps, linearly
      (4.5 in MAGVIT's configurations; 0 keeps the most confident draws).
    text_guidance: weight of the text (4 and 8 in the paper's stages).
    low_guidance: weight of the low-resolution ids (1 and 2 in the paper).
    overlap: if a clip is larger than the model was trained on, the least share
      of a tile that overlaps its neighbour, along height and width; half of it
      is kept, the half at the tile's edge is generated again.
    decode_from: input of the decoder, and of the next stage of a cascade, one
      of `DECODE_FROM`: the 'ids', or the 'expectation' of their codes when they
      were drawn, which is softer where the model is uncertain and nearer to the
      truth on average. A stage's own ids are the same. Not in the paper.
  """

  num_steps: int = 24
  schedule: str = 'cosine'
  temperature: float = 1.0
  confidence_temperature: float = 4.5
  text_guidance: float = 1.0
  low_guidance: float = 1.0
  overlap: float = 0.5
  decode_from: str = 'ids'

  def __post_init__(self) -> None:
    mask_schedule.check(self.schedule)
    errors.check_choice('upscaling: decode_from', self.decode_from, DECODE_FROM)
    at_least = {
      'num_steps': 1,
      'temperature': 0,
      'confidence_temperature': 0,
      'text_guidance': 0,
      'low_guidance': 0,
      'overlap': 0,
    }
    for name, least in at_least.items():
      if not getattr(self, name) >= least:
        self._refuse(name, f'at least {least}')
    if self.overlap >= 1:
      self._refuse('overlap', 'below 1')

  def _refuse(self, name: str, wish: str) -> None:
    raise errors.ConfigError(
      f'upscaling: {name} is {getattr(self, name)}; it must be {wish}.'
    )

  def passes(self, has_text: bool) -> tuple[tuple[Pass, ...], np.ndarray]:
    """The passes of a step and their weights, float32, which sum to 1.

    Args:
      has_text: whether there is a text at all; without one its weight is
        ignored.
    """
    text, low = self.text_guidance, self.low_guidance
    if not has_text:
      weights = {LOW: low, FREE: 1.0 - low}
    else:
      weights = {BOTH: text, LOW: low - text, FREE: 1.0 - low}
    used = {kind: weight for kind, weight in weights.items() if weight}
    return tuple(used), np.array(list(used.values()), np.float32)


# The paper's stages (VideoPoet, section 3.4).
STAGE_1 = UpscaleConfig(text_guidance=4.0, low_guidance=1.0)
STAGE_2 = UpscaleConfig(text_guidance=8.0, low_guidance=2.0)
STAGES = (STAGE_1, STAGE_2)


def stage(index: int) -> UpscaleConfig:
  """Default settings of a stage of a cascade; the last apply to any further."""
  return STAGES[min(index, len(STAGES) - 1)]
