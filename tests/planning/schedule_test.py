"""Tests of sums over a program: trips, overlap, traffic and networks."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.planning import hlo
from videopoet_jax.planning import network
from videopoet_jax.planning import schedule
from videopoet_jax.planning import topologies

_TOPOLOGY = topologies.parse('v5p:2x2x1')
_CLOCK = 1e9


def _devices(slices=1):
  return [
    types.SimpleNamespace(coords=(x, y, 0), slice_index=s)
    for s in range(slices)
    for y in range(2)
    for x in range(2)
  ]


def _tally(text, slices=1, pairs=0.0):
  topology = topologies.parse('v5p:2x2x1', slices)
  return schedule.Scheduler(
    hlo.parse(text),
    network.Network(topology, _devices(slices)),
    clock_hz=_CLOCK,
    peak_flops=1e12,
    kernel_pairs=pairs,
  ).total()


def _entry(*lines, before=''):
  return (
    f'HloModule m, is_scheduled=true\n\n{before}'
    'ENTRY %main (p: f32[4]) -> f32[4] {\n'
    + ''.join(f'  {line}\n' for line in lines)
    + '}\n'
  )


def test_flops_of_a_scanned_product_are_the_closed_form():
  def layers(x, w_LDD):
    return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, w_LDD)[0]

  def loss(x, w_LDD):
    return jnp.sum(jax.checkpoint(layers)(x, w_LDD))

  shapes = [
    jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((8, 16), (6, 16, 16))
  ]
  compiled = jax.jit(jax.grad(loss, (0, 1))).lower(*shapes).compile()
  found = _tally(compiled.as_text())
  # Forward once (its value is not asked for), and two products backward.
  forward = 6 * 2 * 8 * 16 * 16
  assert found.flops == 3 * forward
  assert found.unknown_loops == 0
  # What the library itself counts knows one trip of each loop.
  assert compiled.cost_analysis()['flops'] < found.flops


_LOOP = (
  '%body (t: (s32[], f32[4])) -> (s32[], f32[4]) {\n'
  '  %t = (s32[], f32[4]) parameter(0)\n'
  '  %x = f32[4]{0} get-tuple-element(%t), index=1\n'
  '  %a = f32[4]{0} negate(%x), backend_config={"estimated_cycles":"10"}\n'
  '  ROOT %r = (s32[], f32[4]) tuple(%t, %a)\n'
  '}\n\n'
  '%cond (t: (s32[], f32[4])) -> pred[] {\n'
  '  %t.1 = (s32[], f32[4]) parameter(0)\n'
  '  ROOT %p = pred[] constant(true)\n'
  '}\n\n'
)


def test_cycles_of_a_loops_body_count_as_often_as_it_runs():
  text = _entry(
    '%p = (s32[], f32[4]) parameter(0)',
    'ROOT %w = (s32[], f32[4]) while(%p), condition=%cond, body=%body, '
    'backend_config={"known_trip_count":{"n":"7"}}',
    before=_LOOP,
  )
  found = _tally(text)
  assert found.cycles == 70
  assert found.seconds == pytest.approx(70 / _CLOCK)


def test_a_loop_without_trip_count_is_reported():
  text = _entry(
    '%p = (s32[], f32[4]) parameter(0)',
    'ROOT %w = (s32[], f32[4]) while(%p), condition=%cond, body=%body',
    before=_LOOP,
  )
  assert _tally(text).unknown_loops == 1


_GATHER = 'replica_groups=[1,4]<=[4], dimensions={0}'


def test_a_synchronous_gather_is_waited_for():
  found = _tally(
    _entry(
      '%p = f32[1000000]{0} parameter(0)',
      f'ROOT %g = f32[4000000]{{0}} all-gather(%p), {_GATHER}',
    )
  )
  assert found.collectives == {
    ('all-gather', 'ici'): 12e6, ('all-gather', 'dcn'): 0.0,
  }  # fmt: skip
  assert found.waited_seconds == found.collective_seconds > 0.0
  # Two dimensions of two chips, which do not close: a link each.
  rate = 2 * 90e9 * network.LINK_EFFICIENCY
  assert found.seconds == pytest.approx(12e6 / rate)


@pytest.mark.parametrize(('cycles', 'waits'), [(10, True), (10**6, False)])
def test_a_started_gather_is_covered_by_what_runs_between(cycles, waits):
  found = _tally(
    _entry(
      '%p = f32[1000000]{0} parameter(0)',
      '%s = (f32[1000000]{0}, f32[4000000]{0}) all-gather-start(%p), '
      + _GATHER,
      '%n = f32[1000000]{0} negate(%p), '
      f'backend_config={{"estimated_cycles":"{cycles}"}}',
      'ROOT %d = f32[4000000]{0} all-gather-done(%s)',
    )
  )
  assert found.collectives['all-gather', 'ici'] == pytest.approx(12e6)
  assert (found.waited_seconds > 0.0) == waits
  expected = max(cycles / _CLOCK, found.collective_seconds)
  assert found.seconds == pytest.approx(expected)


# A scatter that runs on the sparse cores, and what starts it there.
_ON_SPARSE_CORES = (
  '%on_sparse_cores (q: f32[1000000]) -> f32[250000] {\n'
  '  %q = f32[1000000]{0} parameter(0)\n'
  '  ROOT %r = f32[250000]{0} reduce-scatter(%q), '
  f'{_GATHER}\n}}, execution_thread="sparsecore"\n\n'
)
_SCATTER_START = (
  '%s = ((), (), s32[1]) call-start(), '
  'async_execution_thread="sparsecore", to_apply=%on_sparse_cores'
)


@pytest.mark.parametrize(('cycles', 'waits'), [(10, True), (10**6, False)])
def test_a_scatter_on_the_sparse_cores_is_covered_likewise(cycles, waits):
  found = _tally(
    _entry(
      '%p = f32[1000000]{0} parameter(0)',
      _SCATTER_START,
      '%n = f32[1000000]{0} negate(%p), '
      f'backend_config={{"estimated_cycles":"{cycles}"}}',
      'ROOT %d = f32[250000]{0} call-done(%s)',
      before=_ON_SPARSE_CORES,
    )
  )
  assert found.collectives['reduce-scatter', 'ici'] == pytest.approx(3e6)
  assert (found.waited_seconds > 0.0) == waits
  expected = max(cycles / _CLOCK, found.collective_seconds)
  assert found.seconds == pytest.approx(expected)


@pytest.mark.parametrize(('after', 'waits'), [(10, True), (10**6, False)])
def test_what_another_core_sends_begins_when_it_gets_its_operand(after, waits):
  def worked(name, cycles):
    return (
      f'%{name} = f32[1000000]{{0}} negate(%p), '
      f'backend_config={{"estimated_cycles":"{cycles}"}}'
    )

  found = _tally(
    _entry(
      '%p = f32[1000000]{0} parameter(0)',
      _SCATTER_START,
      worked('before', 10**6),  # Covers nothing: what is sent is made here.
      '%u = ((f32[1000000]), f32[250000]) call-update(%s, %before)',
      worked('after', after),
      'ROOT %d = f32[250000]{0} call-done(%u)',
      before=_ON_SPARSE_CORES,
    )
  )
  assert found.collectives['reduce-scatter', 'ici'] == pytest.approx(3e6)
  assert (found.waited_seconds > 0.0) == waits
  sent = max(after / _CLOCK, found.collective_seconds)
  assert found.seconds == pytest.approx(10**6 / _CLOCK + sent)


def _fused(name, root, *between):
  """A computation that holds a gather of channel 7, and what it ends with."""
  lines = ''.join(f'  {line}\n' for line in between)
  return (
    f'%{name} (q: f32[1000000]) -> f32[1000000] {{\n'
    '  %q = f32[1000000]{0} parameter(0)\n'
    f'  %g.{name} = f32[4000000]{{0}} all-gather(%q), channel_id=7, {_GATHER}\n'
    f'{lines}  ROOT {root}\n}}\n\n'
  )


@pytest.mark.parametrize(('cycles', 'waits'), [(10, True), (10**6, False)])
def test_a_chain_of_fusions_gathers_once_while_it_computes(cycles, waits):
  product = '%c = f32[64,64]{1,0} convolution(%l, %l), dim_labels=bf_io->bf'
  computations = (
    _fused('begin', '%b = f32[1] custom-call(%g.begin), '
           'custom_call_target="AsyncCollectiveStart"')
    + _fused('amid', '%r = (f32[4000000]) tuple(%g.amid)',
             '%l = f32[64,64]{1,0} parameter(1)', product)
    + _fused('close', '%d = f32[4000000] custom-call(%g.close), '
             'custom_call_target="AsyncCollectiveDone"')
  )  # fmt: skip
  found = _tally(
    _entry(
      '%p = f32[1000000]{0} parameter(0)',
      '%x = f32[64,64]{1,0} parameter(1)',
      '%s = f32[1] fusion(%p), kind=kCustom, calls=%begin',
      '%m = (f32[4000000]) fusion(%p, %x), kind=kOutput, calls=%amid, '
      f'backend_config={{"estimated_cycles":"{cycles}"}}',
      'ROOT %d = f32[4000000]{0} fusion(%p), kind=kCustom, calls=%close',
      before=computations,
    )
  )
  assert found.collectives['all-gather', 'ici'] == pytest.approx(12e6)
  assert found.flops == 2 * 64**3
  assert (found.waited_seconds > 0.0) == waits
  expected = max(cycles / _CLOCK, found.collective_seconds)
  assert found.seconds == pytest.approx(expected)


@pytest.mark.parametrize(
  ('opcode', 'shape', 'sent'),
  [
    # The whole array is 4 MB in every case.
    ('reduce-scatter', 250000, 3e6),
    ('all-reduce', 1000000, 6e6),
    ('all-to-all', 1000000, 3e6),
  ],
)
def test_bytes_of_the_ring_algorithms(opcode, shape, sent):
  found = _tally(
    _entry(
      '%p = f32[1000000]{0} parameter(0)',
      f'ROOT %g = f32[{shape}]{{0}} {opcode}(%p), replica_groups=[1,4]<=[4]',
    )
  )
  assert found.collectives[opcode, 'ici'] == sent


def test_groups_across_slices_use_the_data_centre_network():
  text = _entry(
    '%p = f32[1000000]{0} parameter(0)',
    'ROOT %g = f32[1000000]{0} all-reduce(%p), '
    'replica_groups=[4,2]<=[2,4]T(1,0)',
  )
  found = _tally(text, slices=2)
  assert found.collectives['all-reduce', 'ici'] == 0.0
  assert found.collectives['all-reduce', 'dcn'] == 4e6
  rate = _TOPOLOGY.chip.dcn_bandwidth * network.LINK_EFFICIENCY
  assert found.seconds == pytest.approx(4e6 / rate)


@pytest.mark.parametrize(('cycles', 'waits'), [(10, True), (10**9, False)])
def test_what_hosts_carry_between_slices_is_covered_likewise(cycles, waits):
  attributes = (
    'is_host_transfer=true, frontend_attributes={'
    '_xla_host_transfer_rendezvous="all-reduce.1_0",'
    '_xla_megascale_transfer_type="ALL_REDUCE"}'
  )
  found = _tally(
    _entry(
      '%p = f32[1000000]{0} parameter(0)',
      '%t = token[] after-all()',
      f'%s = (f32[1000000]{{0}}, u32[], token[]) send(%p, %t), {attributes}',
      f'%r = (f32[1000000]{{0}}, u32[], token[]) recv(%t), {attributes}',
      '%n = f32[1000000]{0} negate(%p), '
      f'backend_config={{"estimated_cycles":"{cycles}"}}',
      '%e = token[] send-done(%s)',
      'ROOT %d = (f32[1000000]{0}, token[]) recv-done(%r)',
    ),
    slices=2,
  )
  # Two slices: each sends what it has, once.
  assert found.collectives == {
    ('all-reduce', 'ici'): 0.0, ('all-reduce', 'dcn'): 4e6,
  }  # fmt: skip
  assert (found.waited_seconds > 0.0) == waits
  expected = max(cycles / _CLOCK, found.collective_seconds)
  assert found.seconds == pytest.approx(expected)


def test_attention_kernels_count_the_pairs_that_the_mask_leaves():
  call = (
    'ROOT %k = bf16[2,4,8,128]{3,2,1,0} custom-call(%p, %p), '
    'custom_call_target="tpu_custom_call", '
    'metadata={op_name="jit(f)/splash_mha_fwd"}'
  )
  text = _entry('%p = bf16[2,4,8,128]{3,2,1,0} parameter(0)', call)
  whole = 2.0 * 2 * (2 * 4) * 64 * 128
  assert _tally(text).kernel_flops == whole
  half = _tally(text, pairs=32.0)
  assert half.kernel_flops == half.flops == whole / 2
  rate = 1e12 * schedule.KERNEL_EFFICIENCY
  assert half.seconds == pytest.approx(half.flops / rate)


def test_attention_that_the_compiler_made_a_kernel_of_is_counted():
  def text(keys, *operands):
    return _entry(
      '%p = bf16[2,4,8,128]{3,2,1,0} parameter(0)\n'
      f'  %k = bf16[2,4,{keys},128]{{3,2,1,0}} parameter(1)',
      'ROOT %name = f32[2,4,8,128]{3,2,1,0} '
      f'custom-call({", ".join(operands)}), '
      'custom_call_target="tpu_custom_call"',
    )

  found = _tally(text(16, '%p', '%k', '%k'))
  assert found.kernel_flops == 4.0 * (2 * 4) * (8 * 16) * 128
  # Others without a name are not known to be one.
  assert _tally(text(16, '%p', '%k', '%p')).kernel_flops == 0.0
  assert _tally(text(16, '%p', '%k')).kernel_flops == 0.0


def test_a_slice_of_stacked_weights_is_read_not_all_of_them():
  def layers(x, w_LDD):
    return jax.lax.scan(lambda x, w: (x + w[0], None), x, w_LDD)[0]

  shapes = [
    jax.ShapeDtypeStruct(shape, jnp.float32)
    for shape in ((512,), (32, 512, 512))
  ]
  text = jax.jit(layers).lower(*shapes).compile().as_text()
  whole = 32 * 512 * 512 * 4
  # Read once in all, a layer a trip; a whole stack a trip were 32 times that.
  assert _tally(text).bytes < 3 * whole


def test_every_field_of_a_tally_is_added():
  first, second = schedule.Tally(), schedule.Tally()
  for name, value in vars(first).items():
    if name != 'collectives':
      setattr(first, name, value + 1)
      setattr(second, name, value + 2)
  first.collectives['all-gather', 'ici'] = 1.0
  second.collectives['all-gather', 'ici'] = 2.0
  first.add(second, 3)
  values = [v for k, v in vars(first).items() if k != 'collectives']
  assert np.all(np.asarray(values) == 7)
  assert first.collectives['all-gather', 'ici'] == 7.0
