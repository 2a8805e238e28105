"""The TFDS builder of shapes in motion."""

import dataclasses

import numpy as np
import pytest

from videopoet_jax.shapes import caption
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import render

tfds = pytest.importorskip('tensorflow_datasets')
builder = pytest.importorskip('videopoet_jax.shapes.builder')


@pytest.mark.parametrize('processes', [1, 2])
def test_what_is_read_is_what_was_drawn(tmp_path, processes):
  shapes = dataclasses.replace(
    shapes_config.ShapesConfig(), frames=5, height=16, width=16
  )
  sizes = {'train': 260 if processes > 1 else 6, 'validation': 3}
  folder = builder.build(
    str(tmp_path),
    builder.ShapesBuilderConfig(
      name='tiny',
      shapes=shapes,
      test_held_out=2,
      processes=processes,
      **sizes,
    ),
  )
  read = tfds.builder_from_directory(folder)
  assert read.info.metadata['frame_rate'] == 8
  assert read.info.metadata['sampling_rate'] == 16_000
  for split, count in (*sizes.items(), ('test_held_out', 2)):
    source = read.as_data_source(split)
    assert len(source) == count
    for index in (0, count - 1):
      example, clip = source[index], render.clip(shapes, split, index)
      np.testing.assert_array_equal(example['video'], clip.video_THW3)
      np.testing.assert_array_equal(example['audio'], clip.audio_T)
      np.testing.assert_array_equal(example['flow'], clip.flow_THW2)
      np.testing.assert_array_equal(example['depth'], clip.depth_THW1)
      text = example['caption']
      text = text.decode() if isinstance(text, bytes) else text
      (said,) = caption.parse(text)
      labels = ('kind', 'colour', 'direction', 'speed')
      assert [example[name] for name in labels] == [
        getattr(said, name) for name in labels
      ]
      heard = tuple(example['bounce_times'][example['bounce_times'] >= 0])
      assert heard == pytest.approx(clip.scene.bounces(shapes), abs=1e-5)


def test_a_split_is_never_whole_in_memory(tmp_path, monkeypatch):
  from tensorflow_datasets.core import shuffle

  held = []
  read_values = shuffle._Bucket.read_values

  def counted(bucket):
    values = list(read_values(bucket))
    held.append(len(values))
    return iter(values)

  monkeypatch.setattr(shuffle, 'MAX_MEM_BUFFER_SIZE', 0)
  monkeypatch.setattr(shuffle._Bucket, 'read_values', counted)
  folder = builder.build(
    str(tmp_path),
    builder.ShapesBuilderConfig(
      name='tiny',
      shapes=dataclasses.replace(
        shapes_config.ShapesConfig(), frames=1, height=16, width=16
      ),
      train=40,
      validation=0,
      test_held_out=0,
      processes=1,
    ),
  )
  source = tfds.builder_from_directory(folder).as_data_source('train')
  ids = [bytes(example['clip_id']).decode() for example in source]
  assert ids == [f'train/{index:06d}' for index in range(40)]
  assert sum(held) == 40
  assert max(held) == 1
