"""Reconstructions of clips by a visual tokenizer, as the samples of a task.

A task whose layout is `reconstruction/<frames>x<height>x<width>` encodes and
decodes each clip of its set. Nothing is drawn: a sample depends on its clip and
on the tokenizer alone.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
import dataclasses
import functools
import os
import pathlib
from typing import Any

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.core import storage
from videopoet_jax.evaluation import eval_datasets
from videopoet_jax.evaluation import protocol as protocol_lib
from videopoet_jax.evaluation import task_inputs
from videopoet_jax.shapes import judges
from videopoet_jax.tokenizers import frame_counts
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers.magvit2 import bundle


@dataclasses.dataclass(frozen=True)
class ChosenTokenizer:
  """A tokenizer to evaluate, in the place of a checkpoint.

  Attributes:
    tokenizer: the tokenizer, opened.
    folder: its folder; the name of its class for one that was given in memory.
    step: None, a tokenizer's folder has no steps.
  """

  tokenizer: interface.Tokenizer
  folder: pathlib.Path
  step: int | None = None

  @property
  def fingerprint(self) -> str:
    return self.tokenizer.fingerprint

  @property
  def key(self) -> str:
    """Name of the folder of its evaluation."""
    return f'{self.folder.absolute().name}_{self.fingerprint[:8]}'


def choose(
  given: Sequence[str | os.PathLike[str] | interface.Tokenizer],
) -> list[ChosenTokenizer]:
  """Opens the tokenizers to evaluate.

  Args:
    given: folders, or tokenizers in memory.

  Raises:
    CheckpointError: a folder is missing, damaged, or holds no tokenizer.
    ConfigError: one is not a visual tokenizer.
  """
  found = []
  for one in given:
    if isinstance(one, str | os.PathLike):
      folder = storage.path(one)
      tokenizer: interface.Tokenizer = interface.load(folder)
    else:
      folder, tokenizer = pathlib.Path(type(one).__name__), one
    if not isinstance(tokenizer.spec, specs.VisualSpec):
      raise errors.ConfigError(
        f'{folder} is no visual tokenizer; protocols of reconstruction measure '
        'video: give the folder of a visual tokenizer.'
      )
    found.append(ChosenTokenizer(tokenizer, folder))
  return found


@dataclasses.dataclass(frozen=True)
class ReconstructedInputs:
  """Samples that a tokenizer reconstructs; see `task_inputs.Inputs`.

  Attributes:
    asked: task of the protocol.
    tokenizer: tokenizer that encodes and decodes.
    conditions: set of the clips.
  """

  asked: protocol_lib.EvaluationTask
  tokenizer: interface.Tokenizer
  conditions: eval_datasets.Set

  @property
  def _spec(self) -> specs.VisualSpec:
    spec = self.tokenizer.spec
    assert isinstance(spec, specs.VisualSpec)  # `choose` refuses others.
    return spec

  @functools.cached_property
  def _size(self) -> tuple[int, int, int]:
    """Frames, height and width of the clips that are reconstructed."""
    return protocol_lib.clip_size(self.asked.layout)

  @functools.cached_property
  def _fit(self) -> frame_counts.FrameFit:
    return frame_counts.fit(self._spec, self._size[0], 'trim')

  @functools.cached_property
  def _padding(self) -> tuple[int, int]:
    """Rows and columns that are added to reach multiples of the stride."""
    stride = self._spec.spatial_stride
    _, height, width = self._size
    return -height % stride, -width % stride

  @functools.cached_property
  def task(self) -> protocol_lib.EvaluationTask:
    """The task with the frames and the number of samples filled in.

    Raises:
      ConfigError: the set has no end, and the task takes all of it.
      DataError: the tokenizer holds none of the measured frames.
    """
    samples = self.asked.samples
    if not samples:
      if self.conditions.size is None:
        raise errors.ConfigError(
          f'{self.asked.name}/EvaluationTask.samples is 0, all clips of the '
          f'set {self.conditions.name!r}, which has no end; give a number.'
        )
      samples = self.conditions.size
    first = self.asked.first_frame
    wanted = self.asked.frames or self._size[0] - first
    frames = min(wanted, self._fit.used - first)
    if frames < 1:
      raise errors.DataError(
        f'{self.asked.name}: the tokenizer holds {self._fit.used} of '
        f'{self._size[0]} frames, none from frame {first}; measure from an '
        'earlier frame.'
      )
    return dataclasses.replace(self.asked, samples=samples, frames=frames)

  @property
  def notices(self) -> list[str]:
    """Lines that say how clips are fitted to the tokenizer."""
    lines = [self._fit.notice] if self._fit.notice else []
    down, right = self._padding
    if down or right:
      _, height, width = self._size
      lines.append(
        f'frames of {height} x {width} are padded to {height + down} x '
        f'{width + right} with copies of the last row and column, and cut back:'
        f' the tokenizer holds multiples of {self._spec.spatial_stride}'
      )
    return lines

  def check(self) -> None:
    """Raises UserError if the tokenizer and the set do not fit the task."""
    _ = self.task, self.detail

  @property
  def layout_name(self) -> str:
    return self.asked.layout

  @property
  def features(self) -> tuple[str, ...]:
    return ()

  @property
  def condition_frames(self) -> int:
    return 0

  @property
  def codebook_size(self) -> int:
    return self._spec.codebook_size

  @property
  def frame_rate(self) -> float:
    return self.conditions.frame_rate

  @property
  def sampling_rate(self) -> int:
    return self.conditions.sampling_rate

  @property
  def detail(self) -> Mapping[str, Any]:
    """What was encoded, and how it was fitted to the tokenizer."""
    _, height, width = self._size
    down, right = self._padding
    return {
      'codebook_size': self.codebook_size,
      'encoded': [self._fit.used, height, width],
      'tokens': list(
        self._spec.latent_shape(self._fit.used, height + down, width + right)
      ),
      'measured_frames': self.task.frames,
      'fitted': self.notices,
    }

  def make(
    self,
    protocol: protocol_lib.Protocol,
    clips: Any,
    numbers: np.ndarray,
    needed: Collection[str],
    batch_size: int,
  ) -> task_inputs.Made:
    """Reconstructs clips.

    Returns:
      uint8 video, and the arrays `ids`, int32 (B, tokens), and `pixels`, int64
      (B,), the number of pixels that the ids stand for.

    Raises:
      DataError: clips are smaller than the layout, or have another size.
    """
    del protocol, batch_size
    frames, height, width = self._size
    video_BTHWC = clips.video_BTHWC
    _, there, *size = video_BTHWC.shape[:4]
    if there < frames or size != [height, width]:
      raise errors.DataError(
        f'{self.asked.name}: {self.asked.layout} takes clips of {frames} '
        f'frames or more of {height} x {width} pixels, and set '
        f'{self.conditions.name!r} has {there} frames of {size[0]} x '
        f'{size[1]}; prepare it with --frames {frames} --height {height} '
        f'--width {width}.'
      )
    video_BTHWC = self._fit.apply(video_BTHWC[:, :frames])
    down, right = self._padding
    if down or right:
      edges = ((0, 0), (0, 0), (0, down), (0, right), (0, 0))
      video_BTHWC = np.pad(video_BTHWC, edges, 'edge')
    ids = np.asarray(self.tokenizer.encode(video_BTHWC), np.int32)
    count = len(numbers)
    arrays: dict[str, np.ndarray] = {
      'ids': ids.reshape(count, -1),
      'pixels': np.full(count, self._fit.used * height * width, np.int64),
    }
    outputs = judges.Outputs()
    if 'generated' in needed:
      decoded = np.asarray(self.tokenizer.decode(ids))
      outputs = judges.Outputs(
        bundle.to_pixels(decoded[:, : self._fit.used, :height, :width])
      )
    return task_inputs.Made(outputs, arrays)


def say(inputs: ReconstructedInputs, log: Callable[[str], None]) -> None:
  """Logs how the clips of a task are fitted to its tokenizer."""
  for notice in inputs.notices:
    log(f'  {inputs.asked.name}: {notice}')
