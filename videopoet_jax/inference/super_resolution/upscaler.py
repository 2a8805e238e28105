"""An opened super-resolution checkpoint, which upscales clips."""

from collections.abc import Sequence
import dataclasses
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.checkpoints import folders
from videopoet_jax.checkpoints import opened as opened_lib
from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.core import storage
from videopoet_jax.core import upscaling
from videopoet_jax.inference import conditions as conditions_lib
from videopoet_jax.inference import draws
from videopoet_jax.inference import text_encoder as text_encoder_lib
from videopoet_jax.inference.super_resolution import config as config_lib
from videopoet_jax.inference.super_resolution import loop
from videopoet_jax.inference.super_resolution import tiles as tiles_lib
from videopoet_jax.layers import embeddings
from videopoet_jax.models.super_resolution import description
from videopoet_jax.models.super_resolution import model as model_lib
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers import text as text_lib
from videopoet_jax.tokenizers.magvit2 import bundle as visual_bundle
from videopoet_jax.tokenizers.quantizers import lfq

_ROUNDING = 1e-4  # Tolerance of means of bits beyond 1.


@dataclasses.dataclass(frozen=True)
class Upscaled:
  """Upscaled clips.

  Attributes:
    ids_BTHW: int32 local ids of the result's tokenizer.
    video_BTHWC: uint8 frames, or None if not requested.
    codes_BTHWC: float32, the ids' expected codes, from -1 to 1 a bit; None
      unless `UpscaleConfig.decode_from` needs them.
  """

  ids_BTHW: np.ndarray
  video_BTHWC: np.ndarray | None
  codes_BTHWC: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Given:
  """Known part of the result.

  Attributes:
    ids_BTHW: int32 local ids, arbitrary where not known.
    known_BTHW: bool, True where an id is known.
  """

  ids_BTHW: np.ndarray
  known_BTHW: np.ndarray


def _open_tokenizer(
  directory: pathlib.Path, wanted: str | None, what: str
) -> interface.TokenizerBundle | None:
  """Opens a tokenizer beside a checkpoint; None if there is none.

  Raises:
    CheckpointError: it is not the one that the model was trained with.
  """
  if not directory.is_dir():
    return None
  tokenizer = interface.open_folder(
    directory, visual_bundle.VisualTokenizer.kind
  )
  if wanted and tokenizer.fingerprint != wanted:
    raise errors.CheckpointError(
      f'{directory} has fingerprint {tokenizer.fingerprint}; {what} the '
      f'super-resolution model are tokens of {wanted}. Copy the tokenizer it '
      'was trained with.'
    )
  return tokenizer


def _same_arrays(ours: Any, theirs: Any) -> bool:
  """Whether two trees agree up to the rounding of averages."""
  if jax.tree.map(np.shape, ours) != jax.tree.map(np.shape, theirs):
    return False
  close = jax.tree.map(
    lambda a, b: np.allclose(a, b, rtol=1e-4, atol=1e-6), ours, theirs
  )
  return all(jax.tree.leaves(close))


@dataclasses.dataclass(frozen=True)
class Upscaler:
  """A super-resolution model with its tokenizers.

  Attributes:
    name: name of the checkpoint, for messages.
    model: the network.
    params: parameters, unboxed.
    described: description of the checkpoint.
    visual: tokenizer of the result, None if the folder has none.
    low: tokenizer of the condition, None if the folder has none.
    text: tokenizer or encoder of the text.
  """

  name: str
  model: Any
  params: Any
  described: description.Description
  visual: Any = None
  low: Any = None
  text: conditions_lib.Tokenizers = conditions_lib.Tokenizers()

  @classmethod
  def load(
    cls,
    directory: str | os.PathLike[str],
    text_encoder: str | os.PathLike[str] = '',
  ) -> 'Upscaler':
    """Opens a checkpoint folder; nothing else is needed.

    Args:
      directory: folder of a run or an export, with its tokenizers.
      text_encoder: folder of the text encoder, for models that take text
        embeddings and do not contain it.

    Raises:
      CheckpointError: it is missing, empty, half written or of another kind, or
        a tokenizer is not the one that it was trained with.
    """
    folder = storage.absolute(directory)
    opened = opened_lib.open_folder(folder, description.KIND)
    values, params = opened.read_params()
    described = description.read(values)
    wanted = described.fingerprints
    visual = _open_tokenizer(
      folder / folders.VISUAL, wanted.get('visual'), 'the results of'
    )
    low = _open_tokenizer(
      folder / folders.LOW_VISUAL, wanted.get('low'), 'the conditions of'
    )
    if low is None and wanted.get('low') == wanted.get('visual'):
      low = visual
    text: dict[str, Any] = {}
    if described.config.text == 'embeddings':
      encoder = storage.given(text_encoder)
      text['embed_text'] = text_encoder_lib.beside(folder, values, encoder)
    if (folder / folders.TEXT).is_dir():
      text['text'] = text_lib.load(folder / folders.TEXT)
    return cls(
      str(directory),
      model_lib.SuperResolution(
        described.config,
        described.visual.codebook_size,
        described.low_visual.codebook_size,
      ),
      jax.device_put(params),
      described,
      visual,
      low,
      conditions_lib.Tokenizers(**text),
    )

  def with_decoder(self, directory: str | os.PathLike[str]) -> 'Upscaler':
    """Returns a copy that decodes ids by another tokenizer.

    Args:
      directory: a tokenizer trained further from this one with
        `VisualTokenizerRecipe.decoder_only`.

    Raises:
      CheckpointError: it cannot be read, or its encoder differs.
    """
    tokenizer = interface.load(directory, visual_bundle.VisualTokenizer.kind)
    if self.visual is None or not _same_arrays(
      self.visual.params['encoder'], tokenizer.params['encoder']
    ):
      raise errors.CheckpointError(
        f'{directory} does not have the encoder of '
        f'{self.name}/{folders.VISUAL}, so its decoder reads other ids; give a '
        'tokenizer trained from that one with '
        'VisualTokenizerRecipe.decoder_only = True.'
      )
    return dataclasses.replace(self, visual=tokenizer)

  @property
  def scale(self) -> int:
    """Height and width of the result relative to the condition's."""
    return self.described.config.scale

  @property
  def spec(self) -> specs.VisualSpec:
    """Grid of the result's ids."""
    return self.described.visual

  def unit(self, latent_frames: int) -> upscaling.Upscaling:
    """The largest trained size with this number of latent frames.

    Raises:
      LayoutError: there is none.
    """
    units = self.described.upscalings()
    fitting = [
      unit
      for unit in units
      if self.spec.latent_frames(unit.frames) == latent_frames
    ]
    if not fitting:
      frames = self.spec.frames(latent_frames)
      raise errors.LayoutError(
        f'{self.name} was trained on {", ".join(self.described.units)}, not on '
        f'clips of {frames} frames ({latent_frames} latent ones); give a clip '
        'of one of these lengths.'
      )
    return max(fitting, key=lambda unit: unit.height * unit.width)

  def tile(self, grid: tuple[int, int, int]) -> tuple[int, int]:
    """Rows and columns of ids that are generated together.

    Args:
      grid: latent frames, rows and columns of the result.

    Raises:
      LayoutError: no trained size has this number of frames, or the model's
        windows do not divide the tile.
    """
    _, rows, columns = self.unit(grid[0]).latent(self.spec)
    tile = min(grid[1], rows), min(grid[2], columns)
    self.described.config.check_grid((grid[0], *tile))
    return tile

  def tiles(
    self, grid: tuple[int, int, int], overlap: float
  ) -> tuple[tiles_lib.Tile, ...]:
    """The tiles of a clip, in the order in which they are generated.

    Args:
      grid: latent frames, rows and columns of the result.
      overlap: see `UpscaleConfig`.

    Raises:
      LayoutError: see `tile`; or the overlap leaves tiles no room to advance.
    """
    tile = self.tile(grid)
    return tuple(tiles_lib.over(grid[1:], tile, overlap, self.scale))

  def grid(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
    """Grid of the result's ids for a condition of this size in pixels.

    Raises:
      LayoutError: strides do not divide it, or the model cannot generate it.
    """
    frames, rows, columns = self.described.low_visual.latent_shape(
      frames, height, width
    )
    grid = frames, rows * self.scale, columns * self.scale
    self.tile(grid)
    return grid

  def conditions(
    self, low_BTHW: np.ndarray, text: Sequence[str] | None
  ) -> loop.Conditions:
    """Returns the inputs of the network.

    Args:
      low_BTHW: int local ids, or float (B, T, h, w, bits), expected codes.
      text: one text a clip, or None for none at all.

    Raises:
      DataError: the numbers of texts and clips differ.
    """
    number, config = len(low_BTHW), self.described.config
    is_ids = np.issubdtype(low_BTHW.dtype, np.integer)
    low = jnp.asarray(low_BTHW, jnp.int32 if is_ids else jnp.float32)
    if text is None:
      # One hidden slot stands for no text.
      shape: tuple[int, ...] = (number, 1)
      if config.text == 'embeddings':
        shape = (number, 1, config.text_embedding_dim)
      dtype = jnp.float32 if config.text == 'embeddings' else jnp.int32
      return loop.Conditions(
        low, jnp.zeros(shape, dtype), jnp.zeros((number, 1), bool)
      )
    if len(text) != number:
      raise errors.DataError(
        f'{number} clips with {len(text)} texts; give one for each clip.'
      )
    # The captions of clips repeat: each is encoded once.
    different = sorted(set(text))
    rows = np.array([different.index(one) for one in text])
    features = conditions_lib.encode_text(
      {'text': different}, self.text, config.text_slots
    )
    values = features.get(conditions_lib.TEXT_EMBEDDINGS, features['text'])
    visible_BS = features['text'] != text_lib.PAD_ID
    return loop.Conditions(
      low, jnp.asarray(values[rows]), jnp.asarray(visible_BS[rows])
    )

  def upscale(
    self,
    low: np.ndarray,
    text: Sequence[str] | None = None,
    *,
    given: Given | None = None,
    config: config_lib.UpscaleConfig = config_lib.STAGE_1,
    seed: int = 0,
    path: draws.Path = (),
    batch_size: int = 8,
    decode_signals: bool = True,
  ) -> Upscaled:
    """Upscales clips.

    Args:
      low: int (B, T, h, w), local ids of the condition's tokenizer; or their
        expected codes, float (B, T, h, w, bits) from -1 to 1; or pixels, uint8
        (B, frames, height, width, 3), which are encoded.
      text: one text a clip, or None for none.
      given: ids of the result that are known.
      config: settings of sampling.
      seed: seed of the draws; sample i of a seed is the same in any batch.
      path: path of the draws within the seed: stage, piece of a longer video.
      batch_size: most clips of one compiled call.
      decode_signals: whether ids are decoded to pixels.

    Raises:
      LayoutError: the clips' size or ids are wrong.
      CheckpointError: a required tokenizer is missing.
      DataError: the numbers of texts and clips differ.
    """
    low_BTHW = self._condition(np.asarray(low))
    scale = self.scale
    frames, rows, columns = low_BTHW.shape[1:4]
    grid = frames, rows * scale, columns * scale
    tiles = self.tiles(grid, config.overlap)
    conditions = self.conditions(low_BTHW, text)
    shape = (len(low_BTHW), *grid)
    ids_BTHW = np.zeros(shape, np.int32)
    known_BTHW = np.zeros(shape, bool)
    if given is not None:
      known_BTHW = np.broadcast_to(given.known_BTHW, shape).copy()
      ids_BTHW = np.where(known_BTHW, given.ids_BTHW, 0).astype(np.int32)
    codes_BTHWC: np.ndarray | None = None
    if config.decode_from == 'expectation':
      bits = embeddings.code_bits(self.spec.codebook_size)
      codes_BTHWC = np.array(lfq.ids_to_codes(jnp.asarray(ids_BTHW), bits))
    number, size = len(low_BTHW), min(batch_size, len(low_BTHW))
    for index, part in enumerate(tiles):
      here = (slice(None), slice(None), *part.high)
      below = (slice(None), slice(None), *part.low)
      made = []
      for start in range(0, number, size):
        # The last batch is filled up, so that one program serves all.
        chosen = np.arange(start, start + size) % number
        made.append(
          loop.fill(
            self.model,
            self.params,
            loop.Conditions(
              conditions.low_BTHW[chosen][below],
              conditions.text[chosen],
              conditions.text_visible_BS[chosen],
            ),
            ids_BTHW[chosen][here],
            ~known_BTHW[chosen][here],
            config=config,
            keys_B=loop.sample_keys(seed, chosen, index, path),
            codes_BTHWC=(
              None if codes_BTHWC is None else codes_BTHWC[chosen][here]
            ),
          )
        )
      ids_BTHW[here] = np.concatenate([m.ids_BTHW for m in made])[:number]
      if codes_BTHWC is not None:
        codes_BTHWC[here] = np.concatenate([m.codes_BTHWC for m in made])[
          :number
        ]
      known_BTHW[(slice(None), slice(None), *part.kept)] = True
    video = None
    if decode_signals and codes_BTHWC is not None:
      self.check_decodes()
      video = visual_bundle.to_pixels(self.visual.decode_codes(codes_BTHWC))
    elif decode_signals:
      video = self.decode(ids_BTHW)
    return Upscaled(ids_BTHW, video, codes_BTHWC)

  def decode(self, ids_BTHW: np.ndarray) -> np.ndarray:
    """Decodes ids of the result to uint8 frames; see `check_decodes`."""
    self.check_decodes()
    return visual_bundle.to_pixels(self.visual.decode(ids_BTHW))

  def encode_high(self, video_BTHWC: np.ndarray) -> np.ndarray:
    """Encodes pixels of the result to its ids; see `check_decodes`."""
    self.check_decodes()
    return self.visual.encode(video_BTHWC)

  def check_decodes(self) -> None:
    """Raises CheckpointError without a tokenizer of the result."""
    if self.visual is None:
      raise errors.CheckpointError(
        f'{self.name} has no {folders.VISUAL}/ folder to decode pixels with; '
        'copy the tokenizer it was trained with there.'
      )

  def encode_low(self, video_BTHWC: np.ndarray) -> np.ndarray:
    """Encodes pixels of the condition to its ids; see `check_encodes`."""
    self.check_encodes()
    return self.low.encode(video_BTHWC)

  def check_encodes(self) -> None:
    """Raises CheckpointError without a tokenizer of the condition."""
    if self.low is None:
      raise errors.CheckpointError(
        f'{self.name} has no {folders.LOW_VISUAL}/ folder to encode pixels '
        'with; copy the tokenizer of its conditions there.'
      )

  def check_text(self, text: Sequence[str]) -> None:
    """Raises CheckpointError if texts are given and cannot be embedded."""
    if text and self.described.config.text == 'embeddings':
      slots = self.described.config.text_slots
      # The same number as later, so that no other program is compiled for it.
      different = sorted(set(text))
      conditions_lib.encode_text({'text': different}, self.text, slots)

  def _condition(self, low: np.ndarray) -> np.ndarray:
    """Checks ids or codes of the condition; raises LayoutError if wrong."""
    codes = self.described.low_visual.codebook_size
    bits = embeddings.code_bits(codes)
    if low.ndim == 5 and np.issubdtype(low.dtype, np.floating):
      if low.shape[-1] != bits or not np.all(np.abs(low) <= 1 + _ROUNDING):
        raise errors.LayoutError(
          f"codes of the condition's tokenizer have {bits} numbers from -1 to "
          f'1 each; got {low.shape[-1]} from {low.min():g} to {low.max():g}.'
        )
      return low
    if low.ndim == 5:
      return self.encode_low(low)
    if low.ndim != 4 or not np.issubdtype(low.dtype, np.integer):
      raise errors.LayoutError(
        'upscaling takes ids (clips, latent frames, rows, columns), codes '
        '(the same and bits, float) or pixels (clips, frames, height, width, '
        f'3; uint8); got {low.dtype} {low.shape}.'
      )
    if low.size and not 0 <= low.min() <= low.max() < codes:
      raise errors.LayoutError(
        f'ids from {low.min()} to {low.max()} are not those of the '
        f"condition's tokenizer, 0 to {codes - 1}; give local ids."
      )
    return low
