"""Tokens about a place: where they lie, and that none is a later one."""

import dataclasses

import numpy as np
import pytest

from tests.models.prefix_lm import small
from videopoet_jax.core import tasks
from videopoet_jax.core import types
from videopoet_jax.layers import neighborhood

_NAMES = [
  f'{task}/{small.SIZE}'
  for task in (
    'unconditional',
    'inpainting',
    'stylization',
    'audio_to_video',
    'video_to_audio',
    'audio_video_continuation',
  )
]
_FUTURE = f'future_prediction/{small.SIZE}/condition=1'


def _found(name, layout_name):
  """(position predicted, slot, position taken) of every slot that is filled."""
  layout = small.SPACE.layout(layout_name)
  source_LK = neighborhood.SOURCES[name].find(layout)
  assert source_LK.shape == (layout.length, neighborhood.SOURCES[name].slots(2))
  return layout, [
    (position + 1, slot, source_LK[position, slot])
    for position, slot in np.argwhere(source_LK >= 0)
  ]


@pytest.mark.parametrize('name', neighborhood.SOURCES)
@pytest.mark.parametrize('layout_name', [*_NAMES, _FUTURE])
def test_only_what_is_there_already_is_taken(name, layout_name):
  layout, found = _found(name, layout_name)
  modalities = list(types.Modality)
  for position, _, source in found:
    assert source < position
    modality = modalities[layout.modality_L[source]]
    assert modality is neighborhood.SOURCES[name].modality


def test_every_source_serves_some_task():
  for name in neighborhood.SOURCES:
    assert any(_found(name, layout_name)[1] for layout_name in _NAMES)


def test_neighbours_are_of_this_frame_and_two_before():
  layout, found = _found('neighbours', _FUTURE)
  places = layout.coordinates_L3
  offsets = {}
  for position, slot, source in found:
    offset = tuple(places[source] - places[position])
    assert offsets.setdefault(slot, offset) == offset
    assert offset[0] in (0, -1, -2)
    assert max(abs(offset[1]), abs(offset[2])) <= 1
  assert {(-1, 0, 0), (-2, 0, 0), (0, -1, 0)} <= set(offsets.values())


def test_a_condition_is_the_same_place_of_the_masked_clip_and_after():
  layout, found = _found('condition', f'inpainting/{small.SIZE}')
  target = layout.slices['video_tokens_o']
  places = layout.coordinates_L3
  same = [
    position
    for position, _, source in found
    if (places[position] == places[source]).all()
  ]
  assert same == list(range(target.start, target.stop))
  for position, _, source in found:
    assert places[source][0] - places[position][0] in (0, 1)
    assert source < layout.prefix_length


def test_sound_and_sight_are_of_the_same_time():
  # Eight frames a second, half a second a latent of sound: latent frame 1 of
  # video ends at 0.625 s, within the second latent of sound.
  layout, found = _found('sound', f'audio_to_video/{small.SIZE}')
  places = layout.coordinates_L3
  heard = {places[source][0] for p, _, source in found if places[p][0] == 1}
  assert heard == {0, 1}
  layout, found = _found('sight', f'video_to_audio/{small.SIZE}')
  places = layout.coordinates_L3
  seen = {places[source][0] for p, _, source in found if places[p][0] == 0}
  assert seen == {0, 1, 2}  # The middle one, and those beside it.


def test_an_echo_is_what_was_heard_last_on_every_level():
  layout, found = _found('echo', f'video_to_audio/{small.SIZE}')
  places = layout.coordinates_L3
  last = [
    (position, source)
    for position, _, source in found
    if tuple(places[position][:2]) == (1, 1)
  ]
  assert {tuple(places[source][:2]) for _, source in last} == {
    (0, 0),
    (0, 1),
    (1, 0),
  }


@pytest.mark.parametrize('target', ['video_tokens', 'audio_tokens'])
@pytest.mark.parametrize('name', neighborhood.SOURCES)
def test_a_source_never_mixes_two_features(name, target):
  prefix = (
    'visual:depth_tokens[:1]',
    'visual:edge_tokens',
    'audio:voice_tokens',
    'audio:music_tokens',
  )
  space = dataclasses.replace(
    small.SPACE,
    templates=(tasks.TaskTemplate('own', 'video', prefix, (target,)),),
  )
  layout = space.layout(f'own/{small.SIZE}')
  owner_L = np.full(layout.length, -1)
  for number, segment in enumerate(layout.filled()):
    owner_L[layout.slices[segment.name]] = number
  taken_LK = neighborhood.SOURCES[name].find(layout)
  rows = [set(owner_L[taken[taken >= 0]]) for taken in taken_LK]
  assert max(map(len, rows)) <= 1
  predicted = layout.slices[f'{target}_o']
  owners = set.union(*rows[predicted.start - 1 : predicted.stop - 1])
  assert len(owners) <= 1
  if name == 'condition' and target == 'video_tokens':
    assert owners == {1}  # The one with most tokens.
