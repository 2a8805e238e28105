"""Small runs of T5X in this process, from this project's gin files."""

from collections.abc import Iterator
import contextlib
import dataclasses
import pathlib
from unittest import mock

import jax
import numpy as np
from t5x import train
from t5x import utils
import tensorflow as tf

from videopoet_jax.core import config
from videopoet_jax.experiments import train as train_lib
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.t5x import checkpoints
from videopoet_jax.t5x import data
from videopoet_jax.t5x import experiment
from videopoet_jax.t5x import model
from videopoet_jax.t5x import partitioning
from videopoet_jax.t5x import trainer

FILES = ('gin/runs/shapes_prefix_lm.gin', 'gin/local_tiny.gin')
TASKS = ('unconditional', 'text_to_video', 'video_to_audio')


def bindings(token_set: str, **more) -> list[str]:
  """Bindings of a run that compiles in seconds."""
  values = {
    'TOKENS': token_set,
    'VISUAL': '',
    'AUDIO': '',
    'STEPS': 4,
    'load_tasks.tasks': list(TASKS),
    'prefix_lm.tokens_per_batch': 256,
    'prefix_lm.context_noise': 0.0,
    'LoopConfig.ema_decay': 0.0,
    'LoopConfig.log_every': 1,
    'LoopConfig.save_every': 4,
    'LoopConfig.validate_every': 0,
    **more,
  }
  return [f'{name} = {value!r}' for name, value in values.items()]


def parse(token_set: str, **more) -> None:
  """Binds a run; the next `experiment.current()` opens it."""
  experiment.current.cache_clear()
  config.parse(FILES, bindings(token_set, **more))


@contextlib.contextmanager
def on_devices(number: int, **sizes) -> Iterator[None]:
  """The run that is bound on some of the fake devices only."""
  mesh = mesh_lib.create(mesh_lib.MeshConfig(**sizes), jax.devices()[:number])
  made = dataclasses.replace(experiment.current(), mesh=mesh)
  with mock.patch.object(experiment, 'current', lambda: made):
    yield


def train_t5x(token_set: str, model_dir: pathlib.Path, **more):
  """Trains by T5X's own function; returns the last step and its state."""
  parse(token_set, **more)
  return train_bound(model_dir)


def train_bound(model_dir: pathlib.Path, **options):
  """Trains the run that is bound, with further options of T5X."""
  made = experiment.current()

  def config_of(split):
    return utils.DatasetConfig('', {}, split, None, False, 0)

  return train.train(
    model=model.layout_model(),
    train_dataset_cfg=config_of('train'),
    train_eval_dataset_cfg=config_of('validation'),
    infer_eval_dataset_cfg=None,
    checkpoint_cfg=utils.CheckpointConfig(
      save=utils.SaveCheckpointConfig(
        period=made.loop.save_every, keep=made.loop.keep, dtype=None
      ),
      restore=utils.RestoreCheckpointConfig(path=[], mode='specific'),
    ),
    partitioner=partitioning.mesh_partitioner(),
    trainer_cls=trainer.layout_trainer,
    model_dir=str(model_dir),
    total_steps=experiment.total_steps(),
    eval_steps=1,
    eval_period=experiment.validate_every(),
    stats_period=made.loop.log_every,
    random_seed=made.loop.seed,
    summarize_config_fn=checkpoints.describe_run,
    get_dataset_fn=data.steps,
    train_eval_get_dataset_fn=data.validation,
    verify_matching_vocabs_fn=None,
    **options,
  )


def train_ours(token_set: str, run_dir: pathlib.Path, **more):
  """Trains by this project's own loop."""
  found = train_lib.from_gin(FILES, bindings(token_set, **more))
  return train_lib.train(found, run_dir)


def logged(folder: pathlib.Path, name: str) -> dict[int, float]:
  """A scalar of TensorBoard files by step."""
  found = {}
  for file in sorted(folder.glob('events*')):
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
      event = tf.compat.v1.Event.FromString(record)
      for value in event.summary.value:
        if value.tag == name:
          found[event.step] = float(tf.make_ndarray(value.tensor))
  return found


def assert_equal(first, second) -> None:
  """Bit for bit, whatever holds them."""
  left, right = map(jax.tree.leaves, (first, second))
  assert len(left) == len(right) > 0
  for one, other in zip(left, right, strict=True):
    np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
