"""The mixture's draws, its two stages, and what other batching would waste."""

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.data import agd

NAMES = (
  'text_to_image/1x128x128',
  'text_to_video/17x128x128',
  'video_to_audio/17x128x128',
  'inpainting/17x128x128',
  'outpainting/17x128x128',
)


@pytest.fixture(scope='module')
def layouts():
  return tasks_lib.LayoutSpace().layouts(NAMES)


def test_two_stages_of_images_and_video(layouts):
  schedule = agd.MixtureSchedule('two_stage', steps=40_000)
  mixture = agd.Mixture(layouts, {}, schedule, seed=0)
  drawn = mixture.draw(np.arange(40_000))
  first, second = drawn[:10_000], drawn[10_000:]
  assert abs((first == 0).mean() - 0.9) < 0.01
  assert abs((second == 0).mean() - 0.1) < 0.01
  # Within video all weights are equal.
  counts = np.bincount(second, minlength=5)[1:] / (second != 0).sum()
  assert np.abs(counts - 0.25).max() < 0.02
  np.testing.assert_allclose(mixture.shares(0)[0], 0.9)
  np.testing.assert_allclose(mixture.shares(10_000).sum(), 1.0)


def test_the_stage_changes_at_its_step(layouts):
  schedule = agd.MixtureSchedule(
    'two_stage', steps=1000, first_share=0.25, major_share=1.0
  )
  mixture = agd.Mixture(layouts, {}, schedule, seed=0)
  drawn = mixture.draw(np.arange(1000))
  np.testing.assert_array_equal(drawn == 0, np.arange(1000) < 250)
  assert mixture.shares(249)[0] == 1.0 and mixture.shares(250)[0] == 0.0
  np.testing.assert_allclose(mixture.average_shares()[0], 0.25)


def test_weights_decide_the_shares(layouts):
  weights = {NAMES[1]: 6.0, NAMES[3]: 0.0}
  mixture = agd.Mixture(layouts, weights, agd.MixtureSchedule('constant'), 1)
  shares = np.bincount(mixture.draw(np.arange(30_000)), minlength=5) / 30_000
  np.testing.assert_allclose(shares, np.array([1, 6, 1, 0, 1]) / 9, atol=0.012)
  assert shares[3] == 0


def test_draws_are_pure_and_counted(layouts):
  schedule = agd.MixtureSchedule('constant')
  mixture = agd.Mixture(layouts, {}, schedule, seed=3)
  drawn = mixture.draw(np.arange(5000))
  assert [mixture.at(step) for step in (4999, 0, 4097)] == [
    drawn[4999],
    drawn[0],
    drawn[4097],
  ]
  np.testing.assert_array_equal(
    mixture.counts(100, 5000), np.bincount(drawn[100:], minlength=5)
  )
  other = agd.Mixture(layouts, {}, schedule, seed=4)
  assert (other.draw(np.arange(5000)) != drawn).mean() > 0.5


def test_layouts_of_one_length_are_one_group(layouts):
  groups = layout_lib.groups(layouts)
  assert [len(group) for group in groups.values()].count(2) == 1
  images = [agd.is_image(layout) for layout in layouts]
  assert images == [True, False, False, False, False]


@pytest.mark.parametrize(
  'make, message',
  [
    (lambda la: agd.MixtureSchedule('two_stages', 5), "mean 'two_stage'"),
    (lambda la: agd.MixtureSchedule('two_stage'), 'steps is open'),
    (lambda la: agd.MixtureSchedule('constant', major_share=2), 'share from'),
    (
      lambda la: agd.Mixture(
        la, {'text_to_vide/17x128x128': 1}, agd.MixtureSchedule('constant'), 0
      ),
      'no layout of this run',
    ),
    (
      lambda la: agd.Mixture(
        la, dict.fromkeys(NAMES, 0), agd.MixtureSchedule('constant'), 0
      ),
      'nor all 0',
    ),
    (
      lambda la: agd.Mixture([], {}, agd.MixtureSchedule('constant'), 0),
      'at least one layout',
    ),
  ],
)
def test_mistakes(layouts, make, message):
  with pytest.raises(errors.ConfigError, match=message):
    make(layouts)


def test_report_of_a_case_worked_by_hand(layouts):
  image, video = layouts[:2]
  report = agd.agd_report(
    [image, video],
    [0.0, 1.0],
    tokens_per_batch=4 * video.length,
    text_lengths=[16, 48],
    examples=10,
  )
  # 64 slots of which 32 are used on average.
  assert report['unused_text'] == pytest.approx(32 / video.length)
  inputs = video.length - 1  # The last position predicts nothing.
  # Two blocks of 768.
  assert report['kernel_padding'] == pytest.approx(1 - inputs / 1536)
  # Rows as long as the only layout have no room to waste.
  assert report['packing_would_pad'] == 0.0
  assert report['layout_padding'] == 0.0


def test_packing_of_a_mixture_pads_where_layouts_do_not(layouts):
  report = agd.agd_report(
    layouts, np.ones(len(layouts)), tokens_per_batch=16 * 3000
  )
  assert report['layout_padding'] == 0.0
  assert 0.0 < report['packing_would_pad'] < 0.5


def test_first_fit():
  # Rows of 10: [6, 4], [5, 3], [7]: 5 of 30 places stay empty.
  waste = agd._first_fit_waste(np.array([6, 5, 4, 7, 3]), 10)
  assert waste == pytest.approx(5 / 30)
