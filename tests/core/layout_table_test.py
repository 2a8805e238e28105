"""`videopoet layouts`, as text and as JSON."""

import json
import subprocess
import sys

from videopoet_jax.core import entry
from videopoet_jax.core import layout_table
from videopoet_jax.jobs import layouts
from videopoet_jax.tokenizers.soundstream import config as audio_config


def test_json_states_padding_and_group(capsys):
  name = 'text_to_video/17x128x128'
  assert entry.run(layouts.main, ['--json', '--layout', name]) == 0
  (row,) = json.loads(capsys.readouterr().out)
  assert row['name'] == name and row['group'] == row['length']
  assert sum(s['size'] for s in row['segments']) == row['length']
  assert (row['length'] - 1 + row['kernel_padding']) % 128 == 0


def test_text_lists_every_layout_once(capsys):
  assert entry.run(layouts.main, ['--space', 'tiny']) == 0
  said = capsys.readouterr().out
  names = layout_table.spaces()['tiny'].standard_names(17, 32, 32)
  assert all(said.count(f'  {name}: ') == 1 for name in names)


def test_tiny_is_what_the_demo_trains_on():
  space = layout_table.spaces()['tiny']
  assert space.audio == audio_config.tiny().spec
  vocabulary = space.vocabulary
  assert (vocabulary.audio_levels, vocabulary.audio_codes) == (
    space.audio.levels,
    space.audio.codes,
  )


def test_impossible_sizes_are_one_line(capsys):
  assert entry.run(layouts.main, ['--frames', '18']) == 2
  assert 'use 17 or 21' in capsys.readouterr().err


def test_starts_without_jax():
  code = (
    'import sys; from videopoet_jax.jobs import layouts; layouts.main([]); '
    'sys.exit("jax" in sys.modules or "tensorflow" in sys.modules)'
  )
  run = subprocess.run([sys.executable, '-c', code], capture_output=True)
  assert run.returncode == 0, run.stderr
