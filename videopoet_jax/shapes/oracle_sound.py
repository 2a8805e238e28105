"""Reads kind, directions and bounces back from a waveform.

Clicks are found by a matched filter above all pitches. Between clicks each
quarter note is compared with the notes of every kind and direction, whatever
its phase; a leg's direction is the one that explains most of the energy of its
notes, and the kind is the one that fits all legs best.
"""

import dataclasses
import functools

import numpy as np
import scipy.fft
import scipy.signal

from videopoet_jax.core import pcm
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import sound

# Share of a sound's energy that its legs must explain.
_MIN_EXPLAINED = 0.3
# Root mean square, as a share of full scale, below which there is no sound.
_MIN_LEVEL = 0.02
# A click's response must reach this share of an ideal click's.
_MIN_CLICK = 0.25
# Two clicks are at least this far apart, in seconds.
_CLICK_SPACING = 0.1
# Time after a click without information about the pitch, in seconds.
_CLICK_SHADOW = 0.03
# Pieces of a note: long enough to tell the glides apart by their pitch there,
# short enough to forgive a codec some drift.
_PIECES = 4


@dataclasses.dataclass(frozen=True)
class SoundReading:
  """The oracle's reading of one sound.

  Attributes:
    kind: index into attributes.KINDS, by pitch.
    direction: index into attributes.DIRECTIONS of the first leg, by glide.
    directions: of every leg, one more than there are clicks; -1 for a leg too
      short to tell.
    clicks: times of the clicks, in seconds, rising.
    explained: share of the energy that kind and directions explain.
    valid: whether there is a sound and the reading explains most of it.
  """

  kind: int
  direction: int
  directions: tuple[int, ...]
  clicks: tuple[float, ...]
  explained: float
  valid: bool

  def clicks_match(
    self, times: tuple[float, ...], tolerance: float = 0.05
  ) -> bool:
    """Whether there is a click at each of `times` (seconds), and no other."""
    return len(times) == len(self.clicks) and all(
      abs(heard - time) <= tolerance
      for heard, time in zip(self.clicks, sorted(times))
    )


def read_sounds(
  audio_BT: np.ndarray,
  config: shapes_config.ShapesConfig,
  offset_seconds: float = 0.0,
) -> list[SoundReading]:
  """Reads the sounds of clips of one shape.

  Args:
    audio_BT: int16 samples, or float samples in [-1, 1].
    config: gives the sampling rate.
    offset_seconds: time of the first sample in its clip, for the later part
      of a sound: notes lie on a grid that begins with the clip.

  Returns:
    One reading a sound; clicks are timed from the first sample given.
  """
  audio_BT = pcm.to_float(np.asarray(audio_BT))
  rate = config.sampling_rate
  offset = round(offset_seconds * rate)
  explained_BPKD, energy_BP = _explain_pieces(audio_BT, rate, offset)
  level_B = np.sqrt((audio_BT**2).mean(-1))
  return [
    _read_one(explained_BPKD[n], energy_BP[n], clicks, rate, offset, level_B[n])
    for n, clicks in enumerate(_find_clicks(audio_BT, rate))
  ]


def _find_clicks(audio_BT: np.ndarray, rate: int) -> list[list[int]]:
  """Sample positions at which clicks begin, for each sound."""
  template = _click_template(rate)
  samples = audio_BT.shape[-1]
  size = scipy.fft.next_fast_len(samples + len(template))
  spectrum = np.conj(scipy.fft.fft(template, size))
  response_BT = np.abs(
    scipy.fft.ifft(scipy.fft.fft(audio_BT, size) * spectrum)
  )[:, :samples]
  spacing = round(_CLICK_SPACING * rate)
  found = []
  for response_T in response_BT:
    peaks, _ = scipy.signal.find_peaks(
      np.pad(response_T, 1), height=_MIN_CLICK, distance=spacing
    )
    found.append([int(peak) - 1 for peak in peaks])
  return found


@functools.lru_cache(maxsize=8)
def _click_template(rate: int) -> np.ndarray:
  """Returns a filter that answers an ideal click with 1, whatever its phase."""
  time = np.arange(round(sound.CLICK_SECONDS * rate)) / rate
  envelope = np.exp(-time / sound.CLICK_DECAY)
  energy = sound.CLICK_LEVEL * (envelope**2).sum() / 2
  wave = np.exp(2j * np.pi * sound.CLICK_HERTZ * time)
  return (envelope * wave / energy).astype(np.complex64)


@functools.lru_cache(maxsize=8)
def _piece_templates(rate: int) -> np.ndarray:
  """Cosine and sine of every note, piece by piece.

  Returns:
    float32 (pieces of a note, samples of a piece, 2 x kinds x directions).
  """
  phases_ND = np.stack(
    [
      sound.note_phase(kind, direction, rate)
      for kind in range(len(sound.PITCHES_K))
      for direction in range(len(sound.GLIDES_D))
    ],
    axis=-1,
  )
  waves_N2D = np.stack([np.cos(phases_ND), np.sin(phases_ND)], axis=1)
  return waves_N2D.reshape(_PIECES, len(phases_ND) // _PIECES, -1).astype(
    np.float32
  )


def _explain_pieces(
  audio_BT: np.ndarray, rate: int, offset: int
) -> tuple[np.ndarray, np.ndarray]:
  """Cuts sounds into quarter notes and compares each with all templates.

  Returns:
    Energy explained by each kind and direction (B, pieces, kinds,
    directions), and the energy of each piece (B, pieces).
  """
  templates_QSE = _piece_templates(rate)
  size = templates_QSE.shape[1]
  before = offset % (size * _PIECES)
  after = -(before + audio_BT.shape[1]) % (size * _PIECES)
  padded_BT = np.pad(audio_BT, ((0, 0), (before, after)))
  pieces_BNQS = padded_BT.reshape(len(audio_BT), -1, _PIECES, size)
  answers_BNQE = np.einsum(
    'bnqs,qse->bnqe', pieces_BNQS, templates_QSE, optimize=True
  )
  # A sine's own template answers with half its energy.
  power_BNQE = 2 * answers_BNQE**2 / size
  kinds, directions = len(sound.PITCHES_K), len(sound.GLIDES_D)
  explained_BP2KD = power_BNQE.reshape(len(audio_BT), -1, 2, kinds, directions)
  energy_BNQ = (pieces_BNQS**2).sum(-1)
  return explained_BP2KD.sum(2), energy_BNQ.reshape(len(audio_BT), -1)


def _read_one(
  explained_PKD: np.ndarray,
  energy_P: np.ndarray,
  clicks: list[int],
  rate: int,
  offset: int,
  level: float,
) -> SoundReading:
  """Combines the pieces of each leg."""
  size = _piece_templates(rate).shape[1]
  # Where each piece begins and ends, in samples of the sound given.
  begin_P = np.arange(len(energy_P)) * size - offset % (size * _PIECES)
  end_P = begin_P + size
  leg_P = np.zeros(len(energy_P), np.int64)
  clean_P = np.ones(len(energy_P), bool)
  for click in clicks:
    leg_P += begin_P >= click
    clean_P &= (end_P <= click) | (begin_P >= click + _CLICK_SHADOW * rate)
  explained_LKD = np.stack(
    [
      explained_PKD[clean_P & (leg_P == leg)].sum(0)
      for leg in range(len(clicks) + 1)
    ]
  )
  best_LK = explained_LKD.max(-1)
  kind = int(np.argmax(best_LK.sum(0)))
  # A leg shorter than a piece carries no information.
  directions = tuple(
    int(answer_D.argmax()) if answer_D.any() else -1
    for answer_D in explained_LKD[:, kind]
  )
  share = float(best_LK[:, kind].sum() / (energy_P[clean_P].sum() + 1e-9))
  return SoundReading(
    kind=kind,
    direction=directions[0],
    directions=directions,
    clicks=tuple(click / rate for click in clicks),
    explained=share,
    valid=bool(share > _MIN_EXPLAINED and level > _MIN_LEVEL),
  )
