"""The mixture's draws, its two stages, and what other batching would waste."""

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.core import types
from videopoet_jax.core import vocabulary as vocabulary_lib
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
  np.testing.assert_allclose(mixture.shares(0), np.array([1, 6, 1, 0, 1]) / 9)
  np.testing.assert_allclose(mixture.average_shares(), mixture.shares(0))


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
    (lambda la: agd.MixtureSchedule('constant', steps=-1), 'steps'),
    (
      lambda la: agd.MixtureSchedule('constant', first_share=-0.5),
      'first_share is -0.5; expected a share',
    ),
    (
      lambda la: agd.Mixture(
        la, {NAMES[0]: -1.0}, agd.MixtureSchedule('constant'), 0
      ),
      'must not be negative',
    ),
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


def test_the_least_schedules():
  """Shares may be 0 and 1, and a run of two stages one step long."""
  for share in (0.0, 1.0):
    schedule = agd.MixtureSchedule('two_stage', 1, share, share)
    assert schedule.first_share == schedule.major_share == share
  default = agd.MixtureSchedule('constant')
  assert (default.first_share, default.major_share) == (0.25, 0.9)


def test_without_a_first_stage_video_is_in_the_majority(layouts):
  schedule = agd.MixtureSchedule('two_stage', 100, first_share=0.0)
  mixture = agd.Mixture(layouts, {}, schedule, seed=0)
  wanted = [0.1, 0.225, 0.225, 0.225, 0.225]
  np.testing.assert_allclose(mixture.shares(0), wanted)
  np.testing.assert_allclose(mixture.average_shares(), wanted)


def test_stages_need_both_images_and_video(layouts):
  schedule = agd.MixtureSchedule('two_stage', 100)
  for chosen in (layouts[:1], layouts[1:]):
    mixture = agd.Mixture(chosen, {}, schedule, seed=0)
    for step in (0, 99):
      np.testing.assert_allclose(mixture.shares(step), 1 / len(chosen))
  # A weight of 0 leaves a kind out, too.
  mixture = agd.Mixture(layouts, {NAMES[0]: 0.0}, schedule, seed=0)
  np.testing.assert_allclose(mixture.shares(0), [0, 0.25, 0.25, 0.25, 0.25])


def test_the_average_is_that_of_the_draws(layouts):
  weights = {NAMES[0]: 2.0, NAMES[1]: 3.0}
  schedule = agd.MixtureSchedule('two_stage', 1000, 0.3, 0.8)
  mixture = agd.Mixture(layouts, weights, schedule, seed=0)
  # Video: weights of 3, 1, 1 and 1.
  video = np.array([3, 1, 1, 1]) / 6
  np.testing.assert_allclose(mixture.shares(299), [0.8, *(0.2 * video)])
  np.testing.assert_allclose(mixture.shares(300), [0.2, *(0.8 * video)])
  images = 0.3 * 0.8 + 0.7 * 0.2
  np.testing.assert_allclose(
    mixture.average_shares(), [images, *((1 - images) * video)]
  )


def test_steps_are_found_one_by_one_and_counted_in_pieces(layouts, monkeypatch):
  schedule = agd.MixtureSchedule('two_stage', 9000)
  mixture = agd.Mixture(layouts, {}, schedule, seed=3)
  drawn = mixture.draw(np.arange(9000))
  assert drawn.dtype == np.int64
  # The first step that is asked for may be any, and each place is its own.
  for step in (0, 1, 4095, 4096, 8191, 8192, 8193):
    fresh = agd.Mixture(layouts, {}, schedule, seed=3)
    assert fresh.at(step) == mixture.at(step) == drawn[step]
  assert [mixture.at(step) for step in range(300)] == drawn[:300].tolist()
  # Steps of one stage alone, of either.
  np.testing.assert_array_equal(mixture.draw(np.arange(50)), drawn[:50])
  np.testing.assert_array_equal(
    mixture.draw(np.arange(8000, 9000)), drawn[8000:]
  )
  monkeypatch.setattr(agd, '_CHUNK', 700)
  np.testing.assert_array_equal(
    mixture.counts(100, 8999), np.bincount(drawn[100:8999], minlength=5)
  )


def test_an_option_is_drawn_between_its_edges():
  weights = np.array([1.0, 0.0, 3.0, 0.0])
  uniform = np.array([0.0, 0.2499, 0.25, 0.75, 1.0])
  # At an edge the next option begins; rounding to 1 leads to no option of 0.
  assert agd._choose(weights, uniform).tolist() == [0, 0, 2, 2, 2]


def _layout(name, *segments):
  made = []
  for index, (modality, role, shape) in enumerate(segments):
    modality = types.Modality(modality)
    is_special = modality is types.Modality.SPECIAL
    made.append(
      layout_lib.Segment(
        f's{index}', modality, types.Role(role), shape,
        feature='' if is_special else f'f{index}',
        token='<bos>' if is_special else '',
      )
    )  # fmt: skip
  vocabulary = vocabulary_lib.Vocabulary(visual_size=16, audio_codes=8)
  return layout_lib.SequenceLayout(name, tuple(made), vocabulary)


_BOS = ('special', 'prefix', (1,))


@pytest.mark.parametrize(
  ('segments', 'is_image'),
  [
    ([_BOS, ('visual', 'target', (1, 2, 2))], True),
    ([_BOS, ('visual', 'target', (2, 2, 2))], False),
    ([('visual', 'prefix', (1, 2, 2)), ('visual', 'target', (1, 2, 2))], True),
    ([('visual', 'prefix', (2, 2, 2)), ('visual', 'target', (1, 2, 2))], False),
    ([('audio', 'prefix', (2, 3)), ('visual', 'target', (1, 2, 2))], False),
    # No frames at all.
    ([_BOS, ('text', 'target', (3,))], False),
    ([_BOS, ('audio', 'target', (2, 3))], False),
  ],
)
def test_an_image_is_one_latent_frame_without_sound(segments, is_image):
  assert agd.is_image(_layout('a/1x8x8', *segments)) is is_image


def test_a_later_latent_frame_is_no_image():
  layout = tasks_lib.LayoutSpace().layout(
    'future_prediction/5x128x128/condition=1'
  )
  (target,) = layout.filled(types.Role.TARGET)
  assert (target.start, target.shape[0]) == (1, 1)
  alone = layout_lib.SequenceLayout(
    'a/1x128x128', (layout.segments[0], target), layout.vocabulary
  )
  assert not agd.is_image(alone)


def test_report_of_a_mixture_worked_by_hand():
  # 10 and 30 positions, 4 and 0 slots of text.
  short = _layout(
    'a/1x8x8', _BOS, ('text', 'prefix', (4,)), ('visual', 'target', (1, 1, 5))
  )
  long = _layout('b/1x8x8', _BOS, ('visual', 'target', (1, 1, 29)))
  report = agd.agd_report(
    [short, long],
    [1, 3],
    tokens_per_batch=60,
    text_lengths=[1, 9],
    examples=8,
    seed=5,
  )
  # 6 and 2 examples a batch, so 1.5 of each in a mean batch: 60 positions.
  # Texts use 1 and 4 of 4 slots.
  assert report['unused_text'] == pytest.approx(1.5 * 1.5 / 60)
  assert report['layout_padding'] == report['kernel_padding'] == 0.0
  # 3 examples of 30.
  assert report['longest_would_pad'] == pytest.approx(1 - 60 / 90)
  assert report['kernel_multiple'] == 128
  drawn = np.random.default_rng(5).choice([10, 30], size=8, p=[0.5, 0.5])
  # Three short ones share a row.
  shorts = int((drawn == 10).sum())
  rows = (8 - shorts) + -(-shorts // 3)
  wasted = 1 - drawn.sum() / (30 * rows)
  assert report['packing_would_pad'] == pytest.approx(wasted)
  # Without texts, no slot counts as unused.
  plain = agd.agd_report([short, long], [1, 3], tokens_per_batch=60)
  assert plain['unused_text'] == 0.0
  explicit = agd.agd_report(
    [short, long], [1, 3], tokens_per_batch=60, examples=4096, seed=0
  )
  assert plain == explicit


def test_kernels_pad_each_layout_in_proportion_to_its_examples(layouts):
  chosen = layouts[1:3]
  report = agd.agd_report(
    chosen, [1, 1], tokens_per_batch=5 * max(la.length for la in chosen)
  )
  examples = np.array(
    [5 * max(la.length for la in chosen) // la.length for la in chosen]
  )
  padding = sum(examples * [la.kernel_padding for la in chosen])
  inputs = sum(examples * [la.length - 1 for la in chosen])
  assert padding > 0
  assert report['kernel_padding'] == pytest.approx(padding / (inputs + padding))


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
  # [5, 4], [6], [5]: the first row with room is taken, not the fullest.
  waste = agd._first_fit_waste(np.array([5, 6, 4, 5]), 10)
  assert waste == pytest.approx(10 / 30)
  # One row to the last place.
  assert agd._first_fit_waste(np.array([5, 5]), 10) == 0.0
