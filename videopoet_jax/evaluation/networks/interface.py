"""What a feature network is."""

from collections.abc import Sequence
import hashlib
import pathlib
from typing import Any, Protocol

import numpy as np

from videopoet_jax.core import storage


class FeatureNetwork(Protocol):
  """Features of samples by a frozen network.

  Attributes:
    name: which network, by its weights too: 'i3d_kinetics400'.
    width: of a feature vector.
    stand_in: whether it stands in for the network that the metric's name
      promises; its values are never reported under that name.
    takes: 'video' (uint8 video_BTHWC), 'frames' (uint8 frames_NHWC) or 'audio'
      (float32 audio_BT in [-1, 1]).
  """

  name: str
  takes: str
  width: int
  stand_in: bool

  @property
  def fingerprint(self) -> str:
    """A hash of the weights, with the preprocessing's version."""
    ...

  def __call__(self, batch: np.ndarray) -> np.ndarray:
    """Features of each sample, whatever else is in the batch.

    Args:
      batch: of the kind that the network takes.

    Returns:
      float32 (B, width), or (B, windows, width) of sound.

    Raises:
      DataError: too few frames or samples of sound.
    """
    ...


class PairNetwork(Protocol):
  """A distance of two frames by a frozen network."""

  name: str

  @property
  def fingerprint(self) -> str: ...

  def __call__(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distances of uint8 frames_NHWC, float32 (N,)."""
    ...


class TextImageNetwork(Protocol):
  """Embeds frames and captions in one space."""

  name: str

  @property
  def fingerprint(self) -> str: ...

  def frames(self, frames_NHWC: np.ndarray) -> np.ndarray:
    """Embeddings of uint8 frames, float32 (N, D), of any length."""
    ...

  def text(self, captions: Sequence[str]) -> np.ndarray:
    """Embeddings of captions, float32 (N, D), of any length."""
    ...


def fingerprint(path: pathlib.Path, *settings: Any) -> str:
  """A hash of a weights' file, or of all files of a folder, and of settings.

  Args:
    path: file or folder.
    *settings: whatever else the features depend on; its repr counts.

  Returns:
    16 hexadecimal digits.
  """
  digest = hashlib.sha256(repr(settings).encode())
  for file in storage.files(path) if path.is_dir() else [path]:
    if file is not path:
      digest.update(file.relative_to(path).as_posix().encode())
    with file.open('rb') as stream:
      while piece := stream.read(2**22):
        digest.update(piece)
  return digest.hexdigest()[:16]
