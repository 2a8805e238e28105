"""The FLOPs of a function, read from its trace.

They are those of its matrix products and convolutions, a multiplication and an
addition counting two. Products with padding are not counted. Unlike the FLOPs
of a compiled program (`planning.products`) they depend on no compiler, and
nothing is computed twice.
"""

from collections.abc import Callable, Iterator
import math
from typing import Any

import jax
from jax.extend import core

from videopoet_jax.planning import products


def flops(function: Callable[..., Any], *shapes: Any) -> float:
  """Traces a function, and counts.

  Args:
    function: any function that can be traced.
    *shapes: its arguments, or their shapes.

  Raises:
    ValueError: the function has a loop of unknown length.
  """
  return _of_jaxpr(jax.make_jaxpr(function)(*shapes).jaxpr)


def _of_jaxpr(jaxpr: Any) -> float:
  total = 0.0
  for equation in jaxpr.eqns:
    name = equation.primitive.name
    inner = [_of_jaxpr(part) for part in _parts(equation.params.values())]
    if name == 'dot_general':
      total += _dot(equation)
    elif name == 'conv_general_dilated':
      total += _convolution(equation)
    elif name == 'while' and any(inner):
      raise ValueError('the products of a `while` loop cannot be counted')
    elif name == 'scan':
      total += equation.params['length'] * sum(inner)
    elif name == 'cond':
      total += max(inner)
    else:
      total += sum(inner)
  return total


def _parts(values: Any) -> Iterator[Any]:
  """The traces that an equation's parameters contain."""
  for value in values:
    if isinstance(value, core.ClosedJaxpr):
      yield value.jaxpr
    elif isinstance(value, core.Jaxpr):
      yield value
    elif isinstance(value, (tuple, list)):
      yield from _parts(value)


def _dot(equation: Any) -> float:
  (summed, _), _ = equation.params['dimension_numbers']
  left = equation.invars[0].aval.shape
  width = math.prod(left[axis] for axis in summed)
  return 2.0 * math.prod(equation.outvars[0].aval.shape) * width


def _convolution(equation: Any) -> float:
  parameters = equation.params
  left, right = (variable.aval.shape for variable in equation.invars)
  out = equation.outvars[0].aval.shape
  names = parameters['dimension_numbers']
  valid = 1
  for index, axis in enumerate(names.lhs_spec[2:]):
    valid *= products.valid_places(
      base=left[axis],
      kernel=right[names.rhs_spec[2 + index]],
      out=out[names.out_spec[2 + index]],
      stride=parameters['window_strides'][index],
      pad=parameters['padding'][index][0],
      base_dilation=parameters['lhs_dilation'][index],
      kernel_dilation=parameters['rhs_dilation'][index],
    )
  batch = left[names.lhs_spec[0]] // parameters['batch_group_count']
  features = out[names.out_spec[1]]
  return 2.0 * batch * features * right[names.rhs_spec[1]] * valid
