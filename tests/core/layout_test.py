"""Properties of vocabularies and layouts, and the paper's numbers."""

import dataclasses
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


# A layout small enough to write down by hand. Ids: special from 0, visual from
# 256, audio from 384 (level 0) and 392 (level 1), text from 512.
_VOCABULARY = vocabulary_lib.Vocabulary(
  visual_size=16, audio_levels=2, audio_codes=8, text_size=10
)


def _segment(name, modality, role, shape, **fields):
  return layout_lib.Segment(
    name, types.Modality(modality), types.Role(role), shape, **fields
  )


_BOS = _segment('bos', 'special', 'prefix', (1,), token='<bos>')
_WORDS = _segment('words', 'text', 'prefix', (3,), feature='text', identity=0)
_HEARD = _segment(
  'heard', 'audio', 'prefix', (2, 1), feature='audio', identity=2
)
_SHOWN = _segment(
  'shown', 'visual', 'target', (2, 1, 2), feature='video', start=1, identity=1
)
_SOUND = _segment(
  'sound', 'audio', 'target', (2, 3), feature='audio', start=1, identity=2
)
_EOS = _segment('eos', 'special', 'target', (1,), token='<eos>')


def _layout(*segments):
  return layout_lib.SequenceLayout('mine/9x8x16', segments, _VOCABULARY)


_HAND = _layout(_BOS, _WORDS, _HEARD, _SHOWN, _SOUND, _EOS)
_FEATURES = {
  'text': np.array([7, 8, 9]),
  'audio': np.array([[0, 1, 2, 3], [4, 5, 6, 7]]),
  'video': np.array([[[14, 15]], [[0, 1]], [[2, 3]]]),
}
_TOKENS = [
  1, 519, 520, 521, 384, 396,
  256, 257, 258, 259, 385, 386, 387, 397, 398, 399, 2,
]  # fmt: skip


def test_lengths_and_places_by_hand():
  assert (_HAND.length, _HAND.prefix_length, _HAND.target_length) == (17, 6, 11)
  assert (_HAND.input_length, _HAND.kernel_padding) == (16, 0)
  assert _HAND.task == 'mine'
  bounds = {name: (s.start, s.stop) for name, s in _HAND.slices.items()}
  assert bounds == {
    'bos': (0, 1), 'words': (1, 4), 'heard': (4, 6), 'shown': (6, 10),
    'sound': (10, 16), 'eos': (16, 17),
  }  # fmt: skip
  assert _HAND.droppable == {'words': slice(1, 4), 'heard': slice(4, 6)}
  assert _HAND.filled() == (_WORDS, _HEARD, _SHOWN, _SOUND)
  assert _HAND.filled(types.Role.TARGET) == (_SHOWN, _SOUND)
  assert _HAND.segment('words') is _WORDS
  assert _HAND.segment('sound') is _SOUND
  with pytest.raises(errors.LayoutError, match="'sond'.*'sound'"):
    _HAND.segment('sond')
  assert [s.time_axis for s in _HAND.filled()] == [0, 1, 0, 1]


def test_a_special_token_has_no_feature_and_no_identity():
  assert (_BOS.feature, _BOS.start, _BOS.ends, _BOS.identity) == ('', 0, (), -1)


def test_the_padding_of_the_kernel_is_that_of_the_input():
  long = _layout(_BOS, dataclasses.replace(_WORDS, shape=(128,)), _EOS)
  # 129 positions of input fill two blocks of 128 lanes; 127 take no kernel.
  assert (long.input_length, long.kernel_padding) == (129, 256 - 129)
  short = _layout(_BOS, dataclasses.replace(_WORDS, shape=(126,)), _EOS)
  assert (short.input_length, short.kernel_padding) == (127, 0)


def test_admitted_ids_by_hand():
  found = [
    (r.start, r.stop, r.range.start, r.range.stop, r.segment)
    for r in _HAND.runs
  ]
  assert found == [
    (0, 1, 1, 2, 'bos'),
    (1, 4, 512, 522, 'words'),
    (4, 5, 384, 392, 'heard'),
    (5, 6, 392, 400, 'heard'),
    (6, 10, 256, 272, 'shown'),
    (10, 13, 384, 392, 'sound'),
    (13, 16, 392, 400, 'sound'),
    (16, 17, 2, 3, 'eos'),
  ]
  assert _HAND.target_runs == _HAND.runs[4:]
  # Rows of the tables that embed these ids.
  assert [r.range.table_offset for r in _HAND.runs] == [1, 0, 0, 8, 0, 0, 8, 2]


def test_static_arrays_by_hand():
  assert _HAND.template_L.tolist() == [1] + 15 * [0] + [2]
  assert _HAND.modality_L.tolist() == (
    [0] + 3 * [3] + 2 * [2] + 4 * [1] + 6 * [2] + [0]
  )
  assert _HAND.template_L.dtype == _HAND.modality_L.dtype == np.int32
  assert _HAND.coordinates_L3.dtype == np.int32
  assert _HAND.coordinates_L3.tolist() == [
    [0, 0, 0],
    [0, 0, 0], [1, 0, 0], [2, 0, 0],
    # Sound: latent frame, level.
    [0, 0, 0], [0, 1, 0],
    # Video: latent frame, row, column.
    [1, 0, 0], [1, 0, 1], [2, 0, 0], [2, 0, 1],
    [1, 0, 0], [2, 0, 0], [3, 0, 0], [1, 1, 0], [2, 1, 0], [3, 1, 0],
    [0, 0, 0],
  ]  # fmt: skip


def test_the_attention_mask_by_hand():
  layout = _layout(_BOS, dataclasses.replace(_WORDS, shape=(1,)), _EOS, _SHOWN)
  assert layout.attention_mask_LL().astype(int).tolist() == [
    [1, 1, 0, 0, 0, 0, 0],
    [1, 1, 0, 0, 0, 0, 0],
    [1, 1, 1, 0, 0, 0, 0],
    [1, 1, 1, 1, 0, 0, 0],
    [1, 1, 1, 1, 1, 0, 0],
    [1, 1, 1, 1, 1, 1, 0],
    [1, 1, 1, 1, 1, 1, 1],
  ]


def test_tokens_by_hand():
  tokens = _HAND.encode(_FEATURES)
  assert tokens.tolist() == _TOKENS and tokens.dtype == np.int32
  parsed = _HAND.parse(tokens)
  assert {name: ids.tolist() for name, ids in parsed.items()} == {
    'words': [7, 8, 9],
    'heard': [[0], [4]],
    'shown': [[[0, 1]], [[2, 3]]],
    'sound': [[1, 2, 3], [5, 6, 7]],
  }
  assert all(ids.dtype == np.int32 for ids in parsed.values())


def test_pieces_of_a_feature_are_joined_in_time():
  # The pieces stand in the sequence in the other order.
  layout = _layout(
    _BOS,
    dataclasses.replace(_SOUND, role=types.Role.PREFIX),
    dataclasses.replace(_HEARD, role=types.Role.TARGET),
    _SHOWN,
  )
  tokens = layout.encode(
    {name: np.stack([ids, ids]) for name, ids in _FEATURES.items()}
  )
  joined = layout.parse_features(tokens)
  for row in range(2):
    assert joined['audio'][row].tolist() == _FEATURES['audio'].tolist()
    assert joined['video'][row].tolist() == _FEATURES['video'][1:].tolist()
  made = layout.parse_features(tokens, types.Role.TARGET)
  assert made['audio'][0].tolist() == [[0], [4]]


def test_pieces_of_video_are_joined_in_time():
  given = dataclasses.replace(
    _SHOWN, name='given', role=types.Role.PREFIX, shape=(1, 1, 2), start=0
  )
  layout = _layout(_BOS, given, _SHOWN)
  joined = layout.parse_features(layout.encode(_FEATURES))
  assert joined['video'].tolist() == _FEATURES['video'].tolist()


def test_conditions_suffice_and_targets_are_zeros_then():
  conditions = {name: _FEATURES[name] for name in ('text', 'audio')}
  tokens = _layout(_BOS, _WORDS, _HEARD, _SHOWN, _EOS).encode(conditions)
  assert tokens.tolist() == [*_TOKENS[:6], 0, 0, 0, 0, 2]
  with pytest.raises(errors.LayoutError, match="needs the feature 'text'"):
    _HAND.encode({'audio': _FEATURES['audio']})
  # A target that comes after one that is missing is still filled.
  tokens = _HAND.encode(conditions)
  assert tokens.tolist() == [*_TOKENS[:6], 0, 0, 0, 0, *_TOKENS[10:]]


@pytest.mark.parametrize('wrong', [-1, 8])
def test_ids_of_a_feature_stay_within_their_range(wrong):
  audio = _FEATURES['audio'].copy()
  audio[1, 2] = wrong
  low, high = min(wrong, 1), max(wrong, 7)
  with pytest.raises(
    errors.LayoutError, match=f'ids from {low} to {high};.*admits 0 to 7'
  ):
    _HAND.encode({**_FEATURES, 'audio': audio})


def test_a_batch_of_no_examples_has_no_tokens():
  empty = {name: ids[None][:0] for name, ids in _FEATURES.items()}
  assert _HAND.encode(empty).shape == (0, 17)


@pytest.mark.parametrize(
  ('feature', 'shape', 'message'),
  [
    ('video', (2, 1, 2), r"'shown' takes \(2, 1, 2\) from latent frame 1"),
    ('video', (3, 2, 2), r'has shape \(3, 2, 2\)'),
    ('audio', (1, 4), "'heard' takes"),
    ('text', (2,), "'words' takes"),
  ],
)
def test_features_of_other_shapes_are_refused(feature, shape, message):
  features = {**_FEATURES, feature: np.zeros(shape, int)}
  with pytest.raises(errors.LayoutError, match=message):
    _HAND.encode(features)


def test_a_sequence_of_another_length_is_refused():
  with pytest.raises(errors.LayoutError, match='has 17 positions, got 16'):
    _HAND.parse(np.array(_TOKENS[:-1]))


def _with(segment, **changes):
  return dataclasses.replace(segment, **changes)


@pytest.mark.parametrize(
  ('segments', 'message'),
  [
    ((_BOS, _BOS, _EOS), 'names repeat'),
    ((_BOS, _SHOWN, _WORDS), 'every prefix segment must come before'),
    ((_BOS, _WORDS), 'at least one prefix and one target'),
    ((_SHOWN, _EOS), 'at least one prefix and one target'),
    ((_BOS, _with(_SHOWN, shape=(2, 2))), r"'shown' has shape \(2, 2\)"),
    ((_BOS, _with(_SOUND, shape=(2,))), "'sound' has shape"),
    ((_BOS, _with(_WORDS, shape=(2, 1)), _EOS), "'words' has shape"),
    ((_BOS, _with(_SHOWN, shape=(0, 1, 2))), 'is empty'),
    ((_BOS, _with(_SHOWN, feature='')), 'names no feature'),
    ((_with(_BOS, token='<bus>'), _EOS), "'<bus>'"),
    ((_BOS, _with(_SOUND, shape=(3, 3))), '3 audio levels, the vocabulary 2'),
  ],
)
def test_impossible_layouts_are_refused(segments, message):
  with pytest.raises(errors.LayoutError, match=message):
    _layout(*segments)


def test_contents_that_a_model_could_mistake():
  first = _segment(
    'a', 'visual', 'prefix', (2, 1, 2), feature='a', start=1, identity=3
  )

  def alike(*others, **options):
    found = _layout(_BOS, *others, _EOS).alike(**options)
    return found and (found[0].name, found[1].name)

  def other(name, **changes):
    return _with(first, name=name, feature=name, **changes)

  # Places in time: 1 and 2. Another's end where it begins, begin where it ends.
  before, after = other('b', start=0, shape=(1, 1, 2)), other('c', start=3)
  assert alike(first, before) is None and alike(first, after) is None
  for start in (0, 1, 2):
    assert alike(first, other('d', start=start)) == ('a', 'd')
    assert alike(other('d', start=start), first) == ('d', 'a')
  # The model knows which feature each holds.
  known = other('e', identity=4)
  assert alike(first, known) is None
  assert alike(first, known, identities=False) == ('a', 'e')
  # Another role or modality tells them apart, and later pairs are looked at.
  sound = _with(_HEARD, identity=3, start=1)
  assert alike(first, sound, identities=False) is None
  assert alike(sound, known, first, other('f')) == ('a', 'f')
  # Sound is compared along its own time axis, text has no places in time.
  assert alike(_with(_HEARD, shape=(2, 1)), _with(sound, name='g')) is None
  later = _with(_WORDS, name='later', start=9)
  assert alike(_WORDS, later) == ('words', 'later')
  assert alike(_WORDS) is None


def test_the_description_is_plain_data():
  described = _HAND.to_json()
  assert json.loads(json.dumps(described)) == described
  segments = described.pop('segments')
  assert described == {
    'name': 'mine/9x8x16', 'task': 'mine', 'length': 17, 'prefix_length': 6,
    'target_length': 11, 'group': 17,
  }  # fmt: skip
  assert len(segments) == 6
  assert segments[0] == {
    'name': 'bos', 'modality': 'special', 'role': 'prefix', 'shape': [1],
    'size': 1, 'token': '<bos>',
  }  # fmt: skip
  assert segments[3] == {
    'name': 'shown', 'modality': 'visual', 'role': 'target',
    'shape': [2, 1, 2], 'size': 4, 'feature': 'video', 'start': 1,
    'identity': 1,
  }  # fmt: skip


@pytest.mark.parametrize(
  ('tokens', 'multiple', 'examples'),
  [
    (17 * 8, 1, 8),
    (17 * 8 - 1, 1, 7),
    (17 * 8 - 1, 4, 4),
    (17 * 8, 4, 8),
    (16, 1, 1),
    (16, 3, 3),
  ],
)
def test_tokens_of_a_batch_are_about_constant(tokens, multiple, examples):
  assert layout_lib.examples_per_batch(_HAND, tokens, multiple) == examples
  if multiple == 1:
    assert layout_lib.examples_per_batch(_HAND, tokens) == examples


def test_layouts_by_name():
  short = layout_lib.SequenceLayout('short/1x8x8', (_BOS, _EOS), _VOCABULARY)
  assert layout_lib.by_name([_HAND, short], 'short/1x8x8') is short
  with pytest.raises(errors.LayoutError, match="'shor/1x8x8'.*'short/1x8x8'"):
    layout_lib.by_name([_HAND, short], 'shor/1x8x8')
  assert list(layout_lib.groups([_HAND, short, short]).items()) == [
    (2, (short, short)),
    (17, (_HAND,)),
  ]
