"""The sound of a scene: pitch by kind, glide by direction, click at a bounce.

A shape sounds as a row of short notes. All notes of a kind have the same middle
pitch, an octave away from the next kind's; within each note the pitch glides at
a rate, in octaves a second, that depends on the direction of the shape at that
moment. Notes begin on a fixed grid and with the same phase, so between bounces
the waveform repeats note by note: a codec of a few bits can carry it. The glide
changes at a bounce, which a click marks; the click lies above all pitches.
"""

import functools

import numpy as np

from videopoet_jax.core import pcm
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import scene as shapes_scene

PITCHES_K = np.array([220.0, 440.0, 880.0])  # Hz, in the middle of a note.
# Octaves a second of attributes.DIRECTIONS, one apart: rising for motion up or
# right, as far as eight values allow.
GLIDES_D = np.array([0.5, -0.5, -2.5, -3.5, -1.5, 1.5, 3.5, 2.5])
NOTE_SECONDS = 0.25
CLICK_HERTZ = 2000.0
CLICK_SECONDS = 0.05
CLICK_DECAY = 0.008
_FADE_SECONDS = 0.006
_TONE_LEVEL = 0.35
CLICK_LEVEL = 0.6


def note_phase(kind: int, direction: int, sampling_rate: int) -> np.ndarray:
  """Phase of a note in radians, float64 (samples of a note,), from 0.

  The integral of the pitch `PITCHES_K[kind] * 2 ** (glide * (t - middle))`.
  """
  time = np.arange(round(NOTE_SECONDS * sampling_rate)) / sampling_rate
  octaves = GLIDES_D[direction]
  growth = octaves * np.log(2)
  first = PITCHES_K[kind] * 2 ** (-octaves * NOTE_SECONDS / 2)
  return 2 * np.pi * first * np.expm1(growth * time) / growth


@functools.lru_cache(maxsize=64)
def _note(kind: int, direction: int, sampling_rate: int) -> np.ndarray:
  """One note, float32 (samples,), peaks at 1."""
  phase = note_phase(kind, direction, sampling_rate)
  time = np.arange(len(phase)) / sampling_rate
  fade = np.minimum(time, time[-1] - time)
  envelope = np.clip(fade / _FADE_SECONDS, 0, 1)
  return (np.sin(phase) * envelope).astype(np.float32)


@functools.lru_cache(maxsize=8)
def _click(sampling_rate: int) -> np.ndarray:
  """A short ping, float32 (samples,), peaks near 1."""
  time = np.arange(round(CLICK_SECONDS * sampling_rate)) / sampling_rate
  ping = np.sin(2 * np.pi * CLICK_HERTZ * time) * np.exp(-time / CLICK_DECAY)
  return ping.astype(np.float32)


def waveform(
  scene: shapes_scene.Scene, config: shapes_config.ShapesConfig
) -> np.ndarray:
  """Returns the sound of a clip, int16; sample s is at s / sampling_rate."""
  rate, samples = config.sampling_rate, config.samples
  notes = -(-samples // round(NOTE_SECONDS * rate))
  audio_T = np.zeros(samples, np.float32)
  for shape in scene.shapes:
    legs = shape.legs(config.frames)
    begins = [round(time / config.frame_rate * rate) for time, _ in legs]
    ends = [*begins[1:], samples]
    for begin, end, (_, direction) in zip(begins, ends, legs, strict=True):
      tone_T = np.tile(_note(shape.kind, direction, rate), notes)
      audio_T[begin:end] += _TONE_LEVEL * tone_T[begin:end]
      if begin:
        ping = _click(rate)[: samples - begin]
        audio_T[begin : begin + len(ping)] += CLICK_LEVEL * ping
  audio_T /= len(scene.shapes)
  return pcm.to_int16(audio_T)
