"""xpk, queued resources and Slurm: what is sent, and what starts again."""

import re
import shlex

import pytest

from tests.launch import scripts
from tests.launch import shell_test

_QUEUED = (
  '--name', 'lm', '--zone', 'us-east5-a', '--topology', 'v5p:4x4x4',
  '--image', scripts.IMAGE,
)  # fmt: skip
_XPK = (
  '--cluster', 'my-cluster', '--name', 'lm', '--topology', 'v5p:4x4x4',
  '--image', scripts.IMAGE,
)  # fmt: skip
_SLURM = ('--name', 'lm', '--nodes', '2')
_HARD = ('videopoet', 'train', '--gin.A="b"', "it's", '$(id) `id` $x', 'a\\b')


def _fake(folder, name, body):
  program = folder / name
  program.write_text(
    f'#!/bin/bash\nprintf "{name} %s\\n" "$*" >>{folder}/calls\n{body}\n'
  )
  program.chmod(0o755)
  return f'{folder}:/usr/bin:/bin'


def _calls(folder):
  return (folder / 'calls').read_text().splitlines()


@pytest.mark.parametrize(
  'name, script, flags',
  [
    ('xpk_v5p_4x4x4_2_slices.txt', 'xpk.sh', (*_XPK, '--slices', '2')),
    ('queued_v5p_4x4x4.txt', 'queued_resources.sh', (*_QUEUED, '--spot')),
    (
      'queued_v5p_4x4x4_2_slices.txt',
      'queued_resources.sh',
      (*_QUEUED, '--slices', '2', '--reserved'),
    ),
    ('slurm_process_per_gpu.txt', 'slurm.sh', _SLURM),
    (
      'slurm_process_per_node.txt',
      'slurm.sh',
      (
        *_SLURM, '--process_per', 'node', '--partition', 'large', '--setup',
        'source /env/bin/activate', '--env', 'NAME=a value',
      ),
    ),
  ],
)  # fmt: skip
def test_golden(name, script, flags):
  command = (*scripts.TRAIN, *scripts.SLICES)
  printed = scripts.dry_run(script, *flags, '--', *command)
  scripts.check_golden(name, printed)


def test_xpk_is_given_the_command_word_for_word():
  printed = scripts.dry_run('xpk.sh', *_XPK, '--', *_HARD)
  sent = shlex.split(printed)
  assert sent[:3] == ['xpk', 'workload', 'create']
  line = sent[sent.index('--command') + 1]
  assert shlex.split(line) == ['exec', *_HARD]


def test_xpk_counts_machines_of_four_chips():
  flags = (*_XPK[:4], '--topology', 'v6e:2x4', '--image', scripts.IMAGE)
  sent = shlex.split(scripts.dry_run('xpk.sh', *flags, '--', *scripts.TRAIN))
  assert sent[sent.index('--tpu-type') + 1] == 'v6e-2x4'
  assert 'COORDINATOR_ADDRESS=auto' in sent


@pytest.mark.parametrize(
  'slice_name, cloud_type, runtime',
  [
    ('v4:4x4x4', 'v4-128', 'tpu-ubuntu2204-base'),
    ('v5e:16x16', 'v5litepod-256', 'v2-alpha-tpuv5-lite'),
    ('v5p:4x4x4', 'v5p-128', 'v2-alpha-tpuv5'),
    ('v6e:8x8', 'v6e-64', 'v2-alpha-tpuv6e'),
  ],
)
def test_queued_resources_name_the_machines(slice_name, cloud_type, runtime):
  printed = scripts.dry_run(
    'queued_resources.sh', '--action', 'create', *_QUEUED,
    '--topology', slice_name,
  )  # fmt: skip
  words = shlex.split(printed)
  assert words[words.index('--accelerator-type') + 1] == cloud_type
  assert words[words.index('--runtime-version') + 1] == runtime


def test_every_host_of_every_slice_runs_the_command():
  printed = scripts.dry_run(
    'queued_resources.sh', '--action', 'start', *_QUEUED, '--', *_HARD
  )
  words = shlex.split(printed)
  assert words[words.index('--node') + 1] == 'all'
  assert words[words.index('--worker') + 1] == 'all'
  line = shlex.split(words[words.index('--command') + 1])
  assert tuple(line[line.index(scripts.IMAGE) + 1 :]) == _HARD


# Machines that come after two looks, and go once while the job runs.
_GCLOUD = """
folder=$(dirname "$0")
count() { echo x >>"$folder/$1"; wc -l <"$folder/$1"; }
case "$*" in
*create*) echo WAITING_FOR_RESOURCES >"$folder/state" ;;
*delete*) rm "$folder/state" ;;
*describe*)
  if [[ -e $folder/state && -e $folder/follow && $(count look) == [13] ]]; then
    echo 'ERROR: the service is unavailable' >&2
    exit 1
  fi
  if [[ ! -e $folder/state ]]; then
    echo 'ERROR: NOT_FOUND: no such thing' >&2
    exit 1
  fi
  echo 'WARNING: there is a newer version' >&2
  cat "$folder/state"
  sed -i s/WAITING_FOR_RESOURCES/ACTIVE/ "$folder/state"
  ;;
*"docker run"*) ;;
*"docker wait"*)
  case "$(count follow) $MODE" in
  *mistake) exit 2 ;;
  "1 "*) echo SUSPENDED >"$folder/state"; exit 255 ;;
  "2 "*) exit 255 ;;
  "3 "*) exit 143 ;;
  esac
  ;;
esac
"""


def _run_queued(tmp_path, monkeypatch, mode, *flags):
  path = _fake(tmp_path, 'gcloud', _GCLOUD)
  monkeypatch.setenv('MODE', mode)
  flags = (*_QUEUED, '--poll_seconds', '1', *flags)
  done = scripts.run(
    'queued_resources.sh', *flags, '--', *scripts.TRAIN, path=path
  )
  calls = [
    re.search(r'create|delete|docker run|docker wait|describe', c)[0]
    for c in _calls(tmp_path)
  ]
  return done, [c for c in calls if c != 'describe']


def test_a_preempted_queued_resource_is_asked_for_again(tmp_path, monkeypatch):
  done, calls = _run_queued(tmp_path, monkeypatch, 'preempted')
  assert done.returncode == 0, done.stderr
  assert calls == [
    'create', 'docker run', 'docker wait',  # Then the machines go.
    'delete', 'create', 'docker run',
    'docker wait', 'docker wait',  # A lost connection, then status 143.
    'docker run', 'docker wait',
  ]  # fmt: skip
  # A question without an answer is no answer.
  assert done.stderr.count('cannot be looked at') == 2


def test_a_mistake_in_the_command_is_not_repeated(tmp_path, monkeypatch):
  done, calls = _run_queued(tmp_path, monkeypatch, 'mistake')
  assert done.returncode == 2
  assert calls == ['create', 'docker run', 'docker wait']


def test_queued_resources_give_up(tmp_path, monkeypatch):
  done, calls = _run_queued(
    tmp_path, monkeypatch, 'preempted', '--max_restarts', '0'
  )
  assert done.returncode == 1
  assert calls == ['create', 'docker run', 'docker wait']
  assert 'given up' in done.stderr


@pytest.mark.parametrize('process_per', ['gpu', 'node'])
def test_the_slurm_script_is_sound(process_per):
  script = scripts.dry_run(
    'slurm.sh', *_SLURM, '--process_per', process_per, '--', *scripts.TRAIN
  )
  done = shell_test.shellcheck('-', source=script)
  assert done.returncode == 0, done.stdout


def _slurm(tmp_path, monkeypatch, status, restarts=0, cancelled=False):
  """Runs the script as Slurm would; what it said to scontrol."""
  logs = tmp_path / 'logs'
  logs.mkdir()
  script = scripts.dry_run(
    'slurm.sh', *_SLURM, '--log_dir', str(logs), '--max_restarts', '3',
    '--', *_HARD,
  )  # fmt: skip
  touch = f'touch {logs}/lm.cancel' if cancelled else ''
  _fake(
    tmp_path, 'srun',
    f'printf "%s\\0" "$@" >{tmp_path}/words\n{touch}\nexit {status}',
  )  # fmt: skip
  path = _fake(tmp_path, 'scontrol', '')
  monkeypatch.setenv('PATH', path)
  monkeypatch.setenv('SLURM_JOB_ID', '7')
  monkeypatch.setenv('SLURM_RESTART_COUNT', str(restarts))
  done = scripts.subprocess.run(['bash', '-c', script], capture_output=True)
  words = (tmp_path / 'words').read_text().split('\0')[:-1]
  assert words[-len(_HARD) :] == list(_HARD)
  said = [c for c in _calls(tmp_path) if c.startswith('scontrol')]
  return done.returncode, said


@pytest.mark.parametrize(
  'status, restarts, cancelled, again',
  [
    (0, 0, False, False),
    (143, 9, False, True),  # Saved before the limit: as often as it takes.
    (143, 0, True, False),
    (1, 2, False, True),
    (1, 3, False, False),
    (2, 0, False, False),
  ],
)
def test_what_slurm_queues_again(
  tmp_path, monkeypatch, status, restarts, cancelled, again
):
  ended, said = _slurm(tmp_path, monkeypatch, status, restarts, cancelled)
  assert ended == status
  assert said == (['scontrol requeue 7'] if again else [])


def test_a_slurm_job_that_waits_is_cancelled_too():
  sent = scripts.dry_run('slurm.sh', '--name', 'lm', '--action', 'cancel')
  assert sent.splitlines() == [
    'touch logs/lm.cancel',
    'scancel --me --name lm --state PENDING',
    'scancel --me --name lm --signal TERM',
  ]


def test_machines_without_gpus_have_a_process_each():
  flags = (*_SLURM, '--gpus_per_node', '0', '--cpus_per_node', '32')
  script = scripts.dry_run('slurm.sh', *flags, '--', *scripts.TRAIN)
  assert '#SBATCH --ntasks-per-node=1\n' in script
  assert '#SBATCH --cpus-per-task=32\n' in script
  assert 'export JAX_PLATFORMS=cpu\n' in script
  assert 'gpu' not in script and 'JAX_LOCAL_DEVICE_IDS' not in script
  assert shell_test.shellcheck('-', source=script).returncode == 0


def test_one_process_a_node_takes_all_its_gpus():
  flags = (*_SLURM, '--gpus_per_node', '4', '--process_per', 'node')
  script = scripts.dry_run('slurm.sh', *flags, '--', *scripts.TRAIN)
  assert 'export JAX_LOCAL_DEVICE_IDS=0,1,2,3\n' in script
  assert '#SBATCH --ntasks-per-node=1\n' in script


@pytest.mark.parametrize(
  'flags, words',
  [
    (('--process_per', 'core'), "--process_per is 'core'"),
    (('--time', 'soon'), "--time is 'soon'"),
    (('--partition', 'a b'), "--partition is 'a b'"),
    (('--mount', '/a:/b'), '--mount is for --container'),
    (('--gpus_per_node', 'x'), "--gpus_per_node is 'x'"),
  ],
)
def test_slurm_mistakes(flags, words):
  scripts.refused('slurm.sh', (*_SLURM, *flags, '--', *scripts.TRAIN), words)


@pytest.mark.parametrize(
  'script, flags',
  [
    ('xpk.sh', _XPK),
    ('queued_resources.sh', _QUEUED),
    ('slurm.sh', _SLURM),
    ('gke_jobset.sh', _XPK[2:]),
  ],
)
def test_one_flag_starts_the_mains_of_t5x(script, flags):
  command = ('videopoet', 'train', '--gin_file', 'gin/t5x/train.gin')
  printed = scripts.dry_run(script, *flags, '--t5x', '--', *command)
  words = re.sub(r'[",\\]|^\s*- ', ' ', printed, flags=re.MULTILINE).split()
  start = words.index('videopoet_jax.t5x')
  assert words[start - 2 : start + 2] == [
    'python', '-m', 'videopoet_jax.t5x', 'train',
  ]  # fmt: skip
  assert 'videopoet_jax.t5x' not in scripts.dry_run(
    script, *flags, '--', *command
  )
  refused = scripts.run(
    script, *flags, '--t5x', '--dry_run', '--', 'videopoet', 'prepare'
  )
  assert refused.returncode == 2
  assert "the command is 'videopoet prepare'" in refused.stderr
  refused = scripts.run(
    script, *flags, '--t5x', '--dry_run', '--', *command, '--run_dir=gs://b/lm'
  )
  assert refused.returncode == 2
  assert 'does not know --run_dir' in refused.stderr
