"""Layouts as SeqIO tasks by name: what SeqIO's own parts make of them."""

import collections
import dataclasses
import doctest
import subprocess
import sys

import gin
import numpy as np
import pytest
import seqio
import tensorflow as tf

from tests.data import clip_sets
from videopoet_jax import data
from videopoet_jax.core import errors
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.core import types
from videopoet_jax.data import agd
from videopoet_jax.data import batches
from videopoet_jax.data import layout_tasks
from videopoet_jax.data import registry
from videopoet_jax.data import tokens as tokens_lib

TASKS = (
  'unconditional',
  'text_to_video',
  'text_to_image',
  'future_prediction',
  'image_to_video',
  'inpainting',
  'outpainting',
  'stylization',
  'audio_to_video',
  'video_to_audio',
  'audio_video_continuation',
)
VIDEO = 'videopoet:text_to_video:9x16x16'
SOUND = 'videopoet:video_to_audio:9x16x16'


@pytest.fixture(autouse=True)
def _forget():
  yield
  layout_tasks.reset()
  for name in ('mine', 'pair'):
    seqio.MixtureRegistry.remove(name)
    seqio.TaskRegistry.remove(name)


@pytest.fixture
def register(token_set):
  """Registers tasks of the tiny set."""

  def call(tasks=TASKS, **options):
    return data.register(token_set, tasks=tasks, text_slots=4, **options)

  return call


def _examples(name, split='train', **options):
  """Examples of a task or mixture as numpy arrays."""
  options = {'shuffle': False, 'num_epochs': 1, **options}
  found = seqio.get_mixture_or_task(name).get_dataset(
    None, split=split, **options
  )
  return list(found.as_numpy_iterator())


def _ordered(name, seed):
  """The task without SeqIO's buffer: shuffled by the source alone."""
  task = seqio.get_mixture_or_task(name).replace(shuffle_buffer_size=None)
  return list(
    task.get_dataset(None, shuffle=True, seed=seed).as_numpy_iterator()
  )


def _keys(examples):
  return sorted(
    (e['inputs'].tobytes(), e['targets'].tobytes()) for e in examples
  )


@pytest.mark.parametrize('clip', [(17, 128, 128), (41, 224, 128), (1, 64, 64)])
def test_names_of_all_standard_layouts_go_both_ways(clip):
  layouts = [
    *tasks_lib.LayoutSpace().standard_names(*clip),
    'image_to_video/17x128x128/first=1,text=0',
  ]
  names = [layout_tasks.seqio_name(layout) for layout in layouts]
  assert len(set(names)) == len(layouts)
  assert [layout_tasks.layout_name(name) for name in names] == layouts
  for name in names:
    seqio.Task(name, source=None, output_features={})  # Raises if it may not.
  result = doctest.testmod(layout_tasks)
  assert result.attempted and not result.failed


@pytest.mark.parametrize(
  'name',
  [
    'videopoet:all',
    'mine:a:1x2x3',
    'videopoet:length:14',
    'videopoet:a:1x2x3:',
  ],
)
def test_other_names_are_no_layouts(name):
  with pytest.raises(errors.LayoutError, match='text_to_video:17x128x128'):
    layout_tasks.layout_name(name)
  with pytest.raises(errors.LayoutError, match='no layout name'):
    layout_tasks.seqio_name('text_to_video')


def test_every_layout_is_a_task_that_ends(register):
  found = register()
  assert len(found.tasks) == len(found.layouts) == 14
  size = found.space.vocabulary.size
  for name in found.tasks:
    task = seqio.get_mixture_or_task(name)
    assert set(task.splits) == {'train', 'validation'}
    assert task.num_input_examples('train') == 50
    assert task.num_input_examples('validation') == 10
    assert task.source.get_dataset('train').cardinality() == 50
    assert {f.vocabulary.vocab_size for f in task.output_features.values()} == {
      size
    }
  assert len(_examples(VIDEO)) == 50
  assert len(_examples(VIDEO, num_epochs=2, shuffle=True)) == 100


def test_ids_are_those_of_our_own_batches(register, token_set):
  found = register()
  tasks = registry.load_tasks(tasks=TASKS)
  held_out = batches.ValidationBatches(
    tasks, found.layouts, token_set, batch_size=10
  )
  dropped = 0
  for name, layout in zip(found.tasks, found.layouts, strict=True):
    training = batches.TokenBatches(
      [registry.by_name(tasks, layout.task)],
      [layout],
      token_set,
      tokens_per_batch=50 * layout.length,
      schedule=agd.MixtureSchedule('constant'),
      seed=5,
    )
    permuted = _ordered(name, seed=5)
    for batch, examples in (
      (training.batch(0), permuted),
      (held_out.batches(layout.name)[0], _examples(name, 'validation')),
    ):
      ours = [np.concatenate([e['inputs'], e['targets']]) for e in examples]
      np.testing.assert_array_equal(ours, batch['tokens'])
      shown = batch['visible'][:, : layout.prefix_length]
      np.testing.assert_array_equal([e['visible'] for e in examples], shown)
      assert batch['visible'][:, layout.prefix_length :].all()
      assert {k: v.dtype for k, v in examples[0].items()} == {
        'inputs': np.int32, 'targets': np.int32, 'visible': bool,
        f'layout:{layout.name}': np.int32,
      }  # fmt: skip
    dropped += sum(not e['visible'].all() for e in permuted)
  assert dropped > 50


def test_conditions_are_dropped_anew_every_epoch(register):
  (task,) = registry.load_tasks(tasks=['inpainting'])
  task = dataclasses.replace(task, drop={'inpainting_tokens': 0.5})
  (name,) = register([task]).tasks
  hidden = np.array(
    [not e['visible'].all() for e in _examples(name, num_epochs=3)]
  ).reshape(3, 50)
  assert (10 < hidden.sum(1)).all() and (hidden.sum(1) < 40).all()
  assert (hidden[0] != hidden[1]).any() and (hidden[1] != hidden[2]).any()
  again = [not e['visible'].all() for e in _examples(name, num_epochs=3)]
  np.testing.assert_array_equal(hidden.ravel(), again)
  for example in _examples(name, 'validation', num_epochs=2):
    assert example['visible'].all()


def test_selection_and_preprocessors_of_a_users_task(
  register, task_folder, example_at
):
  (name,) = register([task_folder.own_task(11)]).tasks
  assert name == 'videopoet:last_frames:9x16x16'
  assert seqio.get_mixture_or_task(name).num_input_examples('train') == 25
  layout = register([task_folder.own_task(11)]).layout(name)
  grids = layout.parse(
    [np.concatenate([e['inputs'], e['targets']]) for e in _examples(name)]
  )
  expected = [63 - example_at(i)['video_tokens'][1:] for i in range(1, 50, 2)]
  np.testing.assert_array_equal(grids['video_tokens_o'], expected)


def test_splits_without_examples_of_a_task_are_none(register):
  (task,) = registry.load_tasks(tasks=['text_to_video'])
  # Of the validation examples, numbers 100 and on, every one passes.
  (name,) = register([task], minimum={'quality': 1.5}).tasks
  assert seqio.get_mixture_or_task(name).splits == ('validation',)


@pytest.mark.parametrize('shuffle', [False, True])
@pytest.mark.parametrize('count', [2, 3, 7])
def test_shards_partition_the_examples(register, shuffle, count):
  register(['text_to_video'])
  parts = [
    _examples(
      VIDEO, shuffle=shuffle, seed=3, shard_info=seqio.ShardInfo(i, count)
    )
    for i in range(count)
  ]
  assert {len(part) for part in parts} <= {50 // count, 50 // count + 1}
  whole = [example for part in parts for example in part]
  assert _keys(whole) == _keys(_examples(VIDEO))


def test_listed_shards_are_ranges(register, monkeypatch):
  register(['text_to_video'])
  source = seqio.get_mixture_or_task(VIDEO).source
  assert len(source.list_shards('train')) == 1
  monkeypatch.setattr(layout_tasks.split_source, '_SHARD', 20)
  names = source.list_shards('train')
  assert [name.rsplit(':', 2)[-2:] for name in names] == [
    ['train[0', '16]'],
    ['train[16', '33]'],
    ['train[33', '50]'],
  ]


@pytest.mark.parametrize('name', [VIDEO, 'videopoet:all'])
@pytest.mark.parametrize('shuffle', [False, True])
def test_an_iterator_goes_on_from_a_checkpoint(
  register, tmp_path, name, shuffle
):
  found = register(['text_to_video', 'video_to_audio'])

  def iterator():
    return iter(
      seqio.get_dataset(
        name,
        found.lengths(),
        seqio.PrefixLMFeatureConverter(pack=True),
        shuffle=shuffle,
        seed=2,
        num_epochs=None,
      )
    )

  def take(stream, number):
    return [
      next(stream)['decoder_target_tokens'].numpy() for _ in range(number)
    ]

  first = iterator()
  take(first, 37)
  path = tf.train.Checkpoint(iterator=first).write(str(tmp_path / 'state'))
  expected = take(first, 60)
  second = iterator()
  tf.train.Checkpoint(iterator=second).read(path).assert_consumed()
  np.testing.assert_array_equal(take(second, 60), expected)


def test_mixtures_have_the_rates_of_our_own_draws(register):
  found = register(weights={'text_to_video': 3.0})
  everything = seqio.get_mixture_or_task('videopoet:all')
  assert len(everything.tasks) == 14
  rates = {t.name: everything.get_rate(t) for t in everything.tasks}
  assert rates == dict(found.rates)
  assert rates[VIDEO] == 3.0
  assert rates['videopoet:stylization:9x16x16:image.1'] == 0.5
  of_lengths = [seqio.MixtureRegistry.get(n) for n in found.groups.values()]
  assert sum(len(mixture.tasks) for mixture in of_lengths) == 14
  for length, name in found.groups.items():
    for task in seqio.MixtureRegistry.get(name).tasks:
      assert found.layout(task.name).length == length
    assert sum(found.lengths(name).values()) >= length


def test_a_mixture_of_ones_own(register):
  found = register(['text_to_video', 'video_to_audio'])
  seqio.MixtureRegistry.add('pair', [(VIDEO, 3.0), (SOUND, 1.0)])
  counts = collections.Counter(
    len(e['targets'])
    for e in _examples('pair', num_epochs=20, shuffle=True, seed=1)[:800]
  )
  longer = found.layout(VIDEO).target_length
  assert set(counts) == {longer, found.layout(SOUND).target_length}
  assert 0.7 < counts[longer] / 800 < 0.8
  none = register(['text_to_video', 'unconditional'], weights={
    'unconditional': 0.0}, prefix='mine')  # fmt: skip
  assert [t.name for t in seqio.MixtureRegistry.get('mine:all').tasks] == [
    'mine:text_to_video:9x16x16'
  ]
  assert len(none.groups) == 1 and len(none.tasks) == 2


def test_seqios_prefix_lm_converter(register):
  found = register(['text_to_video', 'video_to_audio'])
  layout = found.layout(VIDEO)
  lengths = {'inputs': 40, 'targets': 60}
  padded = seqio.get_dataset(
    VIDEO,
    lengths,
    seqio.PrefixLMFeatureConverter(pack=False),
  )
  raw = _examples(VIDEO)
  for example, source in zip(padded.as_numpy_iterator(), raw, strict=True):
    ids = np.concatenate([source['inputs'], source['targets']])
    expected = np.pad(ids, (0, 100 - len(ids)))
    np.testing.assert_array_equal(example['decoder_target_tokens'], expected)
    weights = example['decoder_loss_weights']
    assert np.flatnonzero(weights).tolist() == list(
      range(layout.prefix_length, layout.length)
    )
  packed = seqio.get_dataset(
    'videopoet:all',
    lengths,
    seqio.PrefixLMFeatureConverter(pack=True),
    num_epochs=1,
  )
  whole, most = set(), 0
  for example in packed.as_numpy_iterator():
    segments = example['decoder_segment_ids']
    most = max(most, segments.max())
    for segment in range(1, segments.max() + 1):
      whole.add(example['decoder_target_tokens'][segments == segment].tobytes())
  assert most > 1
  single = [
    np.concatenate([e['inputs'], e['targets']]).tobytes()
    for name in (VIDEO, SOUND)
    for e in _examples(name)
  ]
  assert whole <= set(single) and len(whole) > 50


def test_what_is_visible_passes_through(register):
  found = register(['text_to_video', 'video_to_audio'])
  lengths = {**found.lengths(VIDEO)}
  lengths['visible'] = lengths['inputs']
  convert = seqio.PrefixLMFeatureConverter(
    pack=False,
    passthrough_features={
      'visible': seqio.FeatureConverter.FeatureSpec(tf.bool)
    },
  )
  raw = _examples(VIDEO)
  made = seqio.get_dataset(VIDEO, lengths, convert)
  for example, source in zip(made.as_numpy_iterator(), raw, strict=True):
    np.testing.assert_array_equal(example['visible'], source['visible'])
  mixed = _examples('videopoet:all', passthrough_features=['visible'])
  assert all(len(e['visible']) == len(e['inputs']) for e in mixed)
  assert 'visible' not in _examples('videopoet:all')[0]


def _evaluate(name, predict, score, folder):
  evaluator = seqio.Evaluator(
    name,
    seqio.PrefixLMFeatureConverter(pack=False),
    eval_split='validation',
    logger_cls=[seqio.loggers.JSONLogger],
    log_dir=str(folder),
  )
  made, _ = evaluator.evaluate(
    compute_metrics=True, step=1, predict_fn=predict, score_fn=score
  )
  return made.result()


def _targets(dataset):
  for index, example in dataset.as_numpy_iterator():
    weights = example['decoder_loss_weights'].astype(bool)
    yield int(index), example['decoder_target_tokens'][weights]


def test_seqios_evaluator(register, tmp_path):
  found = register(['text_to_video', 'audio_video_continuation'])
  sound = 'videopoet:audio_video_continuation:9x16x16'

  def right(dataset):
    return list(_targets(dataset))

  def without_video(dataset):
    video = found.space.vocabulary.ranges[types.Modality.VISUAL]
    changed = []
    for index, ids in _targets(dataset):
      at = (ids >= video.start) & (ids < video.stop)
      ids = np.where(at, video.start + (ids + 1 - video.start) % 64, ids)
      changed.append((index, ids))
    return changed

  def ended_early(dataset):
    return [(i, np.full_like(ids, 2)) for i, ids in _targets(dataset)]

  def summed(dataset):
    return [(i, -2.0 * len(ids)) for i, ids in _targets(dataset)]

  def each(dataset):
    return [(i, np.full(len(ids), -1.0)) for i, ids in _targets(dataset)]

  made = _evaluate('videopoet:all', right, summed, tmp_path)
  assert set(made) == {VIDEO, sound}
  for name, values in made.items():
    assert values['token_accuracy'] == 1.0
    assert values['token_accuracy/visual'] == 1.0
    assert values['perplexity'] == pytest.approx(np.exp(2))
    assert values['log_likelihood'] == pytest.approx(
      -2 * found.layout(name).target_length
    )
  assert made[sound]['token_accuracy/audio'] == 1.0
  assert (tmp_path / f'{sound}-metrics.jsonl').is_file()
  made = _evaluate('videopoet:all', without_video, each, tmp_path)
  assert made[VIDEO]['token_accuracy'] == 0.0
  assert made[sound]['token_accuracy/visual'] == 0.0
  assert made[sound]['token_accuracy/audio'] == 1.0
  assert 0 < made[sound]['token_accuracy'] < 1
  assert made[sound]['perplexity/audio'] == pytest.approx(np.e)
  made = _evaluate(VIDEO, ended_early, each, tmp_path)
  assert made[VIDEO]['token_accuracy'] == 0.0


def test_metric_functions_of_ones_own(register, tmp_path):
  def count(targets, predictions):
    return {'count': len(targets) + len(predictions)}

  register(['text_to_video'], metric_fns=[count])
  made = _evaluate(VIDEO, lambda ds: list(_targets(ds)), None, tmp_path)
  assert made == {VIDEO: {'count': 20}}


def test_the_same_again_changes_nothing_and_another_is_refused(register):
  first = register(['text_to_video', 'video_to_audio'])
  task = seqio.get_mixture_or_task(VIDEO)
  second = register(['text_to_video', 'video_to_audio'])
  assert first == second
  assert seqio.get_mixture_or_task(VIDEO) is task
  with pytest.raises(errors.ConfigError, match="'videopoet:all'.*prefix"):
    register(['text_to_video'])
  (changed,) = registry.load_tasks(tasks=['text_to_video'])
  changed = dataclasses.replace(changed, drop={})
  with pytest.raises(errors.ConfigError, match=f'task {VIDEO!r}'):
    register([changed])
  assert register([changed], prefix='mine').tasks == (
    'mine:text_to_video:9x16x16',
  )
  # Also after someone has emptied SeqIO's registries.
  layout_tasks.reset()
  assert VIDEO not in seqio.TaskRegistry.names()
  register(['text_to_video'])
  with pytest.raises(errors.ConfigError, match="no task 'x'"):
    first.layout('x')


def test_bad_input(register, token_set, tmp_path):
  with pytest.raises(errors.DataError, match='not a token data set'):
    data.register(str(tmp_path / 'nowhere'), tasks=['text_to_video'])
  with pytest.raises(errors.ConfigError, match="did you mean 'text_to_video'"):
    register(['text_to_vide'])
  with pytest.raises(errors.ConfigError, match='expected a list'):
    register('text_to_video')
  with pytest.raises(errors.ConfigError, match='no task to register'):
    register(None)
  with pytest.raises(errors.ConfigError, match='take ids only'):
    register(text='embeddings')
  with pytest.raises(errors.ConfigError, match='has 259 ids'):
    register(text_size=10)
  with pytest.raises(errors.ConfigError, match='all layouts are 0'):
    register(['unconditional'], weights={'unconditional': 0})
  with pytest.raises(errors.DataError, match="needs the feature 'low_tokens'"):
    register(
      [registry.Task('low', task_token='video', prefix=['visual:low_tokens'],
                     target=['video_tokens'])]
    )  # fmt: skip
  with pytest.raises(errors.DataError, match='Choose a layout of the size'):
    register(clip=(9, 32, 32))
  assert not [n for n in seqio.TaskRegistry.names() if 'videopoet' in n]


def test_ids_outside_the_vocabulary_are_found(tmp_path, example_at):
  info = tokens_lib.TokenInfo(
    clip_sets.VISUAL, clip_sets.AUDIO, 'v1', 'a1', (9, 16, 16)
  )
  with tokens_lib.TokenWriter(tmp_path / 'set', info) as writer:
    example = example_at(0)
    example['video_tokens'][1, 0, 0] = 64
    writer.write('train', example)
  (name,) = data.register(str(tmp_path / 'set'), ['unconditional']).tasks
  with pytest.raises(
    tf.errors.InvalidArgumentError, match='unconditional/9x16x16: an id'
  ):
    _examples(name)


def test_tasks_listed_by_gin_and_a_scope_around(register):
  gin.parse_config("load_tasks.tasks = ['text_to_video']")
  with gin.config_scope('MODEL'):
    assert register(None).tasks == (VIDEO,)


def test_several_sets(tmp_path):
  directories = clip_sets.write_all(tmp_path)[:2]
  again = clip_sets.write(tmp_path / 'more', clip_sets.SIZES[0], range(30, 40))
  found = data.register([*directories, again], tasks=['text_to_video'])
  assert found.tasks == (
    'videopoet:text_to_video:17x32x32',
    'videopoet:text_to_video:17x56x32',
  )
  sizes = [
    seqio.get_mixture_or_task(name).num_input_examples('train')
    for name in found.tasks
  ]
  assert sizes == [34, 24]
  assert len(_examples(found.tasks[0])) == 34


def test_the_room_stays_light_to_import():
  code = (
    'import sys, videopoet_jax.data as data\n'
    "assert 'tensorflow' not in sys.modules\n"
    "assert not hasattr(data, 'regster')"
  )
  result = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, timeout=120
  )
  assert result.returncode == 0, result.stderr
