"""Ids of the unified vocabulary: where ranges begin, and what is refused."""

import hypothesis
from hypothesis import strategies as st
import pytest

from videopoet_jax.core import errors
from videopoet_jax.core import types
from videopoet_jax.core import vocabulary as vocabulary_lib

Modality = types.Modality

_sizes = st.integers(1, 20_000)


def test_a_small_vocabulary_by_hand():
  found = vocabulary_lib.Vocabulary(
    special_size=60,
    visual_size=64,
    audio_levels=2,
    audio_codes=100,
    text_size=8193,
  )
  ranges = {m: (r.start, r.size, r.stop) for m, r in found.ranges.items()}
  assert ranges == {
    Modality.SPECIAL: (0, 60, 60),
    Modality.VISUAL: (128, 64, 192),
    Modality.AUDIO: (256, 200, 456),
    Modality.TEXT: (512, 8193, 8705),
  }
  # Large tables are whole multiples of 512, small ones of 128.
  assert found.table_sizes == {
    Modality.SPECIAL: 128,
    Modality.VISUAL: 128,
    Modality.AUDIO: 256,
    Modality.TEXT: 8704,
  }
  assert found.size == 512 + 8704


@pytest.mark.parametrize(
  ('size', 'rows'),
  [(1, 128), (128, 128), (129, 256), (8064, 8064), (8191, 8192),
   (8192, 8192), (8193, 8704), (8704, 8704)],
)  # fmt: skip
def test_tables_are_rounded_up(size, rows):
  found = vocabulary_lib.Vocabulary(text_size=size)
  assert found.table_sizes[Modality.TEXT] == rows


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(_sizes, st.integers(1, 5), st.integers(1, 3000), _sizes)
def test_every_id_belongs_to_one_range(visual, levels, codes, text):
  found = vocabulary_lib.Vocabulary(
    visual_size=visual, audio_levels=levels, audio_codes=codes, text_size=text
  )
  start = 0
  for modality, part in found.ranges.items():
    assert part.modality is modality
    assert part.start == start and part.start % 128 == 0
    assert part.table_offset == 0
    rows = found.table_sizes[modality]
    assert part.size <= rows < part.size + (512 if part.size >= 8192 else 128)
    start += rows
  assert found.size == start
  audio = found.ranges[Modality.AUDIO]
  for level in range(levels):
    part = found.audio_level(level)
    assert part.modality is Modality.AUDIO and part.size == codes
    assert part.start == audio.start + level * codes
    assert part.table_offset == level * codes
  assert part.stop == audio.stop
  for level in (-1, levels):
    with pytest.raises(errors.LayoutError, match=f'audio level {level} of'):
      found.audio_level(level)


def test_the_papers_sizes():
  # VideoPoet, section 3.1: about 300,000 ids.
  found = vocabulary_lib.Vocabulary()
  starts = {m: (r.start, r.size) for m, r in found.ranges.items()}
  assert starts == {
    Modality.SPECIAL: (0, 256),
    Modality.VISUAL: (256, 262_144),
    Modality.AUDIO: (262_400, 4096),
    Modality.TEXT: (266_496, 32_128),
  }
  assert found.size == 298_752
  assert (found.audio_levels, found.audio_codes) == (4, 1024)


def test_special_ids_keep_their_numbers():
  # Checkpoints depend on them.
  plain = vocabulary_lib.Vocabulary()
  ids = {name: plain.special(name) for name in ('<pad>', '<bos>', '<eos>')}
  assert ids == {'<pad>': 0, '<bos>': 1, '<eos>': 2}
  assert plain.special('<res:landscape>') == 15
  assert plain.special('<duration:5>') == 16
  assert plain.special('<duration:65>') == 31
  assert plain.special('<task:video>') == 32
  assert plain.special('<task:video_and_audio>') == 39
  assert len(plain.special_ids) == 40
  more = vocabulary_lib.Vocabulary(extra_special=('<task:mine>', '<x>'))
  assert more.special('<task:mine>') == 40 and more.special('<x>') == 41
  assert {n: more.special(n) for n in plain.special_ids} == plain.special_ids


def test_durations_are_one_frame_more_than_fours():
  assert vocabulary_lib.DURATIONS[:3] == (5, 9, 13)
  assert vocabulary_lib.DURATIONS[-1] == 65
  assert len(vocabulary_lib.DURATIONS) == 16


def test_unknown_names_are_explained():
  found = vocabulary_lib.Vocabulary()
  with pytest.raises(errors.LayoutError, match="'<boss>' .did you mean '<bos>"):
    found.special('<boss>')


@pytest.mark.parametrize(
  'field',
  ['special_size', 'visual_size', 'audio_levels', 'audio_codes', 'text_size'],
)
def test_nothing_may_be_empty(field):
  with pytest.raises(errors.LayoutError, match=f'{field} must be at least 1'):
    vocabulary_lib.Vocabulary(**{field: 0})
  if field != 'special_size':
    vocabulary_lib.Vocabulary(**{field: 1})


def test_special_names_fit_and_occur_once():
  assert vocabulary_lib.Vocabulary(special_size=40).special_size == 40
  with pytest.raises(errors.LayoutError, match='40 special tokens do not fit'):
    vocabulary_lib.Vocabulary(special_size=39)
  for names in (('<bos>',), ('<a>', '<a>')):
    with pytest.raises(errors.LayoutError, match='repeats a name'):
      vocabulary_lib.Vocabulary(extra_special=names)
