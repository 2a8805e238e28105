"""The protocols of feature networks."""

from collections.abc import Sequence
import hashlib
import pathlib
from typing import Any, Protocol

import numpy as np

from videopoet_jax.core import storage


class FeatureNetwork(Protocol):
  """Features of samples by a frozen network.

  Attributes:
    name: name of the network and its weights: 'i3d_kinetics400'.
    width: width of a feature vector.
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
    """Hash of the weights and of the preprocessing's version."""
    ...

  def __call__(self, batch: np.ndarray) -> np.ndarray:
    """Computes features of each sample, independent of the rest of the batch.

    Args:
      batch: inputs of the kind in `takes`.

    Returns:
      float32 (B, width), or (B, windows, width) for sound.

    Raises:
      DataError: too few frames or samples of sound.
    """
    ...


class PairNetwork(Protocol):
  """A distance between two frames by a frozen network."""

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
  """Hash of a file of weights, or of all files of a folder, and of settings.

  Args:
    path: file or folder of weights.
    *settings: everything else that the features depend on, hashed by its repr.

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
