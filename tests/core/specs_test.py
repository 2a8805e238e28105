"""Grids of tokenizers: frames, sizes and seconds, there and back."""

import hypothesis
from hypothesis import strategies as st
import pytest

from videopoet_jax.core import errors
from videopoet_jax.core import specs

_few = hypothesis.settings(max_examples=40, deadline=None)
_VISUAL = specs.VisualSpec()
_AUDIO = specs.AudioSpec()


@_few
@hypothesis.given(st.integers(1, 200), st.integers(1, 16))
def test_frames_of_latent_frames_and_back(latents, stride):
  spec = specs.VisualSpec(temporal_stride=stride)
  frames = spec.frames(latents)
  assert frames == 1 + stride * (latents - 1)
  assert spec.latent_frames(frames) == latents


@_few
@hypothesis.given(st.integers(-3, 100), st.integers(2, 8))
def test_other_numbers_of_frames_are_refused(frames, stride):
  spec = specs.VisualSpec(temporal_stride=stride)
  fitting = {spec.frames(n) for n in range(1, 200)}
  if frames in fitting:
    assert spec.frames(spec.latent_frames(frames)) == frames
    return
  lower = max([n for n in fitting if n < frames], default=1)
  with pytest.raises(
    errors.LayoutError, match=f'use {lower} or {lower + stride}\\.'
  ):
    spec.latent_frames(frames)


def test_the_defaults_are_the_papers():
  assert _VISUAL == specs.VisualSpec(262_144, 8, 4, 8.0)
  assert _AUDIO == specs.AudioSpec(4, 1024, 16_000, 320)


@pytest.mark.parametrize('frames', [0, -1, -4])
def test_a_clip_has_frames(frames):
  # With a stride of one, every other number fits.
  spec = specs.VisualSpec(temporal_stride=1)
  assert spec.latent_frames(1) == 1
  with pytest.raises(errors.LayoutError, match='use 1 or 2'):
    spec.latent_frames(frames)


def test_no_latent_frames_hold_no_frames():
  assert _VISUAL.frames(0) == 0
  assert _VISUAL.frames(1) == 1


def test_the_papers_shapes():
  assert _VISUAL.latent_shape(17, 128, 128) == (5, 16, 16)
  assert _VISUAL.latent_shape(41, 224, 128) == (11, 28, 16)
  assert _VISUAL.latent_shape(1, 8, 16) == (1, 1, 2)


@pytest.mark.parametrize(
  ('size', 'message'),
  [
    ((17, 130, 128), 'height 130 .* use 128 or 136'),
    ((17, 128, 7), 'width 7 .* use 8 or 16'),
    ((17, 0, 128), 'height 0 .* use 8 or 16'),
    ((18, 128, 128), '18 frames'),
  ],
)
def test_other_sizes_are_refused(size, message):
  with pytest.raises(errors.LayoutError, match=message):
    _VISUAL.latent_shape(*size)


def test_whole_latent_frames_of_sound():
  # 2.125 s is 106.25 latent frames.
  assert _AUDIO.latent_frames(2.125) == 106
  assert _AUDIO.latent_frames(0.0) == 0
  assert _AUDIO.latent_frames(319 / 16_000) == 0
  assert _AUDIO.latent_frames(320 / 16_000) == 1


@_few
@hypothesis.given(
  st.integers(0, 5000),
  st.sampled_from([8000, 16_000, 24_000, 44_100]),
  st.sampled_from([160, 320, 400]),
)
def test_the_seconds_of_latent_frames_hold_them(latents, rate, hop):
  # Rounding of the quotient must not cost a latent frame.
  spec = specs.AudioSpec(sampling_rate=rate, hop=hop)
  assert spec.latent_frames(latents * hop / rate) == latents


def test_ids_without_bits_say_what_needs_them():
  specs.VisualSpec().require_bits('this')
  spec = specs.VisualSpec(codebook_size=1000, has_bits=False)
  with pytest.raises(errors.ConfigError, match="this reads.*1000.*'bsq'"):
    spec.require_bits('this')
