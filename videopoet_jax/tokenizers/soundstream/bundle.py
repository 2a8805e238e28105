"""The audio tokenizer with its weights, behind the common interface."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import pcm
from videopoet_jax.core import specs
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers.soundstream import config as config_lib
from videopoet_jax.tokenizers.soundstream import model as model_lib


class AudioTokenizer(interface.TokenizerBundle):
  """SoundStream: `encode` takes audio_BT, int16 or float in [-1, 1].

  Samples after the last whole hop of a waveform are dropped. The ids of a
  prefix of whole hops are the first ids of the whole waveform.
  """

  kind = 'audio_tokenizer'

  def __init__(
    self,
    config: config_lib.SoundStreamConfig,
    params: Any,
    batch_size: int = 32,
  ) -> None:
    self.module = model_lib.SoundStream(config)
    super().__init__(config, params, batch_size)

  @property
  def spec(self) -> specs.AudioSpec:
    """Shape of the grid of ids."""
    return self.config.spec

  def encode_batch(self, params: Any, signal: jax.Array) -> jax.Array:
    """Maps float32 audio_BT in [-1, 1] to int32 ids_BKF; pure."""
    return self.module.apply({'params': params}, signal, method='encode')

  def decode_batch(self, params: Any, ids: jax.Array) -> jax.Array:
    """Maps int32 ids_BKF to float32 audio_BT in [-1, 1]; pure."""
    return self.module.apply({'params': params}, ids, method='decode')

  def prepare(self, signal: np.ndarray) -> np.ndarray:
    """Converts int16 or float waveforms to float32 in [-1, 1].

    Raises:
      LayoutError: if they are not (batch, samples) or shorter than a hop.
    """
    if signal.ndim != 2 or signal.shape[1] < self.spec.hop:
      raise errors.LayoutError(
        'the audio tokenizer encodes mono waveforms of shape (batch, samples) '
        f'with at least {self.spec.hop} samples; got {signal.shape}.'
      )
    return np.asarray(from_samples(signal))

  def decode(self, ids: Any) -> np.ndarray:
    """Decodes grids of local ids to waveforms.

    Raises:
      LayoutError: if ids are not (batch, levels, frames) or out of range.
    """
    ids = np.asarray(ids, np.int32)
    spec = self.spec
    if ids.ndim != 3 or not 1 <= ids.shape[1] <= spec.levels:
      raise errors.LayoutError(
        'the audio tokenizer decodes ids of shape (batch, levels, frames) '
        f'with 1 to {spec.levels} levels; got {ids.shape}.'
      )
    if ids.size and (ids.min() < 0 or ids.max() >= spec.codes):
      raise errors.LayoutError(
        f'audio ids from {ids.min()} to {ids.max()} are outside the '
        f"tokenizer's 0 to {spec.codes - 1}; give local ids."
      )
    return super().decode(ids)


def from_samples(audio: Any) -> Any:
  """Converts int16 samples to float32 in [-1, 1]; floats pass as float32."""
  return pcm.to_float(audio)


def to_samples(audio: Any) -> np.ndarray:
  """Converts float waveforms in [-1, 1] to int16 samples, rounded, clipped."""
  return pcm.to_int16(audio)


def _build(description: Mapping[str, Any], params: Any) -> AudioTokenizer:
  return AudioTokenizer(config_lib.from_description(description), params)


interface.register(AudioTokenizer.kind, _build)
