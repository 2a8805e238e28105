"""FLOPs counted from traces, against counts by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.planning import traced


def _shape(*sizes):
  return jax.ShapeDtypeStruct(sizes, jnp.float32)


def test_a_product_is_two_flops_a_pair():
  found = traced.flops(lambda a, b: a @ b, _shape(3, 5), _shape(5, 7))
  assert found == 2 * 3 * 5 * 7


def _by_hand(length, width, stride, before, after):
  """Pairs of an output and an input element that a kernel joins."""
  positions = range(-before, length + after - width + 1, stride)
  return sum(
    0 <= start + tap < length for start in positions for tap in range(width)
  )


@pytest.mark.parametrize('stride', [1, 2])
def test_padding_is_no_work(stride):
  def convolve(video, kernel):
    return jax.lax.conv_general_dilated(
      video, kernel, (stride, 1, stride), ((2, 0), (1, 1), (0, 0)),
      dimension_numbers=('NDHWC', 'DHWIO', 'NDHWC'),
    )  # fmt: skip

  found = traced.flops(convolve, _shape(2, 5, 6, 8, 3), _shape(3, 3, 1, 3, 4))
  pairs = (
    _by_hand(5, 3, stride, 2, 0)
    * _by_hand(6, 3, 1, 1, 1)
    * _by_hand(8, 1, stride, 0, 0)
  )
  assert found == 2 * 2 * 3 * 4 * pairs


def test_loops_count_as_often_as_they_run():
  def scanned(matrix, vector):
    step = jax.checkpoint(lambda carry, _: (matrix @ carry, None))
    return jax.lax.scan(step, vector, length=6)[0]

  found = traced.flops(jax.jit(scanned), _shape(4, 4), _shape(4, 1))
  assert found == 6 * 2 * 4 * 4
  with pytest.raises(ValueError, match='cannot be counted'):
    traced.flops(
      lambda m: jax.lax.while_loop(lambda c: c.sum() < 1, lambda c: c @ c, m),
      _shape(4, 4),
    )


def test_of_branches_the_dearest_counts():
  def branch(matrix):
    return jax.lax.cond(
      matrix[0, 0] > 0, lambda m: m @ m @ m, lambda m: m, matrix
    )

  assert traced.flops(branch, np.ones((4, 4), np.float32)) == 2 * 2 * 4**3
