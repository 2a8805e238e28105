"""LPIPS of pairs of videos, and the fit of videos to their captions."""

import dataclasses

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import features
from videopoet_jax.evaluation.metrics import interface
from videopoet_jax.evaluation.metrics import sums
from videopoet_jax.evaluation.networks import interface as networks


@dataclasses.dataclass(frozen=True)
class LPIPS(sums.SampleMean):
  """Learned perceptual distance, the mean over frames, then samples.

  Attributes:
    network: network of distances between pairs of frames.
    name: name in results.
  """

  network: networks.PairNetwork
  name: str = 'lpips'
  higher_is_better: bool = False
  needs: tuple[str, ...] = ('generated', 'real')

  def measure(self, batch: interface.Arrays) -> interface.Arrays:
    generated, real = interface.pair(batch, self.name)
    frames = features.frames(generated, 'generated')
    shape = frames.shape
    distances = self.network(
      frames.reshape(-1, *shape[2:]),
      features.frames(real, 'real').reshape(-1, *shape[2:]),
    )
    per_frame = distances.astype(np.float64).reshape(shape[:2])
    return {interface.PER_SAMPLE: per_frame.mean(axis=1)}


@dataclasses.dataclass(frozen=True)
class CLIPSIM(sums.SampleMean):
  """Cosine of a caption's and a frame's embedding, the mean over frames.

  It follows Wu et al. (GODIVA, 2021), without a factor of 100 or a floor.

  Attributes:
    network: network that embeds frames and captions.
    name: name in results.
  """

  network: networks.TextImageNetwork
  name: str = 'clipsim'
  higher_is_better: bool = True
  needs: tuple[str, ...] = ('generated', 'text')

  def measure(self, batch: interface.Arrays) -> interface.Arrays:
    """Measures each video.

    Raises:
      DataError: the numbers of captions and videos differ.
    """
    video = features.frames(
      interface.need(batch, 'generated', self.name), 'generated'
    )
    captions = interface.need(batch, 'text', self.name)
    if len(captions) != len(video):
      raise errors.DataError(
        f'{self.name}: {len(captions)} captions for {len(video)} videos.'
      )
    frames_BTD = _unit(
      self.network.frames(video.reshape(-1, *video.shape[2:]))
    ).reshape(*video.shape[:2], -1)
    text_BD = _unit(self.network.text([str(caption) for caption in captions]))
    cosine_BT = np.einsum('btd,bd->bt', frames_BTD, text_BD)
    return {interface.PER_SAMPLE: cosine_BT.mean(axis=1)}


def _unit(vectors_ND: np.ndarray) -> np.ndarray:
  vectors_ND = vectors_ND.astype(np.float64)
  lengths = np.linalg.norm(vectors_ND, axis=-1, keepdims=True)
  return vectors_ND / np.maximum(lengths, 1e-12)
