"""The launchers and the planner agree on what a slice is."""

import subprocess

import pytest

from tests.launch import scripts
from videopoet_jax.planning import topologies


@pytest.mark.parametrize(
  'name', ['v4:2x2x4', 'v4:4x4x8', 'v5p:4x4x4', 'v5e:4x8', 'v6e:16x16']
)
def test_slices_of_several_hosts(name):
  shown = subprocess.run(
    ['bash', '-c', 'die() { echo "$@"; exit 1; }; . launch/topologies.sh; '
     f'read_topology {name}; echo "$chips $hosts $cloud_type"'],
    cwd=scripts.ROOT, capture_output=True, text=True, check=True,
  )  # fmt: skip
  planned = topologies.parse(name)
  hosts = planned.num_chips // planned.chip.chips_per_host
  expected = f'{planned.num_chips} {hosts} {planned.accelerator_type}'
  assert shown.stdout.strip() == expected
