"""How clips are cut: stored with a set, read back, told as flags."""

import pytest

from videopoet_jax.core import errors
from videopoet_jax.media import cuts


@pytest.mark.parametrize('rate', [None, 8.0, 29.97, 25])
def test_what_is_stored_reads_back(rate):
  cut = cuts.Cut(cuts.CENTRAL, 17, rate, 128, 96)
  assert cuts.of_set(cut.metadata(), (17, 128, 96, 3)) == cut


def test_a_set_that_does_not_say():
  assert cuts.of_set({'frame_rate': 8.0}, (17, 8, 8, 3)) is None


def test_the_size_is_that_of_the_features():
  stored = {'cut': 'first', 'num_frames': 99, 'frame_rate': 'native'}
  assert cuts.of_set(stored, (5, 16, 8, 3)) == cuts.Cut('first', 5, None, 16, 8)


def test_flags_and_text():
  cut = cuts.Cut('first', 17, 8.0, 128, 96)
  assert cut.flags == (
    '--cut first --frames 17 --frame_rate 8 --height 128 --width 96'
  )
  assert str(cut) == ('first clips of 17 frames at the rate 8, 128 x 96 pixels')
  native = cuts.Cut('first', 17, None, 128, 96)
  assert '--frame_rate native ' in native.flags
  assert 'at the rate native' in str(native)


@pytest.mark.parametrize(
  ('value', 'rate'),
  [('native', None), (8, 8.0), ('8', 8.0), ('0.5', 0.5), (999_999, 999_999.0)],
)
def test_rates(value, rate):
  assert cuts.parse_rate(value, '--frame_rate') == rate
  if rate is None:
    assert cuts.rate_name(rate) == 'native'
  else:
    assert cuts.rate_name(rate) == rate


@pytest.mark.parametrize(
  ('value', 'told'),
  [
    (0, '0'), (-1, '-1'), ('nan', 'nan'), ('inf', 'inf'), (1e6, r'1e\+06'),
    ('natve', "'natve'"), (None, 'None'), ([8], r'\[8\]'),
  ],
)  # fmt: skip
def test_what_is_no_rate_is_refused(value, told):
  with pytest.raises(errors.ConfigError, match=f'--frame_rate is {told};'):
    cuts.parse_rate(value, '--frame_rate')
