"""T5X's SavedModel of a layout draws what this project's sampler draws."""

import functools

import numpy as np
import pytest

pytest.importorskip('t5x.trainer', reason='needs T5X (docs/t5x.md)')
pytest.importorskip(
  'tensorflow_serving', reason='needs tensorflow-serving-api (docs/t5x.md)'
)

from t5x import export_lib
from t5x import utils
import tensorflow as tf

from tests.preparation import token_set as token_set_lib
from tests.t5x import runs
from videopoet_jax.checkpoints import export as export_checkpoint
from videopoet_jax.checkpoints import t5x_convert
from videopoet_jax.core import errors
from videopoet_jax.data import layout_tasks
from videopoet_jax.inference import decode
from videopoet_jax.inference import sampling
from videopoet_jax.t5x import experiment
from videopoet_jax.t5x import export
from videopoet_jax.t5x import model
from videopoet_jax.t5x import partitioning
from videopoet_jax.t5x import tasks

# T5X uses much that its libraries have deprecated.
pytestmark = pytest.mark.filterwarnings('default')

_LAYOUT = 'text_to_video/9x16x16'


def test_a_saved_model_draws_the_same_ids(tmp_path):
  token_set = token_set_lib.write(tmp_path / 'tokens')
  runs.train_ours(token_set, tmp_path / 'ours', STEPS=4)
  t5x_convert.convert(tmp_path / 'ours', tmp_path / 'theirs')
  runs.parse(token_set)
  config = sampling.SamplingConfig(temperature=0.0)
  name = tasks.registered(layout_tasks.seqio_name(_LAYOUT))
  with runs.on_devices(1):
    export_lib.save(
      model=model.layout_model(config),
      inference_mode='predict',
      restore_checkpoint_cfg=utils.RestoreCheckpointConfig(
        str(tmp_path / 'theirs/checkpoint_4'), mode='specific'
      ),
      exportable_module_cls=export_lib.ExportableModule,
      create_preprocessor_fn=functools.partial(
        export.prefix_preprocessor, task=name
      ),
      partitioner=partitioning.mesh_partitioner(),
      output_features=None,
      task_feature_lengths={'inputs': 1, 'targets': 1},
      batch_size=4,
      output_dir={'cpu': str(tmp_path / 'saved/1')},
      model_name='videopoet',
      tokenized_inputs=True,
      mixture_or_task_name=name,
    )
  loaded = tf.saved_model.load(str(tmp_path / 'saved/1'))
  made = experiment.current()
  layout = made.trainable.layouts[_LAYOUT]
  batch = made.parts.validation.batches(_LAYOUT)[0]
  tokens, visible = batch['tokens'][:4], batch['visible'][:4]
  prefix = slice(layout.prefix_length)
  found = loaded.signatures['serving_default'](
    inputs=tf.constant(tokens[:, prefix]),
    visible=tf.constant(visible[:, prefix]),
  )
  ids = next(x for x in found.values() if x.dtype == tf.int32)
  expected = decode.generate(
    made.trainable.module,
    export_checkpoint.load_params(tmp_path / 'theirs')[1],
    layout, tokens, visible, config=config,
  )  # fmt: skip
  np.testing.assert_array_equal(ids, expected[:, layout.prefix_length :])
  with pytest.raises(errors.ConfigError, match='fixed number of rows'):
    export.prefix_preprocessor(None, {}, {}, task=name)
