"""Tests of topologies' names and of chips' numbers."""

import math

import pytest

from videopoet_jax.core import errors
from videopoet_jax.planning import topologies


@pytest.mark.parametrize(
  ('name', 'chips', 'accelerator'),
  [
    ('v4:4x4x4', 64, 'v4-128'),
    ('v5p:4x4x4', 64, 'v5p-128'),
    ('v5e:16x16', 256, 'v5litepod-256'),
    ('v6e:8x8', 64, 'v6e-64'),
  ],
)
def test_names_as_the_cloud_has_them(name, chips, accelerator):
  topology = topologies.parse(name)
  assert topology.name == name
  assert topology.num_chips == chips
  assert topology.accelerator_type == accelerator


def test_slices_multiply():
  topology = topologies.parse('v5e:4x4', slices=3)
  assert (topology.chips_per_slice, topology.num_chips) == (16, 48)
  assert topology.accelerator_type == 'v5litepod-16'


def test_a_host_is_no_larger_than_the_slice():
  assert topologies.parse('v5e:1x1').host_bounds == (1, 1, 1)
  assert topologies.parse('v5p:2x2x2').host_bounds == (2, 2, 1)


@pytest.mark.parametrize(
  ('name', 'says'),
  [
    ('v5p', 'is no topology; expected for example v5p:4x4x4'),
    ('v5p:4x4', 'a slice of v5p has 3 dimensions'),
    ('v5e:4x4x4', 'a slice of v5e has 2 dimensions'),
    ('v5x:4x4', r"no chip 'v5x' \(did you mean"),
    ('v5p:0x4x4', 'at least one chip'),
  ],
)
def test_what_is_no_topology_is_refused(name, says):
  with pytest.raises(errors.ConfigError, match=says):
    topologies.parse(name)


def test_no_slices_are_refused():
  with pytest.raises(errors.ConfigError, match='--slices is 0'):
    topologies.parse('v5p:4x4x4', slices=0)


@pytest.mark.parametrize(
  'chip', topologies.CHIPS.values(), ids=lambda c: c.name
)
def test_peak_is_what_the_matrix_units_do_at_the_clock(chip):
  # Four matrix units a core, each of 128 x 128 (v6e: 256 x 256) cells that
  # multiply and add once a cycle.
  cells = 4 * (256 if chip.name == 'v6e' else 128) ** 2
  flops = 2 * cells * chip.cores * chip.clock_hz
  assert math.isclose(flops, chip.peak_flops, rel_tol=0.005)
