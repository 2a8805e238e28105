"""Layouts as SeqIO tasks: its cache and its scripts."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import seqio
import tensorflow as tf

from videopoet_jax import data
from videopoet_jax.data import layout_tasks

VIDEO = 'videopoet:text_to_video:9x16x16'
SOUND = 'videopoet:video_to_audio:9x16x16'


@pytest.fixture(autouse=True)
def _forget():
  yield
  layout_tasks.reset()


@pytest.fixture
def register(token_set):
  """Registers tasks of the tiny set."""

  def call(tasks):
    return data.register(token_set, tasks=tasks, text_slots=4)

  return call


def _examples(name, split='train', use_cached=False):
  """Examples of a task or mixture in order, as numpy arrays."""
  found = seqio.get_mixture_or_task(name).get_dataset(
    None, split=split, use_cached=use_cached, shuffle=False, num_epochs=1
  )
  return list(found.as_numpy_iterator())


def _keys(examples):
  return sorted(
    (e['inputs'].tobytes(), e['targets'].tobytes()) for e in examples
  )


def _write_cache(task, split, folder):
  """What SeqIO's caching script writes, without Beam."""
  folder = folder / task.name.replace(':', '/')
  folder.mkdir(parents=True, exist_ok=True)
  dataset = task.preprocess_precache(
    task.source.get_dataset(split, shuffle=False, seed=0)
  )
  path = f'{folder}/{split}.tfrecord-00000-of-00001'
  with tf.io.TFRecordWriter(path) as writer:
    for example in dataset:
      writer.write(seqio.dict_to_tfexample(example).SerializeToString())
  features = {
    name: {
      'shape': [None, *spec.shape[1:]] if spec.shape.rank else [],
      'dtype': spec.dtype.name,
    }
    for name, spec in dataset.element_spec.items()
  }
  info = {'num_shards': 1, 'features': features, 'seqio_version': '0.0.20'}
  with open(seqio.get_cached_info_path(str(folder), split), 'w') as file:
    json.dump(info, file)
  with open(seqio.get_cached_stats_path(str(folder), split), 'w') as file:
    json.dump({'examples': task.num_input_examples(split)}, file)
  (folder / 'COMPLETED').touch()


def _assert_cache_equals(name, split):
  cached = _examples(name, split, use_cached=True)
  fresh = _examples(name, split)
  assert _keys(cached) == _keys(fresh)
  mark = f'layout:{layout_tasks.layout_name(name)}'
  features = {'inputs', 'targets', 'visible', mark}
  assert set(cached[0]) == set(fresh[0]) == features


@pytest.fixture
def cache(tmp_path, monkeypatch):
  folder = tmp_path / 'cache'
  folder.mkdir()
  before = seqio.get_global_cache_dirs()
  seqio.set_global_cache_dirs([str(folder)])
  yield folder
  seqio.set_global_cache_dirs(before)


def test_a_cached_task_holds_the_same_examples(register, cache):
  register(['text_to_video', 'video_to_audio'])
  for name in (VIDEO, SOUND):
    for split in ('train', 'validation'):
      _write_cache(seqio.get_mixture_or_task(name), split, cache)
  for name in (VIDEO, SOUND):
    for split in ('train', 'validation'):
      _assert_cache_equals(name, split)
    cached, fresh = (
      [e['visible'] for e in _examples(name, use_cached=use)]
      for use in (True, False)
    )
    np.testing.assert_array_equal(cached, fresh)
  mixed = _examples('videopoet:all', use_cached=True)
  assert {len(e['targets']) for e in mixed} == {
    len(_examples(name)[0]['targets']) for name in (VIDEO, SOUND)
  }


def _run_script(script, module_folder, token_set, arguments, stdin=''):
  (module_folder / 'my_tasks.py').write_text(
    'from videopoet_jax import data\n\n'
    f'data.register({token_set!r}, tasks=["text_to_video", "inpainting"],\n'
    '              text_slots=4)\n'
  )
  paths = [str(module_folder), os.environ.get('PYTHONPATH', '')]
  return subprocess.run(
    [sys.executable, '-m', f'seqio.scripts.{script}',
     '--module_import=my_tasks', *arguments],
    input=stdin,
    env={**os.environ, 'PYTHONPATH': os.pathsep.join(paths)},
    capture_output=True,
    text=True,
    timeout=300,
  )  # fmt: skip


def test_seqios_caching_script(register, token_set, cache, tmp_path):
  pytest.importorskip(
    'apache_beam', reason="SeqIO's caching script needs apache_beam"
  )
  result = _run_script(
    'cache_tasks_main',
    tmp_path,
    token_set,
    [
      '--tasks=videopoet:.*',
      f'--output_cache_dir={cache}',
      '--min_shards=2',
    ],
  )
  assert result.returncode == 0, result.stderr[-3000:]
  register(['text_to_video', 'inpainting'])
  for name in (VIDEO, 'videopoet:inpainting:9x16x16'):
    for split in ('train', 'validation'):
      _assert_cache_equals(name, split)
  stats = seqio.get_mixture_or_task(VIDEO).get_cached_stats('train')
  assert stats['examples'] == 50


def test_seqios_inspecting_script(token_set, tmp_path):
  result = _run_script(
    'inspect_tasks_main',
    tmp_path,
    token_set,
    [f'--tasks={VIDEO},videopoet:all'],
    stdin='\nc\n\nc\n' * 8,
  )
  assert result.returncode == 0, result.stderr[-3000:]
  assert f'*** Done Inspecting Task: {VIDEO} ***' in result.stdout
  assert '*** Done Inspecting Mixture: videopoet:all ***' in result.stdout
