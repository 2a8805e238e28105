"""Several token sets in one run: sizes, mixing, and what is refused."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from tests.data import clip_sets
from videopoet_jax.core import errors
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.core import vocabulary
from videopoet_jax.data import agd
from videopoet_jax.data import batches
from videopoet_jax.data import records
from videopoet_jax.data import registry
from videopoet_jax.data import sets as sets_lib
from videopoet_jax.data import tokens

TASKS = ('text_to_video', 'text_to_image', 'image_to_video', 'video_to_audio')
CONSTANT = agd.MixtureSchedule('constant')


@pytest.fixture(scope='module')
def all_sets(tmp_path_factory):
  return clip_sets.write_all(tmp_path_factory.mktemp('sets'))


@pytest.fixture
def space():
  return tasks_lib.LayoutSpace(
    vocabulary.Vocabulary(
      visual_size=64, audio_levels=2, audio_codes=16, text_size=259
    ),
    clip_sets.VISUAL,
    clip_sets.AUDIO,
    text_slots=4,
  )


def _layouts(directories, space, tasks=TASKS, clip=None):
  tasks = registry.load_tasks(tasks=tasks)
  space = registry.space_for(tasks, space)
  sets = sets_lib.open_sets(directories)
  return tasks, space.layouts(sets.layout_names(tasks, space, clip)), sets


def _batches(directories, space, tasks=TASKS, **options):
  tasks, layouts, sets = _layouts(directories, space, tasks)
  arguments = {'tokens_per_batch': 400, 'schedule': CONSTANT, 'seed': 3}
  return batches.TokenBatches(tasks, layouts, sets, **{**arguments, **options})


def _numbers(made, layout, batch):
  name = next(s.name for s in layout.filled() if 'video' in s.name)
  return [
    clip_sets.number_of(grid) for grid in layout.parse(batch['tokens'])[name]
  ]


def test_layouts_of_every_size_and_of_images_for_image_tasks_only(
  all_sets, space
):
  _, layouts, sets = _layouts(all_sets, space)
  names = [layout.name for layout in layouts]
  assert len(set(names)) == len(names)
  for clip in ('17x32x32', '17x56x32', '41x32x32', '41x56x32'):
    assert f'text_to_video/{clip}' in names
    assert f'video_to_audio/{clip}' in names
  images = [n for n in names if '/1x' in n]
  assert images == ['text_to_image/1x32x32', 'text_to_image/1x56x32']
  tasks = registry.load_tasks(tasks=TASKS)
  assigned = sets.assign(tasks, layouts)
  for name, directories in assigned.items():
    clip = 'x'.join(map(str, tasks_lib.clip_of(name)))
    assert [pathlib.Path(d).name for d in directories] == [clip]


def test_first_frames_of_videos_are_the_images_without_image_sets(
  all_sets, space
):
  tasks, layouts, sets = _layouts(all_sets[:4], space)
  assigned = sets.assign(tasks, layouts)
  for size in ('32x32', '56x32'):
    # Of both lengths, since both begin with an image of that size.
    names = {pathlib.Path(d).name for d in assigned[f'text_to_image/1x{size}']}
    assert names == {f'17x{size}', f'41x{size}'}
  made = _batches(all_sets[:4], space)
  assert len(made.units()) == len(layouts)
  # One set of images: its size comes from it, the other from videos.
  _, layouts, sets = _layouts(all_sets[:5], space)
  assigned = sets.assign(tasks, layouts)
  assert assigned['text_to_image/1x32x32'] == (all_sets[4],)
  assert len(assigned['text_to_image/1x56x32']) == 2


def test_each_layout_is_filled_from_its_own_sets(space, tmp_path):
  """Examples of the wrong set would be found by their numbers."""
  directories = [
    clip_sets.write(
      tmp_path / str(index), clip, range(100 * index, 100 * index + 20)
    )
    for index, clip in enumerate(clip_sets.SIZES)
  ]
  made = _batches(directories, space)
  for layout in made.mixture.layouts:
    clip = tasks_lib.clip_of(layout.name)
    step = next(s for s in range(500) if made.unit_at(s) == layout.name)
    found = {n // 100 for n in _numbers(made, layout, made.batch(step))}
    assert found == {clip_sets.SIZES.index(clip)}


def test_sets_of_one_size_are_mixed_by_their_examples(space, tmp_path):
  clip = (17, 32, 32)
  three = [
    clip_sets.write(tmp_path / 'a', clip, range(0, 30)),
    clip_sets.write(tmp_path / 'b', clip, range(100, 160)),
    clip_sets.write(tmp_path / 'c', clip, range(200, 210), held_out=()),
  ]
  made = _batches(three, space, ('unconditional',), tokens_per_batch=100 * 110)
  layout = made.mixture.layouts[0]
  assert made.batch_sizes()[layout.name] >= 100
  seen = [n for s in range(5) for n in _numbers(made, layout, made.batch(s))]
  # An epoch holds every example of every set once.
  assert sorted(seen[:100]) == [*range(30), *range(100, 160), *range(200, 210)]
  assert sorted(seen[100:200]) == sorted(seen[:100]) != seen[100:200]
  # Mixed within the epoch, not one set behind the other.
  shares = np.bincount(np.array(seen[:50]) // 100) / 50
  np.testing.assert_allclose(shares, [0.3, 0.6, 0.1], atol=0.15)


def test_mixed_sets_are_a_function_of_seed_and_position(space, tmp_path):
  clip = (17, 32, 32)
  two = [
    clip_sets.write(tmp_path / 'a', clip, range(0, 13)),
    clip_sets.write(tmp_path / 'b', clip, range(100, 121)),
  ]
  options = {'tasks': ('unconditional', 'future_prediction'), 'multiple': 4}
  alone = _batches(two, space, **options)
  kept = [alone.batch(step) for step in range(8)]
  resumed = _batches(two, space, **options)
  resumed.restore(alone.state())
  hosts = [_batches(two, space, **options) for _ in range(2)]
  for index, host in enumerate(hosts):
    host.read_part(index, 2)
  for step in (7, 3, 4):
    np.testing.assert_array_equal(
      kept[step]['tokens'], resumed.batch(step)['tokens']
    )
    parts = [host.batch(step)['tokens'] for host in hosts]
    np.testing.assert_array_equal(kept[step]['tokens'], np.concatenate(parts))


def test_shares_by_count_are_the_mixtures_within_one_percent(all_sets, space):
  schedule = agd.MixtureSchedule('two_stage', steps=400_000)
  weights = {'41x56x32': 3.0, 'text_to_video': 2.0}
  made = _batches(all_sets, space, schedule=schedule, weights=weights)
  mixture = made.mixture
  images = np.array([agd.is_image(layout) for layout in mixture.layouts])
  for start, stop, image_share in ((0, 100_000, 0.9), (100_000, 400_000, 0.1)):
    found = mixture.counts(start, stop) / (stop - start)
    assert abs(found[images].sum() - image_share) < 0.01
    assert np.abs(found - mixture.shares(start)).max() < 0.01
    by_size = {
      clip: sum(
        share
        for layout, share in zip(mixture.layouts, found)
        if tasks_lib.clip_of(layout.name) == clip
      )
      for clip in clip_sets.SIZES[:4]
    }
    total = sum(by_size.values())
    for clip, share in by_size.items():
      expected = 3 / 6 if clip == (41, 56, 32) else 1 / 6
      assert abs(share / total - expected) < 0.01
  # Counted by drawing too, the way a run asks.
  drawn = [made.unit_at(step) for step in range(20_000)]
  share = np.mean([name.startswith('text_to_image') for name in drawn])
  assert abs(share - 0.9) < 0.01


def test_images_are_about_five_times_as_many_a_batch():
  """At the paper's sizes: 256 against 1,280 tokens, and text in both."""
  space = tasks_lib.LayoutSpace()
  image, video, alone = space.layouts(
    [
      'text_to_image/1x128x128',
      'text_to_video/17x128x128',
      'unconditional/17x128x128',
    ]
  )
  for layout in (video, alone):
    ratio = layout.length / image.length
    assert 3.9 < ratio < 4.2
  assert video.target_length / image.target_length == pytest.approx(5, abs=0.02)


def test_weights_of_sizes_leave_the_shares_of_tasks_alone(all_sets, space):
  tasks, layouts, _ = _layouts(all_sets, space)
  plain = batches.layout_weights(tasks, layouts, {})
  sized = batches.layout_weights(tasks, layouts, {'17x32x32': 5, '1x32x32': 0})
  for task in TASKS:
    for weights in (plain, sized):
      total = sum(w for n, w in weights.items() if n.split('/')[0] == task)
      assert total == pytest.approx(1.0)
  assert sized['text_to_video/17x32x32'] == pytest.approx(5 / 8)
  assert sized['text_to_image/1x32x32'] == 0
  for weights, message in (
    ({'17x32x3': 1}, "did you mean '17x32x32'"),
    ({'17x32x32': -1}, 'expected 0 or more'),
  ):
    with pytest.raises(errors.ConfigError, match=message):
      batches.layout_weights(tasks, layouts, weights)


def test_validation_takes_every_size(all_sets, space):
  tasks, layouts, sets = _layouts(all_sets, space)
  made = batches.ValidationBatches(tasks, layouts, sets, batch_size=4)
  assert set(made.units()) == {layout.name for layout in layouts}
  for layout in layouts:
    (batch,) = made.batches(layout.name)
    assert batch['tokens'].shape == (4, layout.length)
    assert set(_numbers(made, layout, batch)) == set(range(24, 28))


def test_a_task_with_its_own_set_keeps_it_and_its_size(
  all_sets, space, tmp_path
):
  own = clip_sets.write(tmp_path / 'own', (1, 32, 32), range(500, 520))
  tasks = [
    dataclasses.replace(task, directory=own)
    if task.name == 'text_to_image'
    else task
    for task in registry.load_tasks(tasks=TASKS)
  ]
  sets = sets_lib.open_sets(all_sets[:4])
  names = sets.layout_names(tasks, space)
  assert [n for n in names if '/1x' in n] == ['text_to_image/1x32x32']
  assigned = sets.assign(tasks, space.layouts(names))
  assert assigned['text_to_image/1x32x32'] == (own,)


@pytest.mark.parametrize(
  ('chosen', 'tasks', 'message'),
  [
    # No layout is filled from the images: no task makes any.
    ((0, 4), ('text_to_video',), '1x32x32.*no layout of this run'),
    ((0, 0), TASKS, 'twice'),
    ((), TASKS, 'empty list'),
  ],
)
def test_refused(all_sets, space, chosen, tasks, message):
  with pytest.raises(errors.UserError, match=message) as caught:
    _batches([all_sets[i] for i in chosen], space, tasks)
  assert '\n' not in str(caught.value)


def test_a_layout_without_a_set_is_refused(all_sets, space):
  tasks = registry.load_tasks(tasks=TASKS)
  layouts = space.layouts(
    [
      'text_to_video/17x32x32',
      'text_to_video/41x32x32',
      'text_to_video/17x64x64',
    ]
  )
  with pytest.raises(errors.DataError, match='fills text_to_video/17x64x64'):
    batches.TokenBatches(
      tasks,
      layouts,
      [all_sets[0], all_sets[2]],
      tokens_per_batch=400,
      schedule=CONSTANT,
    )


def test_sets_of_other_tokenizers_or_of_no_size_are_named(
  all_sets, space, tmp_path
):
  other = clip_sets.write(
    tmp_path / 'other', (41, 32, 32), range(2), fingerprint='v2'
  )
  with pytest.raises(errors.DataError, match='other holds ids.*v2 and v1'):
    sets_lib.open_sets([all_sets[0], other])
  path = pathlib.Path(other) / tokens.INFO_FILE
  path.write_text(json.dumps({**json.loads(path.read_text()), 'clip': None}))
  with pytest.raises(errors.DataError, match='other does not say the size'):
    sets_lib.open_sets([all_sets[0], other])


def test_a_set_that_is_not_of_the_size_it_says_is_refused_at_once(
  all_sets, space, tmp_path
):
  wrong = clip_sets.write(tmp_path / 'wrong', (17, 32, 32), range(4))
  path = pathlib.Path(wrong) / tokens.INFO_FILE
  path.write_text(
    json.dumps({**json.loads(path.read_text()), 'clip': [17, 56, 32]})
  )
  with pytest.raises(errors.DataError, match='wrong has shape.*expected'):
    _batches([all_sets[0], wrong], space)


@pytest.mark.parametrize('mixed', [False, True])
def test_a_record_of_a_wrong_shape_is_named(space, tmp_path, mixed):
  """One record of another size among good ones, written by other code."""
  clip = (17, 32, 32)
  good = clip_sets.write(tmp_path / 'good', clip, range(6))
  bad = clip_sets.write(tmp_path / 'bad', clip, range(6))
  _replace_record(pathlib.Path(bad), 4, clip_sets.example((17, 56, 32), 4))
  made = _batches([good, bad] if mixed else [bad], space, ('unconditional',))
  with pytest.raises(errors.DataError, match='record 4 of .*bad/.*train') as e:
    for step in range(20):
      made.batch(step)
  assert '\n' not in str(e.value)


def _replace_record(directory, index, example):
  """Writes a set's training records again, one of them of other shapes."""
  from array_record.python import array_record_module

  opened = records.Records(directory)
  kept = opened.read('train', range(opened.size('train')))
  odd = tokens.Serializer(directory)
  kept[index] = odd(example)
  (path,) = directory.glob('*train*array_record*')
  writer = array_record_module.ArrayRecordWriter(str(path), 'group_size:1')
  for record in kept:
    writer.write(record)
  writer.close()


def test_mixed_sets_must_be_alike(all_sets, space):
  joined = records.JoinedRecords(
    [records.open_records(all_sets[0]), records.open_records(all_sets[1])]
  )
  with pytest.raises(errors.DataError, match='17x56x32 holds .video_tokens.'):
    joined.schema(['video_tokens'])
  assert joined.size('train') == 48
  assert joined.place('train', 30).startswith('record 6 of')
  assert '17x56x32' in joined.place('train', 30)
  with pytest.raises(errors.NoExamplesError, match='no split'):
    joined.size('test')
