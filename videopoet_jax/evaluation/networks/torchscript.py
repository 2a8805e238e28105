"""I3D and C3D as published TorchScript files, which need no code of ours.

Both take uint8 levels as float32 (B, 3, T, H, W) and preprocess themselves.
"""

import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.evaluation.networks import interface
from videopoet_jax.evaluation.networks import paths
from videopoet_jax.evaluation.networks import pytorch


def i3d(path: str) -> 'VideoScript':
  """Opens I3D on Kinetics-400: 400 logits a video, FVD's features.

  The file converts TensorFlow Hub's module and, if requested, resizes frames to
  224 x 224 (bilinear, no antialiasing) and scales levels to [-1, 1].
  """
  found = paths.weights(
    path,
    what="I3D's weights",
    published='i3d_torchscript.pt, linked from the repository '
    'universome/stylegan-v (frechet_video_distance.py)',
    field='i3d',
  )
  arguments = (('rescale', True), ('resize', True), ('return_features', True))
  return VideoScript(
    'i3d_kinetics400', found, 400, min_frames=9, arguments=arguments
  )


def c3d(path: str) -> 'VideoScript':
  """Opens C3D on UCF-101: probabilities of 101 classes, for IS.

  The file converts TGAN2's Chainer model and takes unscaled levels.
  """
  found = paths.weights(
    path,
    what="C3D's weights",
    published='c3d_ucf101.pt, linked from the repository universome/stylegan-v '
    '(video_inception_score.py)',
    field='c3d',
  )
  return VideoScript('c3d_ucf101', found, 101, min_frames=16)


@dataclasses.dataclass(frozen=True)
class VideoScript:
  """A TorchScript module that maps a video to a vector.

  Attributes:
    name: name of the network.
    path: path of the file.
    width: width of the vector.
    min_frames: least number of frames of a video.
    arguments: keyword arguments of the module's call.
    chunk: videos a call.
    takes: kind of input, videos.
    stand_in: False, it is the published network.
  """

  name: str
  path: pathlib.Path
  width: int
  min_frames: int = 1
  arguments: tuple[tuple[str, Any], ...] = ()
  chunk: int = 4
  takes: str = 'video'
  stand_in: bool = False

  @functools.cached_property
  def fingerprint(self) -> str:
    """Hash of the file and the call's arguments."""
    return interface.fingerprint(self.path, self.name, self.arguments)

  @functools.cached_property
  def module(self) -> Any:
    """The module, loaded when first used."""
    torch = pytorch.imported('torch')
    try:
      module = torch.jit.load(self.path, map_location=pytorch.device())
    except RuntimeError as error:
      raise errors.ConfigError(
        f'{self.path} is no TorchScript file '
        f'({str(error).splitlines()[0][:200]}); give the file as it is '
        'published.'
      ) from error
    return module.eval()

  def __call__(self, video_BTHWC: np.ndarray) -> np.ndarray:
    if video_BTHWC.shape[1] < self.min_frames:
      raise errors.DataError(
        f'{self.name} needs videos of {self.min_frames} frames or more, not '
        f'{video_BTHWC.shape[1]}; let the protocol say another metric or more '
        'frames.'
      )
    features = pytorch.in_chunks(self._features, (video_BTHWC,), self.chunk)
    if features.shape[1:] != (self.width,):
      raise errors.ConfigError(
        f'{self.path} gives outputs of shape {features.shape[1:]}, not '
        f'({self.width},) as {self.name} does; give the file as published.'
      )
    return features

  def _features(self, video_BTHWC: Any) -> Any:
    video_BCTHW = video_BTHWC.permute(0, 4, 1, 2, 3).float().contiguous()
    return self.module(video_BCTHW, **dict(self.arguments))
