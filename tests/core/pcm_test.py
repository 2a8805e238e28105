"""Sound of 16 bits: every sample comes back, wherever it is converted."""

import pathlib
import re

import numpy as np
import pytest

import videopoet_jax
from videopoet_jax.core import pcm
from videopoet_jax.evaluation.metrics import features
from videopoet_jax.tokenizers.soundstream import bundle

_ALL = np.arange(-32768, 32768).astype(np.int16)[None]
_PACKAGE = pathlib.Path(videopoet_jax.__file__).parent


@pytest.mark.parametrize(
  'to_float',
  [
    pcm.to_float,
    bundle.from_samples,
    lambda audio: features.waveform(audio, 'sound'),
  ],
)
@pytest.mark.parametrize('to_int16', [pcm.to_int16, bundle.to_samples])
def test_all_samples_come_back(to_float, to_int16):
  floats = to_float(_ALL)
  assert floats.dtype == np.float32
  assert floats.min() == -1 and floats.max() < 1
  np.testing.assert_array_equal(to_int16(floats), _ALL)


def test_what_is_beyond_is_clipped():
  found = pcm.to_int16(np.array([-2.0, -1.0, 1.0, 3.0]))
  assert found.tolist() == [-32768, -32768, 32767, 32767]


def test_nothing_else_converts_by_a_scale_of_its_own():
  scale = re.compile(r'\b(3276[78]|32_76[78])(\.0)?\b|2 ?\*\* ?15|1 << 15')
  found = [
    str(path.relative_to(_PACKAGE))
    for path in _PACKAGE.rglob('*.py')
    if scale.search(path.read_text())
  ]
  assert found == ['core/pcm.py']
