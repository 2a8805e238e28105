"""Token batches: pure functions of (seed, step), on any number of hosts."""

import dataclasses

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.data import agd
from videopoet_jax.data import batches
from videopoet_jax.data import registry
from videopoet_jax.data import tokens

TOKENS = 400


@pytest.fixture
def run(space, token_set):
  """Makes the batches of a small run of three layouts in two groups."""

  def make(files=(), names=None, **options):
    tasks = registry.load_tasks(
      files, tasks=['text_to_video', 'text_to_image', 'future_prediction']
    )
    ours = registry.space_for(tasks, space)
    names = names or (
      'text_to_video/9x16x16',
      'text_to_image/1x16x16',
      'future_prediction/9x16x16/condition=1',
    )
    arguments = {
      'tokens_per_batch': TOKENS,
      'schedule': agd.MixtureSchedule('constant'),
      'seed': 5,
      **options,
    }
    layouts = ours.layouts(names)
    return batches.TokenBatches(tasks, layouts, token_set, **arguments)

  return make


def _equal(first, second):
  assert set(first) == set(second) == {'tokens', 'visible'}
  for name in first:
    assert first[name].dtype == second[name].dtype
    np.testing.assert_array_equal(first[name], second[name])


def test_two_runs_are_equal_bit_for_bit_and_any_step_may_be_asked(run):
  first, second = run(), run()
  kept = [first.batch(step) for step in range(12)]
  for step in range(12):
    assert first.unit_at(step) == second.unit_at(step)
    _equal(kept[step], second.batch(step))
  assert len({first.unit_at(step) for step in range(12)}) == 3
  for step in (7, 2, 11, 11, 3):
    _equal(kept[step], second.batch(step))
  different = run(seed=6)
  assert any(
    different.unit_at(s) != first.unit_at(s)
    or (different.batch(s)['tokens'] != kept[s]['tokens']).any()
    for s in range(3)
  )


def test_a_resumed_run_equals_one_that_went_on(run):
  through, before = run(), run()
  for step in range(6):
    before.batch(step)
  state = before.state()
  assert sum(state['counts'].values()) == state['step'] == 5
  resumed, recounted = run(), run()
  resumed.restore(state)
  for step in range(6, 12):
    expected = through.batch(step)
    _equal(expected, resumed.batch(step))
    _equal(expected, recounted.batch(step))
  assert resumed.state() == through.state()
  with pytest.raises(errors.ConfigError, match='--init_from'):
    run(seed=6).restore(state)


def test_batches_keep_their_sizes_on_another_number_of_devices(run):
  # Positions are numbers of batches: with other sizes they would be others.
  through, before = run(multiple=4), run(multiple=4)
  for step in range(6):
    before.batch(step)
  resumed = run(multiple=1)
  assert resumed.batch_sizes() != through.batch_sizes()
  resumed.batch(0)  # As a run reads one before it knows of the checkpoint.
  resumed.restore(before.state())
  assert resumed.batch_sizes() == through.batch_sizes()
  for step in range(6, 12):
    _equal(through.batch(step), resumed.batch(step))
  _equal(run(multiple=4).batch(0), resumed.batch(0))
  with pytest.raises(errors.ConfigError, match='divides 4.*batch_multiple=N'):
    run(multiple=3).restore(before.state())
  older = before.state()
  del older['batch_sizes']
  run(multiple=4).restore(older)


@pytest.mark.parametrize('count', [2, 4])
def test_hosts_read_parts_of_one_global_batch(run, count):
  alone = run(multiple=4)
  hosts = [run(multiple=4) for _ in range(count)]
  hosts[0].batch(0)  # What was read before does not matter.
  for index, host in enumerate(hosts):
    host.read_part(index, count)
  for step in (0, 1, 5):
    parts = [host.batch(step) for host in hosts]
    unit = alone.unit_at(step)
    assert {len(part['tokens']) for part in parts} == {hosts[0].rows(unit)}
    whole = {
      name: np.concatenate([part[name] for part in parts])
      for name in ('tokens', 'visible')
    }
    _equal(alone.batch(step), whole)


def test_tokens_per_batch_are_constant_across_layouts(run):
  made = run(tokens_per_batch=2000)
  sizes = made.batch_sizes()
  lengths = {la.name: la.length for la in made.mixture.layouts}
  for name, size in sizes.items():
    assert 2000 - lengths[name] < size * lengths[name] <= 2000
  assert sizes['text_to_image/1x16x16'] > sizes['text_to_video/9x16x16']
  batch = made.batch(0)
  unit = made.unit_at(0)
  assert batch['tokens'].shape == (sizes[unit], lengths[unit])
  assert batch['visible'].dtype == bool


def test_batches_hold_the_examples_of_the_data_set(run, example_at):
  made = run(names=('text_to_video/9x16x16',), tokens_per_batch=50 * 60)
  layout = made.mixture.layouts[0]
  batch = made.batch(0)
  grids = layout.parse(batch['tokens'])
  examples = [example_at(index) for index in range(50)]
  known = {e['video_tokens'].tobytes(): e['text'] for e in examples}
  texts = [known[g.tobytes()] for g in grids['video_tokens_o']]
  assert len(texts) > 20
  for text, ids in zip(texts, grids['text_i']):
    expected = [byte + 3 for byte in text.encode()] + [1]
    assert ids[: len(expected)].tolist() == expected
    assert not ids[len(expected) :].any()


def test_a_user_task_with_its_own_preprocessor(run, task_folder, example_at):
  path = task_folder.own_task(2)
  made = run([path], names=('last_frames/9x16x16',))
  grids = made.mixture.layouts[0].parse(made.batch(0)['tokens'])
  swapped = {
    (63 - example_at(index)['video_tokens'][1:]).tobytes()
    for index in range(1, 50, 2)
  }
  assert {g.tobytes() for g in grids['video_tokens_o']} <= swapped


def test_a_preprocessor_that_leaves_examples_out_is_found(run, task_folder):
  path = task_folder.own_task(3)
  text = task_folder.path.joinpath('last_frames.gin').read_text()
  task_folder.write('last_frames.gin', text.replace('swap_colours', 'bad_ones'))
  made = run([path], names=('last_frames/9x16x16',))
  with pytest.raises(errors.DataError, match='not one-to-one'):
    made.batch(0)


def test_data_that_do_not_fill_a_layout(run, space, token_set):
  with pytest.raises(errors.DataError, match='Choose a layout of the size'):
    run(names=('text_to_video/9x32x16',))
  with pytest.raises(errors.DataError, match='expected \\(5, 2, 2\\)'):
    run(names=('text_to_video/17x16x16',))
  with pytest.raises(errors.ConfigError, match="did you mean 'text_to_video'"):
    run(weights={'text_to_vide': 1})


def test_ids_outside_the_vocabulary_are_named(space, tmp_path, example_at):
  directory = tmp_path / 'large'
  with tokens.TokenWriter(directory, tokens.TokenInfo()) as writer:
    for index in range(4):
      example = example_at(index)
      example['video_tokens'][1, 0, 0] = 64
      writer.write('train', example)
  tasks = registry.load_tasks(['unconditional'])
  reading = batches.TokenBatches(
    tasks,
    space.layouts(['unconditional/9x16x16']),
    str(directory),
    tokens_per_batch=60,
    schedule=agd.MixtureSchedule('constant'),
  )
  with pytest.raises(errors.DataError, match='holds local id 64'):
    reading.batch(0)


def test_a_task_without_examples_is_named_before_the_first_step(
  space, token_set
):
  (task,) = registry.load_tasks(['video_to_audio'])
  task = dataclasses.replace(task, minimum={'quality': 9.0})
  with pytest.raises(errors.NoExamplesError, match="'video_to_audio'.*quality"):
    batches.TokenBatches(
      [task],
      space.layouts(['video_to_audio/9x16x16']),
      token_set,
      tokens_per_batch=60,
      schedule=agd.MixtureSchedule('constant'),
    )


def test_validation_leaves_out_what_has_no_example(space, token_set):
  tasks = [
    dataclasses.replace(task, minimum={'quality': least})
    for task, least in zip(
      registry.load_tasks(['text_to_video', 'video_to_audio']), (0.0, 9.0)
    )
  ]
  names = registry.layout_names(tasks, space, 9, 16, 16)
  made = batches.ValidationBatches(
    tasks, space.layouts(names), token_set, batch_size=4
  )
  assert made.units() == tuple(n for n in names if 'text_to_video' in n)
  assert made.left_out == tuple(n for n in names if 'video_to_audio' in n)
  assert len(made.batches(made.units()[0])[0]['tokens']) == 4


def test_validation_is_fixed_and_drops_nothing(space, token_set):
  tasks = registry.load_tasks(['text_to_video', 'video_to_audio'])
  names = registry.layout_names(tasks, space, 9, 16, 16)
  layouts = space.layouts(names)
  made = [
    batches.ValidationBatches(
      tasks, layouts, token_set, batch_size=4, batches=2
    )
    for _ in range(2)
  ]
  assert made[0].units() == tuple(names)
  for name in names:
    for first, second in zip(*(m.batches(name) for m in made), strict=True):
      _equal(first, second)
      assert len(first['tokens']) == 4
  text = layouts[0].slices['text_i']
  assert made[0].batches(names[0])[0]['visible'][:, text.start].all()
  with pytest.raises(errors.ConfigError, match='did you mean'):
    made[0].batches('text_to_vide/9x16x16')


def test_tokens_of_other_tokenizers_are_refused(space, token_set, tmp_path):
  fingerprints = {'visual': 'v1', 'audio': 'a1'}
  assert tokens.check(token_set, space, fingerprints).clip == (9, 16, 16)
  with pytest.raises(errors.DataError, match='audio tokenizer a1, not a2'):
    tokens.check(token_set, space, {'visual': 'v1', 'audio': 'a2'})
  other = dataclasses.replace(
    space, visual=dataclasses.replace(space.visual, temporal_stride=2)
  )
  with pytest.raises(errors.DataError, match='temporal_stride 4, not 2'):
    tokens.check(token_set, other)
  with pytest.raises(errors.DataError, match='not a token data set'):
    tokens.check(tmp_path, space)


@pytest.mark.parametrize(
  ('height', 'stored', 'refused'),
  [
    (128, 16.0, False),
    (128, 4.0, True),
    (128, 0.0, True),  # From before the range was stored: 4 pixels.
    (32, 0.0, False),  # The range of small clips is what it was.
    (32, 1.0, False),
  ],
)
@pytest.mark.parametrize('structure', [True, False])
def test_structure_of_another_range_of_flow_is_refused(
  space, tmp_path, height, stored, refused, structure
):
  info = tokens.TokenInfo(
    space.visual, clip=(9, height, height), flow_range=stored * structure
  )
  example = {'video_tokens': np.zeros((3, 2, 2), np.int32)}
  if structure:
    example['structure_tokens'] = example['video_tokens']
  with tokens.TokenWriter(tmp_path / 'set', info) as writer:
    writer.write('train', example)
  if refused and structure:
    with pytest.raises(errors.DataError, match='up to 4 pixels.*not 16'):
      tokens.check(tmp_path / 'set', space)
  else:
    assert tokens.check(tmp_path / 'set', space).clip == info.clip


def test_a_writer_leaves_all_or_nothing(tmp_path, example_at):
  target = tmp_path / 'set'
  with pytest.raises(RuntimeError):
    with tokens.TokenWriter(target, tokens.TokenInfo()) as writer:
      writer.write('train', example_at(0))
      raise RuntimeError
  assert list(tmp_path.iterdir()) == []
  with tokens.TokenWriter(target, tokens.TokenInfo()) as writer:
    writer.write('train', example_at(0))
    with pytest.raises(errors.DataError, match='audio_tokens'):
      writer.write('train', {'video_tokens': np.zeros((3, 2, 2), np.int32)})
    wrong = {**example_at(1), 'video_tokens': np.zeros((3, 2, 3), np.int32)}
    with pytest.raises(errors.DataError, match='video_tokens'):
      writer.write('train', wrong)
  with pytest.raises(errors.DataError, match='exists already'):
    tokens.TokenWriter(target, tokens.TokenInfo())
  with pytest.raises(errors.DataError, match='no example'):
    tokens.TokenWriter(tmp_path / 'none', tokens.TokenInfo()).finish()
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.DataError, match='cannot be written'):
    tokens.TokenWriter(tmp_path / 'file' / 'set', tokens.TokenInfo())
