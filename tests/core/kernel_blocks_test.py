"""Which blocks are chosen, and how little they pad."""

import itertools

import pytest

from videopoet_jax.core import kernel_blocks
from videopoet_jax.core import tasks

SPACE = tasks.LayoutSpace()
CLIPS = ((17, 128, 128), (17, 224, 128), (41, 128, 128), (41, 224, 128))
LAYOUTS = tuple(
  {
    name: SPACE.layout(name)
    for clip in CLIPS
    for name in SPACE.standard_names(*clip)
  }.values()
)


@pytest.mark.parametrize('parts', [1, 4])
def test_the_least_padding_at_little_more_than_the_least_time(parts):
  for layout in LAYOUTS[:: 1 if parts == 1 else 7]:
    shape = layout.input_length, layout.prefix_length, parts
    found = kernel_blocks.candidates(*shape)
    chosen = kernel_blocks.choose(*shape)
    times = {pair: time for time, pair in found}
    least = min(times.values())
    assert times[chosen] <= 1.1 * least
    padded = sum(chosen.padded(layout.input_length, parts))
    for pair, time in times.items():
      if sum(pair.padded(layout.input_length, parts)) < padded:
        assert time > 1.1 * least


def test_sizes_are_what_the_kernel_takes():
  sizes = range(128, 1025, 128)
  for queries, keys in itertools.product(sizes, sizes):
    computed = kernel_blocks.Blocks(queries, keys).computed_keys
    assert keys % computed == 0 and computed % 128 == 0
    # What a v5e's fast memory holds in the backward pass.
    assert queries * computed <= 1024 * 512
  for layout in LAYOUTS:
    shape = layout.input_length, layout.prefix_length
    chosen = kernel_blocks.choose(*shape)
    assert not any(size % 128 for size in chosen)
    assert chosen.computed_keys >= min(chosen.keys, 256)


@pytest.mark.parametrize(
  ('queries', 'keys', 'computed'),
  [
    (128, 128, 128),
    (1024, 1024, 512),
    (512, 896, 128),  # 7 x 128.
    (512, 640, 640),  # The most that is worked on at one time.
    (768, 768, 384),
    # 640 keys by 896 queries would not fit.
    (768, 640, 640),
    (896, 640, 128),
    (1024, 512, 512),
  ],
)
def test_keys_worked_on_at_one_time_by_hand(queries, keys, computed):
  assert kernel_blocks.Blocks(queries, keys).computed_keys == computed


def test_padding_and_time_by_hand():
  blocks = kernel_blocks.Blocks(2, 2)
  assert blocks.padded(5) == (6, 6) and blocks.padded(6) == (6, 6)
  assert blocks.padded(5, 2) == (8, 6)
  assert kernel_blocks.Blocks(4, 3).padded(5) == (8, 6)
  # Queries 0-1, 2-3 and 4-5 by keys, of which the first 3 are the prefix.
  worked_on = [[1, 1, 0], [1, 1, 0], [1, 1, 1]]
  assert kernel_blocks.run(5, 3, blocks).astype(int).tolist() == worked_on
  causal = [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
  for prefix in (0, 1, 2):
    found = kernel_blocks.run(5, prefix, blocks)
    assert found.astype(int).tolist() == causal
  # Elements of each block, and the cost of its step.
  assert kernel_blocks.cost(5, 3, blocks) == 7 * (4 + 100_000)
  # On 2 devices the queries are padded to 8, the keys are not.
  assert kernel_blocks.cost(5, 3, blocks, 2) == 10 * (4 + 100_000)
  wide = kernel_blocks.Blocks(4, 3)
  assert kernel_blocks.cost(5, 0, wide) == 4 * (12 + 100_000)


def test_all_pairs_of_sizes_but_those_of_small_parts_are_candidates():
  pairs = {pair for _, pair in kernel_blocks.candidates(200, 5)}
  assert pairs == set(itertools.product((128, 256), repeat=2))
  pairs = {pair for _, pair in kernel_blocks.candidates(2000, 5)}
  sizes = range(128, 1025, 128)
  # 896 keys divide into 7 x 128 only, and 640 too where queries are many.
  assert pairs == {
    (queries, keys)
    for queries, keys in itertools.product(sizes, sizes)
    if keys != 896 and not (keys == 640 and queries > 768)
  }
  assert kernel_blocks.candidates(200, 5)[0][0] == kernel_blocks.cost(
    200, 5, kernel_blocks.Blocks(128, 128)
  )


def test_what_a_layout_says_is_what_its_blocks_pad():
  for layout in LAYOUTS:
    shape = layout.input_length, layout.prefix_length
    padded = kernel_blocks.choose(*shape).padded(layout.input_length)
    assert layout.kernel_padding == max(padded) - layout.input_length
    assert 0 <= layout.kernel_padding < 1024


def test_short_sequences_take_no_kernel():
  assert kernel_blocks.padding(127, 5) == 0
  assert kernel_blocks.padding(129, 5) == 256 - 129


def test_images_are_one_block():
  for size, block in (('128x128', 384), ('224x128', 640)):
    layout = SPACE.layout(f'text_to_image/1x{size}')
    chosen = kernel_blocks.choose(layout.input_length, layout.prefix_length)
    assert chosen == (block, block) == 2 * (chosen.computed_keys,)
