"""A tiny token data set and the objects of a tiny run."""

import dataclasses
import os
import pathlib

import numpy as np
import pytest

from videopoet_jax.core import specs
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.core import vocabulary

VISUAL = specs.VisualSpec(codebook_size=64)
AUDIO = specs.AudioSpec(levels=2, codes=16, sampling_rate=1600, hop=160)
GRID = (3, 2, 2)  # Latent frames, rows, columns of 9 frames of 16 x 16.
TRAIN_SIZE = 50


MODULE = """
import tensorflow as tf

from videopoet_jax.data import preprocessors


@preprocessors.map_examples
def swap_colours(example):
  tokens = example['video_tokens']
  return {**example, 'video_tokens': 63 - tokens}


def bad_ones(dataset):
  return dataset.filter(lambda e: e['quality'] > 0.5)


def keep_odd(example):
  return int(example['clip_id'].split(b'-')[1]) % 2 == 1
"""

OWN_TASK = """
last_frames/Task.task_token = 'video'
last_frames/Task.prefix = ['text', 'visual:structure_tokens[:1]']
last_frames/Task.target = ['video_tokens[1:]']
last_frames/Task.preprocessors = ['my_steps_{n}.swap_colours']
last_frames/Task.predicate = 'my_steps_{n}.keep_odd'
"""


def token_example(index: int) -> dict:
  """The example of an index: ids that tell where they come from."""
  draw = np.random.default_rng(index)
  grids = ('video', 'inpainting', 'outpainting', 'structure')
  example = {
    f'{name}_tokens': draw.integers(0, 64, GRID, dtype=np.int32)
    for name in grids
  }
  example['video_tokens'][0, 0, 0] = index % 64
  example['audio_tokens'] = draw.integers(0, 16, (2, 11), dtype=np.int32)
  example['text'] = 'abc'[: index % 3]
  example['clip_id'] = f'clip-{index}'
  example['quality'] = np.float32(index / TRAIN_SIZE)
  return example


@pytest.fixture(scope='session')
def token_set(tmp_path_factory) -> str:
  """Directory of 50 training and 10 validation examples."""
  from videopoet_jax.data import tokens

  directory = tmp_path_factory.mktemp('data') / 'tokens'
  info = tokens.TokenInfo(VISUAL, AUDIO, 'v1', 'a1', (9, 16, 16))
  with tokens.TokenWriter(directory, info) as writer:
    for index in range(TRAIN_SIZE):
      writer.write('train', token_example(index))
    for index in range(100, 110):
      writer.write('validation', token_example(index))
  return str(directory)


@pytest.fixture
def example_at():
  return token_example


@pytest.fixture
def space() -> tasks_lib.LayoutSpace:
  """Vocabulary and grids of the data set; room for byte text."""
  return tasks_lib.LayoutSpace(
    vocabulary.Vocabulary(
      visual_size=64, audio_levels=2, audio_codes=16, text_size=259
    ),
    VISUAL,
    AUDIO,
    text_slots=4,
  )


@pytest.fixture(autouse=True)
def _always_clean(clean_registries):
  """Every test here binds gin or registers tasks."""


@dataclasses.dataclass
class TaskFolder:
  """A user's folder outside the repository."""

  path: pathlib.Path

  def write(self, name: str, text: str) -> str:
    (self.path / name).write_text(text)
    return os.fspath(self.path / name)

  def own_task(self, number: int) -> str:
    """A task file, and beside it a module of a name used nowhere else."""
    self.write(f'my_steps_{number}.py', MODULE)
    return self.write('last_frames.gin', OWN_TASK.format(n=number))


@pytest.fixture
def task_folder(tmp_path) -> TaskFolder:
  folder = tmp_path / 'elsewhere'
  folder.mkdir()
  return TaskFolder(folder)
