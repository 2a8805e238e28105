"""Shapes, sizes, causality and losses of the prefix language model."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.prefix_lm import small
from videopoet_jax.core import errors
from videopoet_jax.core import tasks
from videopoet_jax.models.prefix_lm import config as config_lib
from videopoet_jax.models.prefix_lm import description
from videopoet_jax.models.prefix_lm import heads
from videopoet_jax.models.prefix_lm import model as model_lib
from videopoet_jax.models.prefix_lm import presets


@pytest.mark.parametrize(
  'name, size', [('300m', 3e8), ('1b', 1e9), ('8b', 8e9), ('8b_ul2', 8e9)]
)
def test_names_count_parameters_without_embeddings(name, size):
  space = tasks.LayoutSpace()
  config = presets.preset(name)
  model = model_lib.PrefixLM(config, space.vocabulary)
  shapes = jax.eval_shape(
    lambda key: model.init(key, method='declare'), jax.random.key(0)
  )['params']
  number = sum(math.prod(x.shape) for x in jax.tree.leaves(shapes['stack']))
  assert abs(number / size - 1) < 0.05
  names = space.standard_names(17, 128, 128)
  names += space.standard_names(17, 224, 128)
  names += space.standard_names(41, 224, 128)
  layouts = space.layouts(names)
  config.check(space.vocabulary, layouts)
  layout = space.layout('text_to_video/17x128x128')
  tokens = jax.ShapeDtypeStruct((2, layout.length), jnp.int32)
  visible = jax.ShapeDtypeStruct((2, layout.length), bool)
  text = jax.ShapeDtypeStruct((2, 64, 2048), jnp.float32)
  hidden = jax.eval_shape(
    lambda p, *inputs: model.apply(
      {'params': p}, *inputs[:2], layout, inputs[2], method='hidden'
    ),
    shapes,
    tokens,
    visible,
    text,
  )
  assert hidden.shape == (2, layout.target_length, config.width)


@pytest.fixture(scope='module')
def built():
  return small.build(small.config())


def _hidden(built, layout, tokens_BL, visible_BL):
  model, params = built
  return np.asarray(
    model.apply(
      {'params': params}, tokens_BL, visible_BL, layout, method='hidden'
    )
  )


def test_targets_see_the_prefix_and_what_is_behind_them_only(built):
  layout = small.SPACE.layout(f'image_to_video/{small.SIZE}')
  tokens_BL = small.tokens(layout, 1)
  visible_BL = np.ones(tokens_BL.shape, bool)
  base = _hidden(built, layout, tokens_BL, visible_BL)
  changed = tokens_BL.copy()
  position = layout.prefix_length + 2
  start = layout.vocabulary.ranges['visual'].start
  changed[0, position] = start + (changed[0, position] - start + 1) % 64
  moved = np.abs(_hidden(built, layout, changed, visible_BL) - base).max(-1)[0]
  assert (moved[:3] == 0).all() and (moved[3:] > 0).all()
  prefix = tokens_BL.copy()
  text = layout.slices['text_i']
  prefix[0, text.stop - 1] += 1 if prefix[0, text.stop - 1] % 2 == 0 else -1
  moved = np.abs(_hidden(built, layout, prefix, visible_BL) - base).max(-1)
  assert (moved > 0).all()
  # What is hidden has no influence, whatever stands there.
  visible_BL[:, text] = False
  np.testing.assert_array_equal(
    _hidden(built, layout, tokens_BL, visible_BL),
    _hidden(built, layout, prefix, visible_BL),
  )


def test_scanned_and_unrolled_layers_agree(built):
  layout = small.SPACE.layout('text_to_image/1x16x8')
  _, params = built
  tokens_BL = small.tokens(layout, 2)
  visible_BL = np.ones(tokens_BL.shape, bool)
  unrolled = model_lib.PrefixLM(
    small.config(scan_layers=False, remat='full'), small.SPACE.vocabulary
  )
  stacked = params['stack']['layers']
  layers = {
    f'layer_{i}': jax.tree.map(lambda leaf, i=i: leaf[i], stacked)
    for i in range(2)
  }
  np.testing.assert_allclose(
    _hidden(built, layout, tokens_BL, visible_BL),
    _hidden(
      (unrolled, {**params, 'stack': layers}), layout, tokens_BL, visible_BL
    ),
    atol=1e-5,
  )


def test_full_loss_covers_delimiters_and_segment_loss_does_not():
  layout = small.SPACE.layout(f'video_to_audio/{small.SIZE}')
  full = small.config(loss_vocabulary='full', visual_output='softmax')
  assert heads.predicted(full, layout) == layout.target_runs
  names = [r.segment for r in heads.predicted(small.config(), layout)]
  assert names == ['audio_tokens_o'] * 2


def test_losses_are_near_uniform_for_small_weights():
  layout = small.SPACE.layout(f'audio_video_continuation/{small.SIZE}')
  tokens_BL = small.tokens(layout, 2)
  visible_BL = np.ones(tokens_BL.shape, bool)
  for changes, sizes in (
    ({}, {'visual': 64, 'audio': 16}),
    (
      {'loss_vocabulary': 'full', 'visual_output': 'softmax'},
      # Every id in use: special, visual, audio and text ones.
      dict.fromkeys(('visual', 'audio', 'special'), 256 + 64 + 32 + 20),
    ),
  ):
    model, params = small.build(small.config(**changes))
    params['heads'] = jax.tree.map(lambda x: x * 1e-4, params['heads'])
    results = model.apply({'params': params}, tokens_BL, visible_BL, layout)
    for run, result in results.items():
      expected = math.log(sizes[run.range.modality.value])
      np.testing.assert_allclose(result.loss_BT, expected, atol=0.01)


def test_description_comes_back_whole():
  names = ('unconditional/9x16x8',)
  config = small.config(place_limits={'visual': [4, 4, 4]})
  described = json.loads(
    json.dumps(description.describe(config, small.SPACE, names))
  )
  assert description.read(described) == (config, small.SPACE, names)
  with pytest.raises(errors.CheckpointError, match='visual_tokenizer'):
    description.read({'kind': 'visual_tokenizer'})
  described['config']['depth'] = 3
  with pytest.raises(errors.CheckpointError, match='depth'):
    description.read(described)


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'positions': 'rotory'}, "did you mean 'rotary'"),
    ({'num_kv_heads': 3}, 'divide num_heads=4'),
    ({'visual_output': 'factors', 'loss_vocabulary': 'full'}, 'one softmax'),
    ({'cell_inputs': ('next',)}, 'cell_inputs'),
  ],
)
def test_impossible_configs_are_refused(changes, message):
  with pytest.raises(errors.ConfigError, match=message):
    config_lib.PrefixLMConfig(**changes)


def test_layouts_beyond_the_position_tables_are_refused():
  layout = small.SPACE.layout('unconditional/9x16x512')
  with pytest.raises(errors.ConfigError, match='place_limits'):
    small.config().check(small.SPACE.vocabulary, (layout,))


@pytest.mark.parametrize(
  ('tokens', 'visible'),
  [((2, 1), (1, 0)), ((2, 0), (1, 0)), ((2, -1), (2, -1))],
)
def test_tokens_are_those_of_the_layout(built, tokens, visible):
  # Numbers of examples, and positions beyond those of the layout.
  model, params = built
  layout = small.SPACE.layout(f'future_prediction/{small.SIZE}')

  def zeros(shape, dtype):
    return jnp.zeros((shape[0], layout.length + shape[1]), dtype)

  with pytest.raises(AssertionError, match='shape'):
    model.apply(
      {'params': params}, zeros(tokens, jnp.int32), zeros(visible, bool), layout
    )
