"""Which checkpoints of a folder an evaluation is of, and their names."""

import json

import pytest

from videopoet_jax.core import errors
from videopoet_jax.evaluation import checkpoint_choice


def _describe(folder, kind='prefix_lm'):
  folder.mkdir(parents=True, exist_ok=True)
  described = {'kind': kind, 'format_version': 1}
  (folder / 'checkpoint.json').write_text(json.dumps(described))


def _save(run, step, content=b'abc'):
  folder = run / 'steps' / str(step) / 'params'
  folder.mkdir(parents=True)
  (folder / 'array').write_bytes(content)
  _describe(run)


def test_the_newest_step_unless_one_is_asked_for(tmp_path):
  for step in (9, 10, 100):
    _save(tmp_path, step)
  assert checkpoint_choice.find(tmp_path).step == 100
  assert checkpoint_choice.find(tmp_path, 9).step == 9
  with pytest.raises(errors.CheckpointError, match='no step 11; .* 9, 10, 100'):
    checkpoint_choice.find(tmp_path, 11)


def test_names_hold_folder_step_and_fingerprint(tmp_path):
  run = tmp_path / 'run_7'
  _save(run, 1200)
  found = checkpoint_choice.find(run)
  assert found.key == f'run_7_00001200_{found.fingerprint[:8]}'
  assert len(found.fingerprint) == 16
  exported = tmp_path / 'small'
  _describe(exported)
  (exported / 'params').mkdir()
  (exported / 'params' / 'array').write_bytes(b'abc')
  found = checkpoint_choice.find(exported)
  assert found.step is None
  assert found.key.startswith('small_params_')


def test_a_fingerprint_is_of_contents_names_and_description(tmp_path):
  prints = []
  for number, (content, name, extra) in enumerate(
    [
      (b'abc', 'array', {}),
      (b'abc', 'array', {}),
      (b'abd', 'array', {}),
      (b'abc', 'other', {}),
      (b'abc', 'array', {'x': 1}),
    ]
  ):
    run = tmp_path / str(number)
    _save(run, 1, content)
    (run / 'steps/1/params/array').rename(run / 'steps/1/params' / name)
    described = {'kind': 'prefix_lm', 'format_version': 1, **extra}
    (run / 'checkpoint.json').write_text(json.dumps(described))
    prints.append(checkpoint_choice.find(run).fingerprint)
  assert prints[0] == prints[1]
  assert len(set(prints)) == 4


def test_of_large_files_the_size_counts(tmp_path):
  _save(tmp_path, 1)
  path = tmp_path / 'steps/1/params/array'

  def fingerprint(content):
    path.write_bytes(content)
    return checkpoint_choice.find(tmp_path).fingerprint

  small, large = 2**16, 2**16 + 1
  assert fingerprint(b'a' * small) != fingerprint(b'b' * small)
  assert fingerprint(b'a' * large) == fingerprint(b'b' * large)
  assert fingerprint(b'a' * large) != fingerprint(b'a' * (large + 1))


def test_all_steps_of_several_folders(tmp_path):
  for step in (1, 2):
    _save(tmp_path / 'a', step)
  _describe(tmp_path / 'b')
  (tmp_path / 'b/params').mkdir()
  folders = [tmp_path / 'a', tmp_path / 'b']
  newest = checkpoint_choice.find_all(folders)
  assert [c.step for c in newest] == [2, None]
  every = checkpoint_choice.find_all(folders, all_steps=True)
  assert [(c.folder.name, c.step) for c in every] == [
    ('a', 1), ('a', 2), ('b', None),
  ]  # fmt: skip


def test_what_has_no_checkpoint(tmp_path):
  _describe(tmp_path / 'new')
  with pytest.raises(errors.CheckpointError, match='has no finished step'):
    checkpoint_choice.find(tmp_path / 'new')
  _describe(tmp_path / 'other', kind='visual_tokenizer')
  with pytest.raises(errors.CheckpointError):
    checkpoint_choice.find(tmp_path / 'other')
