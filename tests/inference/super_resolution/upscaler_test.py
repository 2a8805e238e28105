"""Upscaling: tiles, batches, conditions, folders and what is refused."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from tests.inference import folder
from tests.inference import super_resolution_fakes as fakes
from tests.inference import super_resolution_folder
from videopoet_jax.core import errors
from videopoet_jax.inference.super_resolution import config as config_lib
from videopoet_jax.inference.super_resolution import loop
from videopoet_jax.inference.super_resolution import upscaler as upscaler_lib
from videopoet_jax.tokenizers.quantizers import lfq

_FEW = config_lib.UpscaleConfig(num_steps=3)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
  path = tmp_path_factory.mktemp('super_resolution')
  super_resolution_folder.write(path)
  return path


@pytest.fixture(scope='module')
def upscaler(checkpoint):
  return upscaler_lib.Upscaler.load(checkpoint)


@pytest.fixture(scope='module')
def agreeing():
  """Trained, so to speak, on pictures of 4 x 4 ids that are all the same."""
  return upscaler_lib.Upscaler(
    'fake',
    fakes.Agreeing(),
    {},
    super_resolution_folder.described(('super_resolution/1x32x32',)),
  )


def _low(number, shape=(5, 2, 2), seed=0):
  generator = np.random.default_rng(seed)
  return generator.integers(0, 64, (number, *shape), dtype=np.int32)


def _upscale(upscaler, *args, **settings):
  return upscaler.upscale(*args, decode_signals=False, **settings).ids_BTHW


def test_tiles_go_on_from_what_their_neighbours_made(agreeing, monkeypatch):
  fill, calls = loop.fill, []

  def watched(model, params, conditions, ids, masked, **settings):
    made = fill(model, params, conditions, ids, masked, **settings)
    calls.append((ids, masked, made.ids_BTHW))
    return made

  monkeypatch.setattr(loop, 'fill', watched)
  low = _low(4, (1, 3, 5))
  config = config_lib.UpscaleConfig(num_steps=8)
  ids = _upscale(agreeing, low, config=config)
  assert ids.shape == (4, 1, 6, 10)
  # Tiles begin at rows 0 and 2, at columns 0, 2, 4 and 6.
  assert len(calls) == 8
  for before, masked, made in calls[1:]:
    kept = ~masked
    assert kept[0].sum() >= 3 and made.shape == (4, 1, 4, 4)
    np.testing.assert_array_equal(made[kept], before[kept])
  # No seam: every picture is of one id, as every tile has to be.
  assert all(len(np.unique(picture)) == 1 for picture in ids)
  assert len(np.unique(ids)) > 1
  # Tiles that share nothing cannot agree.
  apart = _upscale(
    agreeing, _low(4, (1, 4, 4)),
    config=config_lib.UpscaleConfig(num_steps=8, overlap=0.0),
  )  # fmt: skip
  assert any(len(np.unique(picture)) > 1 for picture in apart)


def test_samples_do_not_depend_on_their_batch(upscaler):
  low, text = _low(3), ['a', 'b', 'c']
  together = _upscale(upscaler, low, text, config=_FEW, batch_size=2)
  assert together.shape == (3, 5, 4, 4)
  one_by_one = _upscale(upscaler, low, text, config=_FEW, batch_size=1)
  np.testing.assert_array_equal(one_by_one, together)
  for others in ({'seed': 1}, {'path': (1,)}):
    other = _upscale(upscaler, low, text, config=_FEW, **others)
    assert not np.array_equal(other, together)


def test_every_condition_counts(upscaler):
  low, text = _low(3), ['a', 'b', 'c']
  plain = _upscale(upscaler, low[:2], text[:2], config=_FEW)
  # The same draws each time: only the conditions differ.
  for others in (
    (low[:2], text[1:]),
    (low[1:], text[:2]),
    (low[:2], None),
  ):
    assert not np.array_equal(plain, _upscale(upscaler, *others, config=_FEW))
  guided = dataclasses.replace(_FEW, text_guidance=9.0)
  assert not np.array_equal(
    plain, _upscale(upscaler, low[:2], text[:2], config=guided)
  )


def test_given_ids_stay(upscaler):
  low = _low(1)
  known = np.zeros((1, 5, 4, 4), bool)
  known[:, :3] = True
  ids = _low(1, (5, 4, 4), seed=3)
  given = upscaler_lib.Given(ids, known)
  made = _upscale(upscaler, low, given=given, config=_FEW)
  np.testing.assert_array_equal(made[:, :3], ids[:, :3])
  assert not np.array_equal(made[:, 3:], ids[:, 3:])


def test_pixels_are_encoded_and_decoded(upscaler):
  video = np.random.default_rng(0).integers(
    0, 256, (1, 17, 16, 16, 3), dtype=np.uint8
  )
  made = upscaler.upscale(video, config=_FEW)
  assert made.video_BTHWC.shape == (1, 17, 32, 32, 3)
  assert made.video_BTHWC.dtype == np.uint8
  from_ids = upscaler.upscale(upscaler.low.encode(video), config=_FEW)
  np.testing.assert_array_equal(made.ids_BTHW, from_ids.ids_BTHW)


def test_pixels_from_expected_codes(upscaler):
  expected = dataclasses.replace(_FEW, decode_from='expectation')
  low = _low(3)
  plain = upscaler.upscale(low, config=_FEW, batch_size=2)
  soft = upscaler.upscale(low, config=expected, batch_size=2)
  np.testing.assert_array_equal(soft.ids_BTHW, plain.ids_BTHW)
  assert not np.array_equal(soft.video_BTHWC, plain.video_BTHWC)
  # Nothing is expected of ids that are known.
  known = upscaler_lib.Given(
    plain.ids_BTHW, np.ones(plain.ids_BTHW.shape, bool)
  )
  again = upscaler.upscale(low, given=known, config=expected)
  np.testing.assert_array_equal(again.video_BTHWC, plain.video_BTHWC)
  with pytest.raises(errors.ConfigError, match="decode_from is 'pixels'"):
    config_lib.UpscaleConfig(decode_from='pixels')


def test_codes_of_ids_are_as_good_as_ids(upscaler):
  low = _low(3)
  codes = np.asarray(lfq.ids_to_codes(low, 6), np.float32)
  plain = upscaler.upscale(low, config=_FEW, batch_size=2)
  same = upscaler.upscale(codes, config=_FEW, batch_size=2)
  np.testing.assert_array_equal(same.ids_BTHW, plain.ids_BTHW)
  with pytest.raises(errors.LayoutError, match='numbers from -1 to 1 each'):
    upscaler.upscale(2 * codes, config=_FEW)
  with pytest.raises(errors.LayoutError, match='numbers from -1 to 1 each'):
    upscaler.upscale(codes[..., 1:], config=_FEW)


def test_what_does_not_fit_is_refused(upscaler):
  with pytest.raises(errors.LayoutError, match='not on clips of 9 frames'):
    upscaler.upscale(_low(1, (3, 2, 2)))
  with pytest.raises(errors.LayoutError, match='0 to 63'):
    upscaler.upscale(_low(1) + 64)
  with pytest.raises(errors.LayoutError, match='float32'):
    upscaler.upscale(_low(1).astype(np.float32))
  with pytest.raises(errors.DataError, match='2 clips with 1 texts'):
    upscaler.upscale(_low(2), ['a'])
  with pytest.raises(errors.LayoutError, match='windows'):
    upscaler.upscale(_low(1, (5, 1, 2)))


def test_folders_that_cannot_be_used_are_named(checkpoint, tmp_path):
  language = tmp_path / 'language'
  folder.write(language)
  with pytest.raises(errors.CheckpointError, match="'super_resolution' is"):
    upscaler_lib.Upscaler.load(language)
  other = tmp_path / 'other'
  shutil.copytree(checkpoint, other)
  says = json.loads((other / 'checkpoint.json').read_text())
  says['fingerprints']['visual'] = 'f' * 16
  (other / 'checkpoint.json').write_text(json.dumps(says))
  with pytest.raises(errors.CheckpointError, match='fingerprint'):
    upscaler_lib.Upscaler.load(other)
  bare = super_resolution_folder.without(
    checkpoint, 'visual_tokenizer', tmp_path / 'bare'
  )
  upscaler = upscaler_lib.Upscaler.load(bare)
  assert _upscale(upscaler, _low(1), config=_FEW).shape == (1, 5, 4, 4)
  with pytest.raises(errors.CheckpointError, match='visual_tokenizer/'):
    upscaler.upscale(_low(1), config=_FEW)
  with pytest.raises(errors.CheckpointError, match='low_tokenizer/'):
    upscaler.upscale(np.zeros((1, 17, 16, 16, 3), np.uint8), config=_FEW)
