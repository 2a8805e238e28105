"""InceptionV3 with FID's own weights, by torch-fidelity."""

import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.evaluation.networks import interface
from videopoet_jax.evaluation.networks import paths
from videopoet_jax.evaluation.networks import pytorch


def inception_v3(path: str) -> 'InceptionV3':
  """Opens the network of FID (2,048 features a frame), not torchvision's."""
  return InceptionV3(
    paths.weights(
      path,
      what="InceptionV3's weights for FID",
      published='weights-inception-2015-12-05-6726825d.pth, a release asset of '
      'toshas/torch-fidelity',
      field='inception_v3',
    )
  )


@dataclasses.dataclass(frozen=True)
class InceptionV3:
  """Pooled features of frames.

  Frames are resized to 299 x 299 like TensorFlow 1 (bilinear, corners not
  aligned, no antialiasing) and scaled by (x - 128) / 128.

  Attributes:
    path: path of the weights.
    chunk: frames a call.
    name: name of the network.
    width: width of its features.
    takes: kind of input, frames.
    stand_in: False, it is the published network.
  """

  path: pathlib.Path
  chunk: int = 16
  name: str = 'inception_v3'
  width: int = 2048
  takes: str = 'frames'
  stand_in: bool = False

  @functools.cached_property
  def fingerprint(self) -> str:
    """Hash of the weights."""
    return interface.fingerprint(self.path, self.name)

  @functools.cached_property
  def module(self) -> Any:
    """The module, loaded when first used."""
    fidelity = pytorch.imported(
      'torch_fidelity.feature_extractor_inceptionv3', 'torch-fidelity'
    )
    # Refuses files with more than tensors, which the package would execute.
    pytorch.state_dict(self.path)
    try:
      module = fidelity.FeatureExtractorInceptionV3(
        self.name, ['2048'], feature_extractor_weights_path=str(self.path)
      )
    except RuntimeError as error:
      lines = [line.strip() for line in str(error).splitlines()[1:3]]
      raise errors.ConfigError(
        f'{self.path} holds the weights of another network: '
        f'{" ".join(lines)[:300]}'
      ) from error
    return module.to(pytorch.device())

  def __call__(self, frames_NHWC: np.ndarray) -> np.ndarray:
    return pytorch.in_chunks(
      lambda frames: self.module(frames.permute(0, 3, 1, 2))[0],
      (frames_NHWC,),
      self.chunk,
    )
