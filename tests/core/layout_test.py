"""Properties of vocabularies and layouts, and the paper's numbers."""

import itertools
import json
import pathlib

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import specs
from videopoet_jax.core import tasks
from videopoet_jax.core import types
from videopoet_jax.core import vocabulary as vocabulary_lib

_GOLDEN = pathlib.Path(__file__).parents[1] / 'golden' / 'paper_layouts.json'
_PAPER = tasks.LayoutSpace()
_SIZES = ((17, 128, 128), (17, 224, 128), (41, 128, 128), (41, 224, 128))

_few = hypothesis.settings(max_examples=30, deadline=None)


@st.composite
def _spaces(draw):
  size = st.integers(1, 300)
  levels, codes = draw(st.integers(1, 4)), draw(st.integers(1, 200))
  vocabulary = vocabulary_lib.Vocabulary(
    visual_size=draw(size),
    audio_levels=levels,
    audio_codes=codes,
    text_size=draw(size),
  )
  return tasks.LayoutSpace(
    vocabulary,
    specs.VisualSpec(codebook_size=vocabulary.visual_size),
    specs.AudioSpec(levels, codes, 8000, draw(st.sampled_from((250, 1000)))),
    text_slots=draw(st.integers(1, 5)),
  )


@st.composite
def _layouts(draw):
  space = draw(_spaces())
  latents = draw(st.integers(2, 4))
  size = (4 * latents - 3, 8 * draw(st.integers(1, 3)), 8)
  return space.layout(draw(st.sampled_from(space.standard_names(*size))))


def _features(layout, seed):
  generator = np.random.default_rng(seed)
  features = {}
  for segment in layout.filled():
    shape = list(segment.shape)
    shape[segment.time_axis] += segment.start
    held = features.get(segment.feature)
    if (
      held is None
      or held.shape[1 + segment.time_axis] < shape[segment.time_axis]
    ):
      (limit, *_) = {
        run.range.size for run in layout.runs if run.segment == segment.name
      }
      features[segment.feature] = generator.integers(0, limit, (2, *shape))
  return features


@_few
@hypothesis.given(_layouts(), st.integers(0, 9))
def test_parse_undoes_encode(layout, seed):
  features = _features(layout, seed)
  tokens_BL = layout.encode(features)
  assert tokens_BL.shape == (2, layout.length)
  parsed = layout.parse(tokens_BL)
  for segment in layout.filled():
    grid = np.moveaxis(features[segment.feature], 1 + segment.time_axis, 0)
    taken = grid[segment.start :][: segment.shape[segment.time_axis]]
    np.testing.assert_array_equal(
      parsed[segment.name], np.moveaxis(taken, 0, 1 + segment.time_axis)
    )


@_few
@hypothesis.given(_layouts(), st.data())
def test_a_position_admits_its_segments_ids_only(layout, data):
  tokens_L = layout.encode(
    {name: ids[0] for name, ids in _features(layout, 0).items()}
  )
  run = data.draw(st.sampled_from(layout.target_runs))
  position = data.draw(st.integers(run.start, run.stop - 1))
  for wrong in (run.range.start - 1, run.range.stop):
    changed = tokens_L.copy()
    changed[position] = wrong
    with pytest.raises(errors.LayoutError, match='which admits'):
      layout.parse(changed)


@_few
@hypothesis.given(_layouts())
def test_runs_cover_the_sequence_and_roles_are_in_order(layout):
  stops = [0, *(run.stop for run in layout.runs)]
  assert [run.start for run in layout.runs] == stops[:-1]
  assert stops[-1] == layout.length
  assert layout.prefix_length + layout.target_length == layout.length
  assert all(run.start >= layout.prefix_length for run in layout.target_runs)
  mask = layout.attention_mask_LL()
  assert mask[:, : layout.prefix_length].all()
  assert not np.triu(
    mask[layout.prefix_length :, layout.prefix_length :], 1
  ).any()


@_few
@hypothesis.given(_spaces())
def test_ranges_are_disjoint_and_tables_even(space):
  vocabulary = space.vocabulary
  ranges = sorted(vocabulary.ranges.values(), key=lambda r: r.start)
  assert all(a.stop <= b.start for a, b in itertools.pairwise(ranges))
  assert ranges[-1].stop <= vocabulary.size
  levels = [vocabulary.audio_level(k) for k in range(vocabulary.audio_levels)]
  assert all(a.stop == b.start for a, b in itertools.pairwise(levels))
  assert all(size % 128 == 0 for size in vocabulary.table_sizes.values())


def test_the_papers_vocabulary_and_lengths():
  vocabulary = _PAPER.vocabulary
  starts = {m.value: r.start for m, r in vocabulary.ranges.items()}
  assert starts == {
    'special': 0,
    'visual': 256,
    'audio': 256 + 262_144,
    'text': 256 + 262_144 + 4096,
  }
  assert 290_000 < vocabulary.size < 310_000
  visual = {size: _PAPER.visual.latent_shape(*size) for size in _SIZES}
  assert [int(np.prod(s)) for s in visual.values()] == [1280, 2240, 2816, 4928]
  layout = _PAPER.layout('video_to_audio/17x128x128')
  (audio,) = layout.filled(types.Role.TARGET)
  assert audio.shape == (4, 106) and audio.size == 424


def test_the_papers_layouts_are_as_recorded():
  """`python -m tests.core.layout_test` records them anew."""
  recorded = json.loads(_GOLDEN.read_text())
  assert _summaries() == recorded


def test_groups_hold_one_length_each():
  layouts = _PAPER.layouts(_PAPER.standard_names(17, 128, 128))
  groups = layout_lib.groups(layouts)
  assert sum(map(len, groups.values())) == len(layouts)
  for length, group in groups.items():
    assert {layout.length for layout in group} == {length}


@pytest.mark.parametrize(
  'name, message',
  [
    ('text_to_vide/17x128x128', "did you mean 'text_to_video'"),
    ('text_to_video/18x128x128', 'use 17 or 21'),
    ('text_to_video/17x100x128', 'use 96 or 104'),
    ('text_to_video', 'expected task/FRAMESxHEIGHTxWIDTH'),
    ('future_prediction/17x128x128/conditions=2', "'condition'"),
    ('text_to_image/17x128x128', 'text_to_image/1x128x128'),
  ],
)
def test_impossible_names_are_explained(name, message):
  with pytest.raises(errors.LayoutError, match=message):
    _PAPER.layout(name)


def _summaries():
  """By name: `prefix + target` and the segments in one line."""
  summaries = {}
  for size in _SIZES:
    for layout in _PAPER.layouts(_PAPER.standard_names(*size)):
      parts = [
        s.token or f'{s.name}{list(s.shape)}@{s.start}' for s in layout.segments
      ]
      summaries[layout.name] = (
        f'{layout.prefix_length} + {layout.target_length}: ' + ' '.join(parts)
      )
  return summaries


if __name__ == '__main__':
  _GOLDEN.write_text(json.dumps(_summaries(), indent=1) + '\n')


@pytest.mark.parametrize(
  ('name', 'frame'),
  [
    ('image_to_video/17x128x128/first=2', 1),
    ('image_to_video/17x128x128/first=4', 1),
    ('image_to_video/41x128x128/first=3', 1),
  ],
)
def test_a_latent_frame_neither_given_nor_predicted_is_refused(name, frame):
  with pytest.raises(errors.LayoutError, match=f'latent frame {frame} of'):
    _PAPER.layout(name)


@_few
@hypothesis.given(
  st.lists(st.integers(0, 5), min_size=4, max_size=4),
  st.sampled_from(('video_tokens', 'audio_tokens')),
)
def test_a_template_makes_whole_clips_or_none(bounds, feature):
  """Parts given and predicted, with any bounds."""
  given, predicted = range(*bounds[:2]), range(*bounds[2:])
  template = tasks.TaskTemplate(
    'mine',
    'video',
    prefix=(f'{feature}[{bounds[0]}:{bounds[1]}]',),
    target=(f'{feature}[{bounds[2]}:{bounds[3]}]',),
  )
  space = tasks.LayoutSpace(templates=(template,))
  # Latent frames counted, whichever the clock: a second of sound is no frame.
  times = [(at in given) + (at in predicted) for at in range(5)]
  is_whole = all(number == 1 for number in times) or predicted == range(5)
  if bounds[:2] == [0, 0]:
    is_whole = bool(predicted)  # Left out: nothing is continued.
  try:
    layout = space.layout('mine/17x128x128')
  except errors.LayoutError:
    # Parts of no latent frame are refused, too.
    is_empty = not given and bounds[:2] != [0, 0]
    assert not is_whole or not predicted or is_empty
    return
  assert is_whole
  made = [s for s in layout.filled() if s.role is types.Role.TARGET]
  assert made


def test_first_0_predicts_the_given_frame_again():
  layout = _PAPER.layout('image_to_video/17x128x128/first=0')
  shapes = [s.shape[0] for s in layout.filled() if s.feature == 'video_tokens']
  assert shapes == [1, 5]
