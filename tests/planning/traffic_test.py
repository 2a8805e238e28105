"""Slices of what lies in the large memory count as slices."""

import pytest

from videopoet_jax.planning import hlo
from videopoet_jax.planning import traffic

_STACK, _LAYER = 'f32[10,1000]{1,0}', 'f32[1,1000]{1,0}'
_SLICED = 'dynamic_slice_sizes={1,1000}'


def _moved(fused, result, root='', nested=''):
  """Bytes of a fusion of a stack, a layer and an index."""
  text = (
    'HloModule m\n\n'
    + nested
    + f'%fused (a: {_STACK}, b: {_LAYER}, i: s32[]) -> {result} {{\n'
    f'  %a = {_STACK} parameter(0)\n'
    f'  %b = {_LAYER} parameter(1)\n'
    '  %i = s32[] parameter(2)\n'
    + ''.join(f'  {line}\n' for line in fused)
    + '}\n\n'
    f'ENTRY %main (p: {_STACK}, q: {_LAYER}, j: s32[]) -> {result} {{\n'
    f'  %p = {_STACK} parameter(0)\n'
    f'  %q = {_LAYER} parameter(1)\n'
    '  %j = s32[] parameter(2)\n'
    f'  ROOT %f = {result} fusion(%p, %q, %j), kind=kLoop, calls=%fused\n'
    '}\n'
  )
  module = hlo.parse(text)
  main = module.computations['main']
  return traffic.moved(module, main, main.by_name['f']) - 4  # The index.


_NESTED_SLICE = (
  f'%nested (a: {_STACK}, i: s32[]) -> {_LAYER} {{\n'
  f'  %a = {_STACK} parameter(0)\n'
  '  %i = s32[] parameter(1)\n'
  f'  ROOT %s = {_LAYER} dynamic-slice(%a, %i, %i), {_SLICED}\n'
  '}\n\n'
)
_NESTED_FORM = (
  f'%nested (a: {_STACK}) -> {_STACK} {{\n'
  f'  %a = {_STACK} parameter(0)\n'
  f'  ROOT %s = {_STACK} bitcast(%a)\n'
  '}\n\n'
)
_SLICE = f'%s = {_LAYER} dynamic-slice(%a, %i, %i), {_SLICED}'


@pytest.mark.parametrize(
  ('first', 'nested'),
  [
    ((_SLICE,), ''),
    ((f'%c = {_STACK} bitcast(%a)', _SLICE.replace('%a', '%c')), ''),
    ((f'%s = {_LAYER} fusion(%a, %i), kind=kLoop, calls=%nested',),
     _NESTED_SLICE),
    ((f'%c = {_STACK} fusion(%a), kind=kLoop, calls=%nested',
      _SLICE.replace('%a', '%c')), _NESTED_FORM),
  ],
)  # fmt: skip
def test_a_layer_is_read_and_not_the_stack(first, nested):
  found = _moved(
    (*first, f'ROOT %r = {_LAYER} add(%s, %b)'), _LAYER, nested=nested
  )
  assert found == 3 * 4000  # A layer and %b in, one out.


def test_a_stack_that_is_needed_is_read_whole():
  lines = (_SLICE, f'ROOT %r = {_STACK} negate(%a)')
  assert _moved(lines, _STACK) == 2 * 40000


@pytest.mark.parametrize('form', ['', 'bitcast', 'tuple'])
def test_a_layer_is_written_and_not_the_stack(form):
  written = f'%w = {_STACK} dynamic-update-slice(%a, %b, %i, %i)'
  result = _STACK
  if form == 'tuple':
    result = f'({_STACK}, {_LAYER})'
    lines = (written, f'%n = {_LAYER} negate(%b)',
             f'ROOT %t = {result} tuple(%w, %n)')  # fmt: skip
    assert _moved(lines, result) == 3 * 4000
    return
  lines = (
    (written, f'ROOT %t = {_STACK} bitcast(%w)')
    if form
    else (f'ROOT {written}',)
  )
  assert _moved(lines, result) == 2 * 4000
