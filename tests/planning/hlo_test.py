"""Tests that compiled programs are read right, on programs compiled here."""

import jax
import jax.numpy as jnp
import pytest

from videopoet_jax.planning import hlo
from videopoet_jax.planning import products


def _text(function, *shapes):
  structs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
  return jax.jit(function).lower(*structs).compile().as_text()


def test_loops_nest_with_their_trip_counts():
  def scanned(x, w_LDD):
    def inner(x, w_DD):
      return jnp.tanh(x @ w_DD), None

    def outer(x, _):
      return jax.lax.scan(inner, x, w_LDD)[0], None

    return jax.lax.scan(outer, x, None, length=3)[0]

  text = _text(scanned, (8, 16), (5, 16, 16))
  module = hlo.parse(text)
  loops = [(c, i) for c, i in module.walk() if i.opcode == 'while']
  assert sorted(i.known_trips for _, i in loops) == [3, 5]
  # A TPU's text lacks the numbers; the conditions have them.
  without = hlo.parse(text.replace('known_trip_count', 'nothing'))
  loops = [(c, i) for c, i in without.walk() if i.opcode == 'while']
  assert sorted(without.trips(c, i) for c, i in loops) == [3, 5]
  loops = [i for _, i in module.walk() if i.opcode == 'while']
  assert all(set(i.called) == {'body', 'condition'} for i in loops)


@pytest.mark.parametrize(('start', 'limit', 'step'), [(0, 8, 2), (1, 8, 3)])
def test_a_loop_may_count_in_other_steps_than_one(start, limit, step):
  # As the TPU's compiler unrolls products that pass a weight from chip to chip.
  def counted(x):
    return jax.lax.while_loop(
      lambda carry: carry[0] < limit,
      lambda carry: (carry[0] + step, jnp.tanh(carry[1] @ carry[1])),
      (start, x),
    )[1]

  text = _text(counted, (8, 8)).replace('known_trip_count', 'nothing')
  module = hlo.parse(text)
  (loop,) = [(c, i) for c, i in module.walk() if i.opcode == 'while']
  assert module.trips(*loop) == len(range(start, limit, step))


def test_shapes_layouts_and_memory_spaces():
  text = (
    'HloModule m, is_scheduled=true\n\n'
    'ENTRY %main.1 (p: bf16[4,8]) -> (bf16[4,8], f32[]) {\n'
    '  %p = bf16[4,8]{1,0:T(8,128)(2,1)S(1)} parameter(0)\n'
    '  %c = f32[]{:T(128)} constant(1)\n'
    '  ROOT %t = (bf16[4,8]{1,0:T(8,128)(2,1)}, /*index=1*/f32[]{:T(128)}) '
    'tuple(%p, %c), metadata={op_name="a (b)"}\n'
    '}\n'
  )
  module = hlo.parse(text)
  root = module.computations['main.1'].root
  assert [a.shape for a in root.arrays] == [(4, 8), ()]
  assert root.bytes == 4 * 8 * 2 + 4
  assert root.operands == ('p', 'c')
  assert root.op_name == 'a (b)'
  parameter = module.computations['main.1'].by_name['p']
  assert parameter.arrays[0].memory == 1


def test_what_another_core_runs_ends_with_its_name():
  text = (
    'HloModule m\n\n'
    '%called (a: f32[4]) -> f32[4] {\n'
    '  ROOT %a = f32[4]{0} parameter(0)\n'
    '}, execution_thread="sparsecore"\n\n'
    'ENTRY %main (p: f32[4]) -> f32[4] {\n'
    '  ROOT %p = f32[4]{0} parameter(0)\n'
    '}\n'
  )
  assert set(hlo.parse(text).computations) == {'called', 'main'}


def test_a_kernels_metadata_may_go_on_over_lines():
  text = (
    'HloModule m\n\n'
    'ENTRY %main (p: f32[4]) -> f32[4] {\n'
    '  %p = f32[4]{0} parameter(0)\n'
    '  %k = f32[4]{0} custom-call(%p), custom_call_target="tpu_custom_call", '
    'frontend_attributes={kernel_metadata={\n'
    '"xprof_metadata":"{}"\n'
    '}}, metadata={op_name="splash"}\n'
    '  ROOT %n = f32[4]{0} negate(%k)\n'
    '}\n'
  )
  main = hlo.parse(text).computations['main']
  assert [i.opcode for i in main.instructions] == [
    'parameter', 'custom-call', 'negate',
  ]  # fmt: skip
  assert main.by_name['k'].op_name == 'splash'


@pytest.mark.parametrize(
  ('attribute', 'groups'),
  [
    ('replica_groups={{0,1},{2,3}}', [[0, 1], [2, 3]]),
    ('replica_groups=[2,2]<=[4]', [[0, 1], [2, 3]]),
    ('replica_groups=[2,2]<=[2,2]T(1,0)', [[0, 2], [1, 3]]),
    ("replica_groups=mesh['a'=2,'b'=2] {'b'}, x=y", [[0, 1], [2, 3]]),
    ("replica_groups=mesh['a'=2,'b'=2] {'a'}", [[0, 2], [1, 3]]),
    ("replica_groups=mesh['a'=2,'b'=2] {'a','b'}", [[0, 1, 2, 3]]),
    ("replica_groups=mesh['a'=4] {'a':(2)2}", [[0, 1], [2, 3]]),
    ("replica_groups=mesh['a'=4] {'a':(1)2}", [[0, 2], [1, 3]]),
    ('source_target_pairs={{0,1},{1,0}}', [[0, 1], [1, 0]]),
    ('channel_id=1', [[0, 1, 2, 3]]),
  ],
)
def test_groups_of_collectives(attribute, groups):
  instruction = hlo.Instruction('a', 'all-gather', (), (), f', {attribute}')
  assert instruction.groups(4).tolist() == groups


def test_cycles_and_missing_attributes():
  text = ', backend_config={"estimated_cycles":"123","x":"y"}'
  assert hlo.Instruction('a', 'fusion', (), (), text).cycles == 123
  assert hlo.Instruction('a', 'fusion', (), (), '').cycles == 0
  assert hlo.Instruction('a', 'fusion', (), (), '').attribute('window') == ''


def test_a_text_without_entry_is_refused():
  with pytest.raises(ValueError, match='no ENTRY'):
    hlo.parse('HloModule m\n')


def _all_flops(text):
  module = hlo.parse(text)
  return sum(products.flops(c, i) for c, i in module.walk())


@pytest.mark.parametrize(
  ('equation', 'shapes', 'flops'),
  [
    ('ij,jk->ik', ((8, 32), (32, 16)), 2 * 8 * 32 * 16),
    ('bij,bkj->bik', ((3, 8, 32), (3, 16, 32)), 2 * 3 * 8 * 32 * 16),
    ('abc,bcd->ad', ((5, 6, 7), (6, 7, 4)), 2 * 5 * 6 * 7 * 4),
  ],
)
def test_flops_of_dots(equation, shapes, flops):
  text = _text(lambda a, b: jnp.einsum(equation, a, b), *shapes)
  assert _all_flops(text) == flops


@pytest.mark.parametrize('padding', ['SAME', 'VALID'])
def test_flops_of_convolutions_are_those_of_cost_analysis(padding):
  def convolve(x, k):
    return jax.lax.conv_general_dilated(
      x, k, (2, 1), padding, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )

  shapes = [
    jax.ShapeDtypeStruct(shape, jnp.float32)
    for shape in ((2, 9, 7, 4), (3, 3, 4, 8))
  ]
  lowered = jax.jit(convolve).lower(*shapes)
  text = lowered.compiler_ir('hlo').as_hlo_text()
  module = hlo.parse(text)
  found = sum(products.flops(c, i) for c, i in module.walk())
  assert found == lowered.cost_analysis()['flops']


def test_flops_of_a_batched_product_in_a_tpus_words():
  # Four batches as space: dilation and padding leave one valid place each.
  text = (
    'HloModule m\n\n'
    'ENTRY %main (a: bf16[4,8,32], b: bf16[4,32,16]) -> f32[4,8,16] {\n'
    '  %a = bf16[4,8,32]{2,1,0} parameter(0)\n'
    '  %b = bf16[4,32,16]{2,1,0} parameter(1)\n'
    '  ROOT %c = f32[4,8,16]{2,1,0} convolution(%a, %b), '
    'window={size=4 stride=3 pad=0_0 lhs_dilate=4}, dim_labels=0bf_0io->0bf\n'
    '}\n'
  )
  assert _all_flops(text) == 2 * 4 * 8 * 32 * 16


def test_an_estimate_that_the_compiler_does_not_give_is_none():
  text = (
    'HloModule m\n\n'
    'ENTRY %main.1 (p: f32[4]) -> f32[4] {\n'
    '  %p = f32[4]{0} parameter(0)\n'
    '  %a = f32[4]{0} add(%p, %p), backend_config={"estimated_cycles":"7"}\n'
    '  ROOT %g = f32[4]{0} negate(%a), '
    f'backend_config={{"estimated_cycles":"{2**63 - 1}"}}\n'
    '}\n'
  )
  instructions = hlo.parse(text).computations['main.1'].instructions
  assert [i.cycles for i in instructions] == [0, 7, 0]
