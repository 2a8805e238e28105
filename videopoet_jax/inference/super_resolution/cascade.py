"""Runs super-resolution stages one after the other, in token space.

Ids, or their expected codes, pass from stage to stage unchanged if both use the
same tokenizer; only the last stage's are decoded to pixels.
"""

from collections.abc import Callable, Sequence
import dataclasses
import functools
import math
import os

import numpy as np

from videopoet_jax.checkpoints import folders
from videopoet_jax.core import errors
from videopoet_jax.inference import draws
from videopoet_jax.inference.super_resolution import config as config_lib
from videopoet_jax.inference.super_resolution import long_video
from videopoet_jax.inference.super_resolution import upscaler


@dataclasses.dataclass(frozen=True)
class Clips:
  """Input of a cascade; ids or pixels may be missing.

  Attributes:
    ids_BTHW: int local ids of a visual tokenizer.
    fingerprint: fingerprint of that tokenizer.
    video_BTHWC: uint8 frames.
    codes_BTHWC: float32, expected codes of the ids, which replace the ids as
      the first stage's input.
  """

  ids_BTHW: np.ndarray | None = None
  fingerprint: str = ''
  video_BTHWC: np.ndarray | None = None
  codes_BTHWC: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Cascade:
  """Stages in the order they run.

  Attributes:
    stages: stages, at least one.
  """

  stages: tuple[upscaler.Upscaler, ...]

  def __post_init__(self) -> None:
    if not self.stages:
      raise errors.ConfigError(
        'no super-resolution model: give --super_resolution one folder a stage.'
      )

  @classmethod
  def load(
    cls,
    directories: Sequence[str | os.PathLike[str]],
    text_encoder: str | os.PathLike[str] = '',
  ) -> 'Cascade':
    """Opens one folder a stage; see `Upscaler.load`."""
    return cls(
      tuple(
        upscaler.Upscaler.load(directory, text_encoder)
        for directory in directories
      )
    )

  def with_decoder(self, directory: str | os.PathLike[str]) -> 'Cascade':
    """Returns a copy whose last stage decodes as in `Upscaler.with_decoder`."""
    return Cascade((*self.stages[:-1], self.stages[-1].with_decoder(directory)))

  @functools.cached_property
  def scale(self) -> int:
    """Height and width of the last result relative to the clip's."""
    return math.prod(stage.scale for stage in self.stages)

  def check_scale(self, wanted: int) -> None:
    """Raises ConfigError unless the stages upscale by this factor."""
    if wanted != self.scale:
      each = ' and '.join(f'{s.scale}x ({s.name})' for s in self.stages)
      raise errors.ConfigError(
        f'--upscale {wanted}x: the models in --super_resolution enlarge by '
        f'{each}, {self.scale}x in all; give --upscale {self.scale}x, or the '
        f'folders whose product is {wanted}.'
      )

  def check_clip(
    self,
    frames: int,
    height: int,
    width: int,
    configs: Sequence[config_lib.UpscaleConfig] = (),
    *,
    long: bool = False,
  ) -> None:
    """Checks that every stage can take a clip of this size.

    Args:
      frames: frames of the clip.
      height: height of the clip in pixels.
      width: width of the clip in pixels.
      configs: as for `run`.
      long: whether it is for `run_long`, which works on pixels.

    Raises:
      LayoutError: a stage cannot.
      CheckpointError: for long clips, a stage lacks a tokenizer.
    """
    for stage, config in zip(self.stages, self._configs(configs), strict=True):
      piece = frames
      if long:
        stage.check_encodes()
        stage.check_decodes()
        piece = long_video.piece_of(stage, frames)
      stage.tiles(stage.grid(piece, height, width), config.overlap)
      height, width = height * stage.scale, width * stage.scale

  def check_text(self, text: Sequence[str]) -> None:
    """Raises CheckpointError if a stage cannot take the texts."""
    for stage in self.stages:
      stage.check_text(text)

  def check_source(self, fingerprint: str, has_pixels: bool) -> None:
    """Checks that every stage can take the previous stage's result.

    Args:
      fingerprint: fingerprint of the tokenizer of the clips' ids, '' if
        unknown.
      has_pixels: whether pixels are available too.

    Raises:
      CheckpointError: ids or pixels cannot be passed on, or the last ids cannot
        be decoded.
    """
    for stage in self.stages:
      check_source(stage, fingerprint, has_pixels)
      fingerprint = stage.described.fingerprints.get('visual', '')
      has_pixels = stage.visual is not None
    self.stages[-1].check_decodes()

  def run(
    self,
    clips: Clips,
    text: Sequence[str] | None = None,
    *,
    configs: Sequence[config_lib.UpscaleConfig] = (),
    seed: int = 0,
    path: draws.Path = (),
    batch_size: int = 8,
    log: Callable[[str], None] = print,
  ) -> upscaler.Upscaled:
    """Runs every stage.

    Args:
      clips: clips to be upscaled.
      text: one text a clip, or None.
      configs: one config a stage; the paper's unless given.
      seed: seed of the draws.
      path: path of the draws; a stage's number is appended.
      batch_size: most clips of one compiled call.
      log: receives a line if ids have to be encoded again from pixels.

    Returns:
      The last stage's ids and pixels.

    Raises:
      UserError: see `Upscaler.upscale` and `condition`.
    """
    configs = self._configs(configs)
    made: upscaler.Upscaled | None = None
    for index, stage in enumerate(self.stages):
      low = condition(stage, clips, log)
      following = self.stages[index + 1 : index + 2]
      made = stage.upscale(
        low,
        text,
        config=configs[index],
        seed=seed,
        path=(*path, index),
        batch_size=batch_size,
        decode_signals=not following
        or not _same(following[0], stage.described.fingerprints.get('visual')),
      )
      clips = Clips(
        made.ids_BTHW,
        stage.described.fingerprints.get('visual', ''),
        made.video_BTHWC,
        made.codes_BTHWC,
      )
    assert made is not None
    return made

  def run_long(
    self,
    video_BTHWC: np.ndarray,
    text: Sequence[str] | None = None,
    *,
    configs: Sequence[config_lib.UpscaleConfig] = (),
    seed: int = 0,
    path: draws.Path = (),
    batch_size: int = 8,
  ) -> np.ndarray:
    """Upscales video of any length, by passing pixels between the stages.

    Args:
      video_BTHWC: uint8 frames.
      text: one text a clip, or None.
      configs: one config a stage; the paper's unless given.
      seed: seed of the draws.
      path: path of the draws; a stage's number is appended.
      batch_size: most clips of one compiled call.

    Returns:
      uint8 frames.

    Raises:
      UserError: see `super_resolution_long.upscale`.
    """
    for index, config in enumerate(self._configs(configs)):
      video_BTHWC = long_video.upscale(
        self.stages[index],
        video_BTHWC,
        text,
        config=config,
        seed=seed,
        path=(*path, index),
        batch_size=batch_size,
      )
    return video_BTHWC

  def _configs(
    self, given: Sequence[config_lib.UpscaleConfig]
  ) -> Sequence[config_lib.UpscaleConfig]:
    """One config a stage; raises ConfigError unless all or none are given."""
    if given and len(given) != len(self.stages):
      raise errors.ConfigError(
        f'{len(self.stages)} stages of super-resolution with {len(given)} '
        'settings; give one for each.'
      )
    return given or [config_lib.stage(i) for i in range(len(self.stages))]


def _same(stage: upscaler.Upscaler, fingerprint: str | None) -> bool:
  """Whether a stage takes ids of that tokenizer unchanged."""
  wanted = stage.described.fingerprints.get('low')
  return bool(wanted) and wanted == fingerprint


def check_source(
  stage: upscaler.Upscaler, fingerprint: str, has_pixels: bool
) -> None:
  """Checks that a stage can start from clips.

  Args:
    stage: stage to be conditioned.
    fingerprint: fingerprint of the tokenizer of the clips' ids, '' if unknown.
    has_pixels: whether pixels are available too.

  Raises:
    CheckpointError: ids are from another tokenizer, and pixels or the right
      tokenizer are missing.
  """
  if _same(stage, fingerprint):
    return
  if not has_pixels:
    raise errors.CheckpointError(
      f'{_difference(stage, fingerprint)}, and there are no pixels to encode: '
      'train it on tokens of the same tokenizer, or copy the '
      f'{folders.VISUAL} folder to the model which made them.'
    )
  if stage.low is None:
    raise errors.CheckpointError(
      f'{_difference(stage, fingerprint)}: copy the tokenizer of its '
      f'conditions to {stage.name}/{folders.LOW_VISUAL}, so that '
      'pixels can be encoded with it.'
    )


def _difference(stage: upscaler.Upscaler, fingerprint: str) -> str:
  wanted = stage.described.fingerprints.get('low') or 'unknown fingerprint'
  return (
    f'{stage.name} was trained on tokens of {wanted}, these are of '
    f'{fingerprint or "unknown fingerprint"}'
  )


def condition(
  stage: upscaler.Upscaler,
  clips: Clips,
  log: Callable[[str], None] = print,
) -> np.ndarray:
  """Returns a stage's condition: ids or expected codes.

  These are the clips' own if they are from the tokenizer that the stage was
  trained with; otherwise the clips' pixels are encoded with it.

  Args:
    stage: stage to be conditioned.
    clips: clips to condition on.
    log: receives a line if pixels are encoded.

  Raises:
    CheckpointError: see `check_source`.
  """
  known = '' if clips.ids_BTHW is None else clips.fingerprint
  check_source(stage, known, clips.video_BTHWC is not None)
  if clips.ids_BTHW is not None:
    if _same(stage, known):
      codes = clips.codes_BTHWC
      return clips.ids_BTHW if codes is None else codes
    log(f'{_difference(stage, known)}: their pixels are encoded again')
  assert clips.video_BTHWC is not None
  return stage.encode_low(clips.video_BTHWC)
