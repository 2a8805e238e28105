"""How clips are fitted to tokenizers of other strides."""

import pathlib

import numpy as np
import pytest

from tests.evaluation import tiny_protocol
from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.evaluation import eval_datasets
from videopoet_jax.evaluation import reconstruction


class Fake:
  """A tokenizer that only says what it holds."""

  fingerprint = 'f' * 16

  def __init__(self, **spec):
    self.spec = specs.VisualSpec(**spec)


def _inputs(tokenizer, **changes):
  fields = {
    'layout': 'reconstruction/17x30x32', 'frames': 0, 'size': (),
    'resizing': 'none',
  }  # fmt: skip
  task = tiny_protocol.task(**{**fields, **changes})
  return reconstruction.ReconstructedInputs(
    task, tokenizer, eval_datasets.ShapesSet('validation')
  )


def test_frames_are_trimmed_and_sides_padded():
  inputs = _inputs(Fake(temporal_stride=5, spatial_stride=16))
  inputs.check()
  assert inputs.task.frames == 16 and inputs.task.samples == 18
  assert inputs.detail['tokens'] == [4, 2, 2]
  trimmed, padded = inputs.notices
  assert 'trimmed to the first 16' in trimmed and '32 x 32' in padded


def test_what_fits_is_left_alone():
  inputs = _inputs(Fake(temporal_stride=8, spatial_stride=2))
  assert inputs.task.frames == 17 and not inputs.notices
  assert inputs.detail['tokens'] == [3, 15, 16]
  assert _inputs(Fake(), frames=9).task.frames == 9
  assert _inputs(Fake(), first_frame=5).task.frames == 12


def test_frames_that_the_tokenizer_does_not_hold():
  inputs = _inputs(Fake(temporal_stride=32), first_frame=4)
  with pytest.raises(errors.DataError, match='none from frame 4'):
    inputs.check()


def test_audio_tokenizers_are_refused():
  audio = Fake()
  audio.spec = specs.AudioSpec()
  with pytest.raises(errors.ConfigError, match='is no visual tokenizer'):
    reconstruction.choose([audio])


def test_a_tokenizer_in_memory_is_named_after_its_class():
  (chosen,) = reconstruction.choose([Fake()])
  assert chosen.folder == pathlib.Path('Fake')
  assert chosen.key == 'Fake_ffffffff' and chosen.step is None


def test_clips_of_another_size_are_refused():
  clips = eval_datasets.MediaClips(
    ('',), {'video': np.zeros((1, 17, 32, 32, 3), np.uint8)}, 'here'
  )
  inputs = _inputs(Fake())
  with pytest.raises(errors.DataError, match='--height 30 --width 32'):
    inputs.make(None, clips, np.array([0]), ['generated'], 1)
