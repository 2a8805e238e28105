"""Open-MAGVIT2 with its weights, behind the common interface."""

from typing import Any

import jax
import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.tokenizers.open_magvit2 import config as config_lib
from videopoet_jax.tokenizers.open_magvit2 import model
from videopoet_jax.tokenizers.published import visual


class OpenMagvit2(visual.PublishedTokenizer):
  """Open-MAGVIT2: its ids are those of the authors' code, bit for bit.

  The ids of a video tokenizer's first frames depend on the rest of the clip,
  through the statistics of its norms.
  """

  kind = 'open_magvit2'
  family = 'Open-MAGVIT2'
  config_class = config_lib.OpenMagvit2Config

  def __init__(self, config: Any, params: Any, **keywords: Any) -> None:
    super().__init__(config, params, **keywords)
    self._decode_codes = jax.jit(self.decode_codes_batch)

  @classmethod
  def make_module(cls, config: Any) -> model.OpenMagvit2Model:
    """Returns the module of a config."""
    return model.OpenMagvit2Model(config)

  @property
  def notes(self) -> tuple[str, ...]:
    """Sentences about the ids, for the summary of an import."""
    if not self.config.video:
      return ()
    return (
      'norms span the clip: the ids of its first frames depend on the others,'
      ' so an image has other ids than the first frame of a video',
    )

  def decode_codes_batch(self, params: Any, codes: jax.Array) -> jax.Array:
    """Maps float32 codes_BTHWC to float32 video_BTHWC in [-1, 1]; pure."""
    return self.module.apply({'params': params}, codes, method='decode_codes')

  def decode(self, ids: Any) -> np.ndarray:
    """Decodes grids of local ids to video.

    Raises:
      LayoutError: if ids are not (batch, t, h, w) or out of range, or there is
        one cell only, which has no deviation to scale the decoder with.
    """
    shape = np.shape(ids)
    self._check_cells(shape[1:] if self.config.video else shape[2:])
    return super().decode(ids)

  def decode_codes(self, codes_BTHWC: np.ndarray) -> np.ndarray:
    """Decodes codes, which need not be those of an id.

    Args:
      codes_BTHWC: float32 (batch, t, h, w, bits), from -1 to 1.

    Returns:
      float32 (batch, frames, height, width, 3) in [-1, 1].

    Raises:
      LayoutError: there is one cell only.
    """
    shape = codes_BTHWC.shape[:-1]
    self._check_cells(shape[1:] if self.config.video else shape[2:])
    return self._in_batches(
      lambda part: self._decode_codes(self.params, self.place(part)),
      codes_BTHWC,
    )

  def _check_cells(self, cells: tuple[int, ...]) -> None:
    if len(cells) > 1 and np.prod(cells) == 1:
      raise errors.LayoutError(
        'the decoder of Open-MAGVIT2 is scaled by the deviation of the codes of'
        ' a clip, and this one has a single cell; give larger frames.'
      )


visual.register(OpenMagvit2, config_lib.from_description)
