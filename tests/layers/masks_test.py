"""The static mask equals the layout's, and hidden keys are hidden."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from tests.models.prefix_lm import small
from videopoet_jax.layers import masks


def test_dense_is_the_layouts_mask():
  layout = small.SPACE.layout(f'image_to_video/{small.SIZE}')
  mask = masks.PrefixMask(layout.prefix_length)
  np.testing.assert_array_equal(
    mask.dense(layout.length, layout.length), layout.attention_mask_LL()
  )


def test_a_later_query_sees_its_own_row():
  mask, later = masks.PrefixMask(2), masks.PrefixMask(2, jnp.int32(3))
  np.testing.assert_array_equal(later.dense(1, 6)[0], mask.dense(6, 6)[3])


def test_hidden_keys_are_seen_by_nobody():
  visible_BS = jnp.array([[True, False, True], [True, True, True]])
  seen = masks.attention_mask(masks.BIDIRECTIONAL, 3, visible_BS)
  assert seen.shape == (2, 1, 3, 3)
  np.testing.assert_array_equal(
    seen[0, 0], np.tile([True, False, True], (3, 1))
  )
  assert np.asarray(seen[1]).all()


def test_a_start_given_as_a_number_stays_one_inside_a_compiled_scan():
  seen = []

  def body(total, _, mask):
    seen.append(type(mask.query_start))
    return total + mask.prefix_length, None

  @jax.jit
  def run(mask):
    inside = functools.partial(jax.checkpoint(body), mask=mask)
    return jax.lax.scan(inside, 0, None, length=2)[0]

  assert run(masks.PrefixMask(3)) == 6
  assert set(seen) == {int}
  seen.clear()
  assert run(masks.PrefixMask(3, jnp.int32(1))) == 6
  assert int not in seen


def test_bidirectional_sees_the_longest_sequences():
  assert np.asarray(masks.BIDIRECTIONAL.dense(1, 50_000)).all()
