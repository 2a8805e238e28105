"""Tests that what does not go together is refused before anything compiles."""

import pytest

from videopoet_jax.core import errors
from videopoet_jax.core import tasks
from videopoet_jax.models.prefix_lm import presets
from videopoet_jax.parallel import mesh
from videopoet_jax.planning import specification
from videopoet_jax.planning import topologies


def _plan(topology='v5p:4x4x4', batch=1.0, axes='', slices=1):
  return specification.Specification(
    presets.preset('300m'),
    tasks.LayoutSpace(),
    'text_to_video/17x128x128',
    topologies.parse(topology, slices),
    batch,
    specification.parse_mesh(axes, slices),
  )


def test_parameters_are_split_over_all_chips_of_a_slice_by_default():
  assert specification.parse_mesh('') == mesh.MeshConfig(data=1, fsdp=-1)
  assert _plan(slices=2).mesh_sizes() == {
    'data': 2, 'fsdp': 64, 'sequence': 1, 'tensor': 1,
  }  # fmt: skip


@pytest.mark.parametrize(
  ('text', 'sizes'),
  [
    ('tensor=4', (1, 16, 1, 4)),
    ('fsdp=32,tensor=2', (1, 32, 1, 2)),
    ('data=-1', (64, 1, 1, 1)),
    ('data=4,fsdp=4,sequence=2,tensor=2', (4, 4, 2, 2)),
  ],
)
def test_axes_left_out_take_the_rest(text, sizes):
  assert tuple(_plan(axes=text).mesh_sizes().values()) == sizes


@pytest.mark.parametrize('text', ['model=4', 'tensor', 'tensor=x'])
def test_what_is_no_mesh_is_refused(text):
  with pytest.raises(errors.MeshError, match='--mesh .* is no AXIS=CHIPS'):
    specification.parse_mesh(text)


def test_a_mesh_that_does_not_fit_is_refused():
  with pytest.raises(errors.MeshError, match='there are 64: set for example'):
    _plan(axes='fsdp=5').mesh_sizes()


def test_a_batch_of_parts_of_sequences_is_refused():
  with pytest.raises(errors.ConfigError, match='global batch of 0.64'):
    _plan(batch=0.01).mesh_sizes()


def test_a_batch_that_the_mesh_cannot_split_is_refused():
  with pytest.raises(errors.MeshError, match='data=1 x fsdp=64 cannot split'):
    _plan(batch=0.5).mesh_sizes()
  assert _plan(batch=0.5, axes='tensor=2').batch == 32
