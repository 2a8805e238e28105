"""The decoding loop against the model run on whole sequences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.prefix_lm import small
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import types
from videopoet_jax.inference import decode
from videopoet_jax.inference import draws
from videopoet_jax.inference import sampling


def _with_hidden_text(layout, batch):
  visible_BL = np.ones((batch, layout.length), bool)
  for part in layout.droppable.values():
    visible_BL[0, part.start + 1 : part.stop] = False
  return visible_BL


@pytest.mark.parametrize(
  'changes, task',
  [
    ({}, 'inpainting'),
    ({'positions': 'rotary', 'scan_layers': False}, 'image_to_video'),
    (
      {
        'positions': 't5_buckets',
        'text': 'embeddings',
        'visual_output': 'softmax',
        'visual_input': 'table',
      },
      'image_to_video',
    ),
    ({'positions': 't5_buckets'}, 'audio_video_continuation'),
    ({'positions': 't5_sequence'}, 'stylization'),
    ({'num_kv_heads': 1}, 'audio_video_continuation'),
  ],
)
def test_steps_give_the_hidden_states_of_whole_sequences(changes, task):
  layout = small.SPACE.layout(f'{task}/{small.SIZE}')
  model, params = small.build(small.config(**changes))
  tokens_BL = small.tokens(layout, 2)
  visible_BL = _with_hidden_text(layout, 2)
  text = None
  if model.config.text == 'embeddings':
    text = np.random.default_rng(1).normal(size=(2, 3, 5)).astype(np.float32)
  whole_BTD = jax.jit(
    lambda p: model.apply(
      {'params': p}, tokens_BL, visible_BL, layout, text, method='hidden'
    )
  )(params)
  decoder = decode.Decoder(model, layout)

  @jax.jit
  def by_steps(params):
    state = decoder.start(params, tokens_BL, jnp.asarray(visible_BL), text)
    constants = decoder.prepare(params)

    def step(state, position):
      after = decoder.advance(
        params, constants, state, jnp.asarray(visible_BL), position
      )
      return after, after.hidden_BD

    positions = jnp.arange(layout.prefix_length, decode.last_drawn(layout))
    _, rest = jax.lax.scan(step, state, positions)
    return jnp.concatenate([state.hidden_BD[None], rest])

  stepped_TBD = by_steps(params)
  assert len(stepped_TBD) >= 4
  np.testing.assert_allclose(
    np.swapaxes(stepped_TBD, 0, 1),
    whole_BTD[:, : len(stepped_TBD)],
    atol=1e-4,
    rtol=1e-4,
  )


@pytest.fixture(scope='module')
def built():
  return small.build(small.config())


def _run(built, layout, tokens_BL, **options):
  visible_BL = np.ones(tokens_BL.shape, bool)
  return decode.generate(*built, layout, tokens_BL, visible_BL, **options)


def test_samples_stay_within_the_layout_and_keep_the_prefix(built):
  layout = small.SPACE.layout(f'audio_video_continuation/{small.SIZE}')
  tokens_BL = small.tokens(layout, 3)
  made_BL = _run(built, layout, tokens_BL)
  layout.parse(made_BL)  # Raises where an id is outside its segment.
  prefix = slice(0, layout.prefix_length)
  np.testing.assert_array_equal(made_BL[:, prefix], tokens_BL[:, prefix])
  assert not np.array_equal(made_BL, tokens_BL)


def test_samples_do_not_see_the_true_target_nor_their_batch(built):
  layout = small.SPACE.layout(f'image_to_video/{small.SIZE}')
  tokens_BL = np.repeat(small.tokens(layout, 1), 4, axis=0)
  made_BL = _run(built, layout, tokens_BL, seed=3)
  assert len(np.unique(made_BL, axis=0)) == 4
  tokens_BL[:, layout.prefix_length :] = small.tokens(layout, 4, seed=9)[
    :, layout.prefix_length :
  ]
  again_BL = _run(built, layout, tokens_BL[:2], seed=3, first_sample=1)
  np.testing.assert_array_equal(again_BL, made_BL[1:3])
  numbers = np.array([3, 0])
  again_BL = _run(built, layout, tokens_BL[:2], seed=3, sample_numbers=numbers)
  np.testing.assert_array_equal(again_BL, made_BL[numbers])
  other_BL = _run(built, layout, tokens_BL[:2], seed=3, path=(1,))
  assert not np.array_equal(other_BL, made_BL[:2])
  # By default the seed and the first sample are 0.
  default_BL = _run(built, layout, tokens_BL[:2])
  zero_BL = _run(built, layout, tokens_BL[:2], seed=0, first_sample=0)
  np.testing.assert_array_equal(default_BL, zero_BL)
  assert not np.array_equal(default_BL, made_BL[:2])


def test_temperature_zero_takes_the_likeliest(built):
  layout = small.SPACE.layout(f'image_to_video/{small.SIZE}')
  greedy = sampling.SamplingConfig(temperature=0.0)
  tokens_BL = small.tokens(layout, 2)
  made_BL = _run(built, layout, tokens_BL, config=greedy)
  model, params = built
  results = model.apply(
    {'params': params}, made_BL, np.ones(made_BL.shape, bool), layout
  )
  (result,) = results.values()
  # The first factor is the likeliest of all and the second given the first.
  assert np.asarray(result.correct_BT).all()


@pytest.mark.parametrize('task', ['text_to_video', 'image_to_video'])
def test_the_first_latent_frame_has_a_temperature_of_its_own(built, task):
  layout = small.SPACE.layout(f'{task}/{small.SIZE}')
  tokens_BL = np.repeat(small.tokens(layout, 1), 4, axis=0)

  def made(**config):
    return _run(
      built, layout, tokens_BL, config=sampling.SamplingConfig(**config)
    )

  greedy, plain = made(temperature=0.0), made()
  near_greedy = made(first_temperature=1e-6)
  (target,) = layout.filled(types.Role.TARGET)
  first = layout.slices[target.name].start
  frame = slice(first, first + target.size // target.shape[0])
  if target.start:  # The video goes on from a given frame.
    np.testing.assert_array_equal(near_greedy, plain)
  else:
    np.testing.assert_array_equal(near_greedy[:, frame], greedy[:, frame])
    after = slice(frame.stop, layout.length)
    assert len(np.unique(near_greedy[:, after], axis=0)) == 4


def test_guidance_of_equal_halves_changes_nothing(built):
  layout = small.SPACE.layout(f'image_to_video/{small.SIZE}')
  tokens_BL = small.tokens(layout, 16)
  visible_BL = np.ones(tokens_BL.shape, bool)
  plain_BL = _run(built, layout, tokens_BL)
  guided = sampling.SamplingConfig(guidance=3.0)
  same_BL = _run(
    built,
    layout,
    tokens_BL,
    config=guided,
    against=(tokens_BL, visible_BL, None),
  )
  np.testing.assert_array_equal(same_BL, plain_BL)
  without_BL = _run(built, layout, tokens_BL, config=guided)
  assert not np.array_equal(without_BL, plain_BL)


def test_every_position_draws_by_itself():
  """With equal logits everywhere, ids differ from place to place."""
  layout = small.SPACE.layout(f'unconditional/{small.SIZE}')
  model, params = small.build(small.config())
  params = {**params, 'heads': jax.tree.map(jnp.zeros_like, params['heads'])}
  filled = decode.generate(
    model, params, layout, small.tokens(layout, 8),
    np.ones((8, layout.length), bool),
  )  # fmt: skip
  (run,) = [r for r in layout.target_runs if r.range.size > 1]
  drawn_BT = filled[:, run.start : run.stop]
  assert all(len(set(row)) > 2 for row in drawn_BT.tolist())
  # And all samples by themselves.
  assert len({tuple(row) for row in drawn_BT.tolist()}) == 8
  # A draw's key follows from sample, position and factor: 64 codes are 8 x 8.
  keys_B = draws.sample_keys(0, np.arange(8), ())
  drawn = jax.vmap(jax.random.categorical, (0, None))
  fold = jax.vmap(jax.random.fold_in, (0, None))
  for position in range(run.start, run.stop):
    at_B = fold(keys_B, position)
    high, low = (drawn(fold(at_B, k), jnp.zeros(8)) for k in range(2))
    np.testing.assert_array_equal(
      filled[:, position], run.range.start + 8 * high + low
    )


def test_the_last_position_that_is_drawn():
  layout = small.SPACE.layout(f'unconditional/{small.SIZE}')
  (target,) = layout.filled(types.Role.TARGET)
  # Behind the video come `<eov_o>` and `<eos>`, which are fixed.
  assert decode.last_drawn(layout) == layout.slices[target.name].stop - 1
  assert decode.last_drawn(layout) == layout.length - 3
  image = small.SPACE.layout('text_to_image/1x16x8')
  assert decode.last_drawn(image) == image.length - 1
  fixed = layout_lib.SequenceLayout(
    'a/1x8x8',
    (layout.segments[0], *layout.segments[-2:]),
    layout.vocabulary,
  )
  assert decode.last_drawn(fixed) == fixed.prefix_length == 1


def test_positions_of_equal_ranges_share_a_branch():
  layout = small.SPACE.layout(f'audio_video_continuation/{small.SIZE}')
  runs, index_L = decode._distinct_runs(layout)
  ranges = [run.range for run in runs]
  assert len(set(ranges)) == len(ranges)
  assert index_L.dtype == np.int32
  for run in layout.target_runs:
    for position in range(run.start, run.stop):
      assert ranges[index_L[position]] == run.range


def test_temperatures_by_position():
  layout = small.SPACE.layout(f'text_to_video/{small.SIZE}')
  (target,) = layout.filled(types.Role.TARGET)
  first = layout.slices[target.name].start
  plain = sampling.SamplingConfig(temperature=0.5)
  expected = np.full(layout.length, 0.5, np.float32)
  np.testing.assert_array_equal(decode._temperatures(layout, plain), expected)
  # A latent frame is 2 x 1 cells.
  own = sampling.SamplingConfig(temperature=0.5, first_temperature=0.25)
  expected[first : first + 2] = 0.25
  found = decode._temperatures(layout, own)
  np.testing.assert_array_equal(found, expected)
  assert found.dtype == np.float32
  # Neither a video that continues another nor sound has a first frame.
  for task in ('image_to_video', 'video_to_audio'):
    layout = small.SPACE.layout(f'{task}/{small.SIZE}')
    assert set(decode._temperatures(layout, own)) == {np.float32(0.5)}


def test_hidden_conditions_by_hand():
  layout = small.SPACE.layout(f'image_to_video/{small.SIZE}')
  text, video = (layout.slices[f'{n}_i'] for n in ('text', 'video_tokens'))
  for features, parts in (
    (('text',), (text,)),
    (('video_tokens',), (video,)),
    (('text', 'video_tokens'), (text, video)),
    (('audio_tokens',), ()),
  ):
    expected_L = np.zeros(layout.length, bool)
    for part in parts:
      expected_L[part] = True
    found_L = decode.conditions_of(layout, features)
    np.testing.assert_array_equal(found_L, expected_L)
    visible_BL = np.ones((2, layout.length), bool)
    visible_BL[1, 0] = False
    hidden_BL = decode.hide(layout, visible_BL, features)
    np.testing.assert_array_equal(hidden_BL, visible_BL & ~expected_L)
