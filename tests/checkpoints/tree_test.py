"""Tests of saving and restoring a pytree."""

import chex
import jax
import jax.numpy as jnp
import pytest

from videopoet_jax.checkpoints import tree
from videopoet_jax.core import errors


def test_round_trip_and_replacement(tmp_path):
  saved = {'a': {'kernel': jnp.ones((2, 3))}, 'b': jnp.arange(4)}
  tree.save_tree(tmp_path / 'params', jax.tree.map(jnp.zeros_like, saved))
  tree.save_tree(tmp_path / 'params', saved)
  found = tree.restore_tree(tmp_path / 'params')
  chex.assert_trees_all_equal(found, saved)
  target = jax.tree.map(jnp.zeros_like, saved)
  found = tree.restore_tree(tmp_path / 'params', target)
  chex.assert_trees_all_equal(found, saved)


def test_missing_folder(tmp_path):
  with pytest.raises(errors.CheckpointError, match='does not exist'):
    tree.restore_tree(tmp_path / 'params')


def test_folder_of_something_else(tmp_path):
  (tmp_path / 'params').mkdir()
  with pytest.raises(errors.CheckpointError, match='cannot read'):
    tree.restore_tree(tmp_path / 'params')


def test_folder_that_cannot_be_written(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.CheckpointError, match='cannot write'):
    tree.save_tree(tmp_path / 'file' / 'params', {'a': jnp.ones(2)})
