"""Cascades: ids from stage to stage, pixels where they must, long video."""

import dataclasses
import pathlib

import jax
import numpy as np
import pytest

from tests.inference import super_resolution_folder
from videopoet_jax.core import errors
from videopoet_jax.inference import conditions
from videopoet_jax.inference import text_encoder
from videopoet_jax.inference.super_resolution import cascade as cascade_lib
from videopoet_jax.inference.super_resolution import config as config_lib
from videopoet_jax.inference.super_resolution import long_video
from videopoet_jax.inference.super_resolution import loop
from videopoet_jax.inference.super_resolution import upscaler

_FEW = config_lib.UpscaleConfig(num_steps=3)


@pytest.fixture(scope='module')
def stage(tmp_path_factory):
  path = tmp_path_factory.mktemp('stage')
  super_resolution_folder.write(path)
  return upscaler.Upscaler.load(path)


@pytest.fixture(scope='module')
def video():
  return np.random.default_rng(0).integers(
    0, 256, (1, 17, 16, 16, 3), dtype=np.uint8
  )


class _Counted:
  """A tokenizer that counts its calls."""

  def __init__(self, tokenizer):
    self.tokenizer, self.spec = tokenizer, tokenizer.spec
    self.encoded = self.decoded = 0

  def encode(self, video):
    self.encoded += 1
    return self.tokenizer.encode(video)

  def decode(self, ids):
    self.decoded += 1
    return self.tokenizer.decode(ids)


def test_ids_pass_from_stage_to_stage(stage, video):
  counted = _Counted(stage.visual)
  stage = dataclasses.replace(stage, visual=counted, low=counted)
  cascade = cascade_lib.Cascade((stage, stage))
  assert cascade.scale == 4
  fingerprint = stage.described.fingerprints['low']
  clips = cascade_lib.Clips(counted.tokenizer.encode(video), fingerprint, video)
  said = []
  made = cascade.run(clips, configs=(_FEW, _FEW), log=said.append)
  assert made.ids_BTHW.shape == (1, 5, 8, 8)
  assert made.video_BTHWC.shape == (1, 17, 64, 64, 3)
  # Pixels are made once, of the result.
  assert (counted.encoded, counted.decoded, said) == (0, 1, [])
  # The same ids come of two calls by hand.
  first = stage.upscale(
    clips.ids_BTHW, config=_FEW, path=(0,), decode_signals=False
  )
  second = stage.upscale(first.ids_BTHW, config=_FEW, path=(1,))
  np.testing.assert_array_equal(second.ids_BTHW, made.ids_BTHW)


def test_expected_codes_pass_where_asked(stage, video):
  expected = dataclasses.replace(_FEW, decode_from='expectation')
  cascade = cascade_lib.Cascade((stage, stage))
  clips = cascade_lib.Clips(
    stage.low.encode(video), stage.described.fingerprints['low']
  )
  made = cascade.run(clips, configs=(expected, _FEW))
  assert made.codes_BTHWC is None
  first = stage.upscale(
    clips.ids_BTHW, config=expected, path=(0,), decode_signals=False
  )
  assert first.video_BTHWC is None
  assert first.codes_BTHWC.shape == (1, 5, 4, 4, 6)
  second = stage.upscale(first.codes_BTHWC, config=_FEW, path=(1,))
  np.testing.assert_array_equal(second.ids_BTHW, made.ids_BTHW)
  hard = cascade.run(clips, configs=(_FEW, _FEW))
  assert not np.array_equal(hard.ids_BTHW, made.ids_BTHW)


def test_ids_of_another_tokenizer_are_made_anew_or_refused(
  stage, video, tmp_path
):
  super_resolution_folder.write(tmp_path / 'other', low_seed=1)
  other = upscaler.Upscaler.load(tmp_path / 'other')
  assert other.low.fingerprint != other.visual.fingerprint
  ids, fingerprint = stage.low.encode(video), stage.low.fingerprint
  said = []
  clips = cascade_lib.Clips(ids, fingerprint, video)
  again = cascade_lib.condition(other, clips, said.append)
  np.testing.assert_array_equal(again, other.low.encode(video))
  assert len(said) == 1 and 'encoded again' in said[0]
  with pytest.raises(errors.CheckpointError, match='no pixels'):
    cascade_lib.condition(other, cascade_lib.Clips(ids, fingerprint))
  blind = dataclasses.replace(other, low=None)
  with pytest.raises(errors.CheckpointError, match='low_tokenizer'):
    cascade_lib.condition(blind, clips)


def test_what_cannot_be_handed_on_is_said_before(stage):
  fingerprint = stage.described.fingerprints['low']
  cascade = cascade_lib.Cascade((stage, stage))
  cascade.check_source(fingerprint, has_pixels=False)
  cascade.check_source('another', has_pixels=True)
  with pytest.raises(errors.CheckpointError, match='no pixels'):
    cascade.check_source('another', has_pixels=False)
  mute = dataclasses.replace(stage, visual=None)
  with pytest.raises(errors.CheckpointError, match='visual_tokenizer/'):
    cascade_lib.Cascade((stage, mute)).check_source(fingerprint, True)


def test_scales_and_sizes_that_do_not_fit_are_refused(stage):
  cascade = cascade_lib.Cascade((stage, stage))
  cascade.check_scale(4)
  with pytest.raises(errors.ConfigError, match='4x in all; give --upscale 4x'):
    cascade.check_scale(8)
  cascade.check_clip(17, 16, 16)
  with pytest.raises(errors.LayoutError, match='9 frames'):
    cascade.check_clip(9, 16, 16)
  # Stage 2 makes 8 x 8 ids of a first stage's 4 x 4: tiles of 32 pixels.
  close = dataclasses.replace(_FEW, overlap=0.9)
  cascade.check_clip(17, 16, 16, (close, close))
  cascade.check_clip(17, 32, 32, (_FEW, _FEW))
  with pytest.raises(errors.LayoutError, match='smaller overlap'):
    cascade.check_clip(17, 32, 32, (_FEW, close))
  with pytest.raises(errors.ConfigError, match='2 stages'):
    cascade.run(cascade_lib.Clips(), configs=(_FEW,))
  with pytest.raises(errors.ConfigError, match='--super_resolution'):
    cascade_lib.Cascade(())


def test_pieces_cover_a_video():
  assert long_video.pieces(17, 17, 9) == (0,)
  assert long_video.pieces(33, 17, 9) == (0, 8, 16)
  assert long_video.pieces(24, 17, 9) == (0, 7)
  assert long_video.pieces(3, 1, 0) == (0, 1, 2)


def test_long_video_is_made_larger_piece_by_piece(stage, video, monkeypatch):
  long = np.concatenate([video, video[:, :7]], axis=1)
  upscale, given = upscaler.Upscaler.upscale, []

  def watched(self, low, text=None, **settings):
    given.append(settings['given'])
    return upscale(self, low, text, **settings)

  monkeypatch.setattr(upscaler.Upscaler, 'upscale', watched)
  cascade = cascade_lib.Cascade((stage,))
  made = cascade.run_long(long, configs=(_FEW,))
  assert made.shape == (1, 24, 32, 32, 3)
  # The second piece begins with frames 7 to 15 of what the first has made.
  assert len(given) == 2 and given[0] is None
  known = stage.visual.encode(made[:, 7:16])
  np.testing.assert_array_equal(given[1].ids_BTHW[:, :3], known)
  assert given[1].known_BTHW[:, :3].all()
  assert not given[1].known_BTHW[:, 3:].any()
  with pytest.raises(errors.LayoutError, match='give a longer one'):
    cascade.run_long(long[:, :9])


def test_what_long_video_lacks_is_said_before(stage):
  cascade = cascade_lib.Cascade((stage, stage))
  cascade.check_clip(24, 16, 16, long=True)
  with pytest.raises(errors.LayoutError, match='17 frames; got 16'):
    cascade.check_clip(16, 16, 16, long=True)
  with pytest.raises(errors.LayoutError, match='height 12'):
    cascade.check_clip(24, 12, 12, long=True)
  # It goes by pixels: each stage has to encode and decode them.
  for lacking in ('low', 'visual'):
    mute = dataclasses.replace(stage, **{lacking: None})
    with pytest.raises(errors.CheckpointError, match='tokenizer'):
      cascade_lib.Cascade((mute, stage)).check_clip(24, 16, 16, long=True)
  # Not taken for so many pictures.
  units = ('super_resolution/17x32x32', 'super_resolution/1x32x32')
  both = dataclasses.replace(
    stage, described=dataclasses.replace(stage.described, units=units)
  )
  assert long_video.piece_of(both, 24) == 17
  assert long_video.piece_of(both, 1) == 1
  with pytest.raises(errors.LayoutError, match='1, 17 frames; got 16'):
    long_video.piece_of(both, 16)


def test_texts_that_cannot_be_embedded_are_refused_before(stage):
  config = dataclasses.replace(stage.described.config, text='embeddings')
  mute = dataclasses.replace(
    stage,
    described=dataclasses.replace(stage.described, config=config),
    text=conditions.Tokenizers(
      embed_text=text_encoder.beside(pathlib.Path('stage2'), {}, '')
    ),
  )
  cascade = cascade_lib.Cascade((stage, mute))
  cascade.check_text([])
  with pytest.raises(errors.CheckpointError, match='stage2 .*--text_encoder'):
    cascade.check_text(['a red circle'])


def test_every_draw_of_a_long_video_is_its_own(stage, video, monkeypatch):
  keys, fill = [], loop.fill

  def watched(*args, **options):
    keys.append(jax.random.key_data(options['keys_B']).tobytes())
    return fill(*args, **options)

  monkeypatch.setattr(loop, 'fill', watched)
  long = np.concatenate([video, video], axis=1)
  cascade = cascade_lib.Cascade((stage, stage))
  for seed in (0, 1):
    cascade.run_long(long, configs=(_FEW, _FEW), seed=seed)
  # Pieces of frames 0, 8, 16 and 17 in two stages, each in one tile.
  assert len(keys) == len(set(keys)) == 16
