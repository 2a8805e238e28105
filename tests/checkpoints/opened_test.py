"""Tests of an open checkpoint folder, its steps and its parameters."""

import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import manager
from videopoet_jax.checkpoints import opened
from videopoet_jax.checkpoints import tree
from videopoet_jax.core import errors


@pytest.fixture
def run(tmp_path):
  """A run with steps 1 and 2, whose only parameter is the step's number."""
  saved = manager.Manager(tmp_path, {'kind': 'toy'}, asynchronous=False)
  for step in (1, 2):
    saved.save(
      step, {'params': {'a': jnp.full(2, float(step))}}, {'step': step}
    )
  saved.close()
  return tmp_path


def test_a_run_is_described_and_its_newest_step_chosen(run):
  found = opened.open_folder(run, 'toy')
  assert found.directory == run
  assert found.description['kind'] == 'toy'
  assert found.steps == (1, 2)
  assert found.choose() == 2
  assert found.choose(1) == 1
  assert found.step_folder(1) == run / 'steps/1'
  description, params = found.read_params(1)
  assert description == found.description
  np.testing.assert_array_equal(params['a'], [1, 1])
  np.testing.assert_array_equal(found.read_params()[1]['a'], [2, 2])


def test_a_missing_step_is_named_beside_those_there(run):
  with pytest.raises(errors.CheckpointError, match='no step 3; it has 1, 2'):
    opened.open_folder(run).read_params(3)


def test_a_folder_of_parameters_alone_has_no_step(tmp_path):
  tree.save_tree(tmp_path / 'params', {'a': jnp.ones(2)})
  describe.write_description(tmp_path, {'kind': 'toy'})
  found = opened.open_folder(tmp_path)
  assert found.choose() is None
  assert found.step_folder(None) == tmp_path / 'params'
  np.testing.assert_array_equal(found.read_params()[1]['a'], [1, 1])
  with pytest.raises(errors.CheckpointError, match='no numbered steps'):
    found.choose(1)


def test_a_folder_without_steps_or_parameters_is_refused(tmp_path):
  describe.write_description(tmp_path, {'kind': 'toy'})
  with pytest.raises(errors.CheckpointError, match='empty: it has no finished'):
    opened.open_folder(tmp_path).choose()
