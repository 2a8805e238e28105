"""Tests that the model's work is what its matrices and mask make it."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from videopoet_jax.core import specs
from videopoet_jax.core import tasks
from videopoet_jax.core import vocabulary
from videopoet_jax.models.prefix_lm import model
from videopoet_jax.models.prefix_lm import presets
from videopoet_jax.parallel import rules
from videopoet_jax.planning import flops
from videopoet_jax.training import prefix_lm

_NAME = 'text_to_video/17x128x128'


@pytest.mark.parametrize('prefix', [0, 1, 3, 7])
def test_visible_pairs_are_those_of_the_mask(prefix):
  seen = sum(
    key <= query or key < prefix for query in range(7) for key in range(7)
  )
  assert flops.visible_pairs(7, prefix) == seen


def test_block_parameters_are_the_stacks_matrices():
  config = presets.preset('300m')
  trainable = prefix_lm.PrefixLMTrainable(config, tasks.LayoutSpace(), (_NAME,))
  params = jax.eval_shape(trainable.init, jax.random.key(0))
  matrices = sum(
    leaf.size for leaf in jax.tree.leaves(params['stack']) if leaf.ndim > 2
  )
  assert config.num_layers * flops.block_parameters(config) == matrices


def test_heads_count_targets_and_admitted_ids_only():
  layout = tasks.LayoutSpace().layout(_NAME)
  full = presets.preset('1b')
  found = flops.of_layout(full, layout)
  assert found.heads == (
    2.0 * full.width * layout.vocabulary.size * layout.target_length
  )
  segment = dataclasses.replace(full, loss_vocabulary='segment')
  assert flops.of_layout(segment, layout).heads == (
    2.0 * full.width * layout.vocabulary.visual_size * 1280
  )
  factors = dataclasses.replace(segment, visual_output='factors')
  assert flops.of_layout(factors, layout).heads == (
    2.0 * full.width * (512 + 512 + full.width) * 1280
  )


def test_the_whole_is_six_n_a_token_and_attention():
  layout = tasks.LayoutSpace().layout(_NAME)
  config = presets.preset('8b')
  found = flops.of_layout(config, layout)
  length = layout.input_length
  dense = 6.0 * config.num_layers * flops.block_parameters(config) * length
  pairs = flops.visible_pairs(length, layout.prefix_length)
  attention = 12.0 * pairs * 4096 * config.num_layers
  rest = 3.0 * (found.heads + found.inputs)
  assert found.train == pytest.approx(dense + attention + rest)
  assert dense / found.train > 0.8


def test_a_forward_pass_is_what_xla_counts():
  space = tasks.LayoutSpace(
    vocabulary.Vocabulary(visual_size=4096, audio_levels=2, audio_codes=256),
    specs.VisualSpec(4096),
    specs.AudioSpec(2, 256),
  )
  layout = space.layout('unconditional/17x32x32')
  # XLA counts the body of a loop once, hence no scan.
  config = presets.preset(
    'tiny', scan_layers=False, visual_output='softmax', text_encoder_layers=0,
    cell_inputs=(), visual_input='table',
  )  # fmt: skip
  network = model.PrefixLM(config, space.vocabulary)
  params = jax.eval_shape(
    lambda rng: rules.unbox(network.init(rng, method='declare')['params']),
    jax.random.key(0),
  )
  tokens_BL = jax.ShapeDtypeStruct((1, layout.length), jnp.int32)
  visible_BL = jax.ShapeDtypeStruct((1, layout.length), bool)

  def forward(params, tokens_BL, visible_BL):
    results = network.apply({'params': params}, tokens_BL, visible_BL, layout)
    return [result.loss_BT for result in results.values()]

  cost = jax.jit(forward).lower(params, tokens_BL, visible_BL).cost_analysis()
  # The reference attention computes what the mask hides, too.
  length = layout.input_length
  hidden = length**2 - flops.visible_pairs(length, layout.prefix_length)
  inner = config.num_heads * config.head_dim
  ours = flops.of_layout(config, layout).forward
  ours += 4.0 * hidden * inner * config.num_layers
  # Norms, softmax and activations are XLA's part of the difference.
  assert 0.85 < ours / cost['flops'] < 1.02


def test_recomputation_follows_the_policy():
  layout = tasks.LayoutSpace().layout(_NAME)
  config = presets.preset('1b', loss_chunk=0, remat='none')
  assert flops.recomputation(config, layout) == 0.0
  full = dataclasses.replace(config, remat='full')
  found = flops.of_layout(full, layout)
  assert flops.recomputation(full, layout) == found.blocks + found.attention
  chunked = dataclasses.replace(config, loss_chunk=128)
  assert flops.recomputation(chunked, layout) == found.heads
