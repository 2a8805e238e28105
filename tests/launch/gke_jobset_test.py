"""Manifests for GKE: valid, as asked for, and with the restarts meant."""

import json
import re

import jsonschema
import pytest
import yaml

from tests.launch import scripts
from videopoet_jax.parallel import start

_SCHEMA = json.loads(
  (scripts.ROOT / 'tests' / 'launch' / 'jobset.schema.json').read_text()
)
_VALIDATOR = jsonschema.Draft202012Validator(_SCHEMA)
_BASE = ('--name', 'lm', '--image', scripts.IMAGE)


def manifest(*flags, command=scripts.TRAIN):
  """The parsed manifest of a dry run, checked against the schema."""
  printed = scripts.dry_run('gke_jobset.sh', *_BASE, *flags, '--', *command)
  found = yaml.safe_load(printed)
  _VALIDATOR.validate(found)
  return found


def job(found):
  (replicated,) = found['spec']['replicatedJobs']
  return replicated['template']['spec']


def pod(found):
  return job(found)['template']['spec']


def container(found):
  return pod(found)['containers'][0]


def variables(found):
  return {v['name']: v['value'] for v in container(found)['env']}


def expanded(argument):
  """What Kubernetes makes of an argument when no variable is defined."""
  return re.sub(
    r'\$(\$|\([^)]*\))', lambda m: '$' if m[1] == '$' else '', argument
  )


def test_schema_itself_is_one_and_refuses():
  jsonschema.Draft202012Validator.check_schema(_SCHEMA)
  found = manifest('--topology', 'v5p:4x4x4')
  found['spec']['failurePolicy']['maxRetries'] = 1
  assert not _VALIDATOR.is_valid(found)


@pytest.mark.parametrize(
  'name, flags, command',
  [
    ('jobset_v5p_4x4x4.yaml', ('--topology', 'v5p:4x4x4'), scripts.TRAIN),
    (
      'jobset_v5p_4x4x4_2_slices_spot.yaml',
      (
        '--topology', 'v5p:4x4x4', '--slices', '2', '--spot', '--queue', 'pods',
        '--service_account', 'trainer', '--priority_class', 'high',
        '--host_network', '--env', 'NAME=a value',
      ),
      (*scripts.TRAIN, *scripts.SLICES),
    ),
    (
      'jobset_cpu_prepare.yaml',
      ('--topology', 'cpu:1', '--cpus', '32', '--memory', '128Gi'),
      ('videopoet', 'prepare', '--input', '/data', '--output', '/clips'),
    ),
    (
      'jobset_4_cpu_prepare.yaml',
      ('--topology', 'cpu:4', '--mount_bucket', 'my-videos'),
      (
        'videopoet', 'prepare', '--input', '/gcs/my-videos', '--output',
        'gs://my-bucket/clips',
      ),
    ),
    (
      'jobset_v6e_2x4_tokenize.yaml',
      ('--topology', 'v6e:2x4', '--reservation', 'my-reservation'),
      ('videopoet', 'tokenize', '--media', 'gs://my-bucket/clips'),
    ),
  ],
)  # fmt: skip
def test_golden(name, flags, command):
  manifest(*flags, command=command)
  printed = scripts.dry_run('gke_jobset.sh', *_BASE, *flags, '--', *command)
  scripts.check_golden(name, printed)


@pytest.mark.parametrize(
  'slice_name, accelerator, hosts, chips',
  [
    ('v4:2x2x4', 'tpu-v4-podslice', 4, 4),
    ('v5e:1x1', 'tpu-v5-lite-podslice', 1, 1),
    ('v5e:2x4', 'tpu-v5-lite-podslice', 1, 8),
    ('v5e:16x16', 'tpu-v5-lite-podslice', 64, 4),
    ('v5p:2x2x1', 'tpu-v5p-slice', 1, 4),
    ('v5p:4x4x4', 'tpu-v5p-slice', 16, 4),
    ('v5p:8x8x8', 'tpu-v5p-slice', 128, 4),
    ('v6e:2x2', 'tpu-v6e-slice', 1, 4),
    ('v6e:8x8', 'tpu-v6e-slice', 16, 4),
  ],
)
def test_machines_of_a_slice(slice_name, accelerator, hosts, chips):
  found = manifest('--topology', slice_name)
  assert job(found)['parallelism'] == job(found)['completions'] == hosts
  assert pod(found)['nodeSelector'] == {
    'cloud.google.com/gke-tpu-accelerator': accelerator,
    'cloud.google.com/gke-tpu-topology': slice_name.split(':')[1],
  }
  assert container(found)['resources'] == {'limits': {'google.com/tpu': chips}}
  # `parallel.start` asks the cluster only where there are others to find.
  assert variables(found).get('COORDINATOR_ADDRESS') == (
    'auto' if hosts > 1 else None
  )


def test_machines_without_tpus_are_told_who_they_are():
  found = manifest('--topology', 'cpu:3')
  assert job(found)['parallelism'] == job(found)['completions'] == 3
  (number,) = (v for v in container(found)['env'] if 'valueFrom' in v)
  assert number['name'] == 'PROCESS_ID'
  assert 'completion-index' in number['valueFrom']['fieldRef']['fieldPath']
  given = {
    v['name']: v['value'] for v in container(found)['env'] if 'value' in v
  }
  # The name that a JobSet `lm` gives the first pod of its jobs `slice`.
  assert given['COORDINATOR_ADDRESS'] == 'lm-slice-0-0.lm:8476'
  assert given['NUM_PROCESSES'] == '3'
  assert start.from_environment(given | {'PROCESS_ID': '0'}).num_processes == 3


@pytest.mark.parametrize(
  'flags, words',
  [
    (('--topology', 'cpu:0'), "cpu:N is '0'"),
    (('--topology', 'cpu:2', '--slices', '2'), 'cpu:N for N machines'),
    (('--mount_bucket', 'gs://videos'), "--mount_bucket is 'gs://videos'"),
  ],
)
def test_mistakes_about_machines_without_tpus(flags, words):
  given = (*_BASE, '--topology', 'cpu:2', *flags, '--', *scripts.TRAIN)
  scripts.refused('gke_jobset.sh', given, words)


def test_the_command_arrives_word_for_word():
  words = (
    'videopoet', 'train', '--gin.A="b"', "it's", '$(HOME) $$ $x', 'a\\b',
    'two\nlines', 'tab\there', 'é: {}', '', '--run_dir', 'gs://b/c',
  )  # fmt: skip
  found = manifest('--topology', 'v5p:4x4x4', command=words)
  assert tuple(map(expanded, container(found)['command'])) == words


def test_environment_arrives_word_for_word():
  found = manifest('--topology', 'v6e:2x2', '--env', 'A=b="c" $(d) $$e')
  assert expanded(variables(found)['A']) == 'b="c" $(d) $$e'


def _ending(found, status, disrupted=False):
  """What the controllers do when a pod ends so: the JobSet's action."""
  reason, message = 'BackoffLimitExceeded', ''
  for index, rule in enumerate(job(found)['podFailurePolicy']['rules']):
    assert rule['action'] == 'FailJob'
    codes = rule.get('onExitCodes', {'values': []})['values']
    if status in codes:
      message = (
        f'Container videopoet for pod a/b failed with exit code {status}'
      )
    elif 'onPodConditions' in rule and disrupted:
      message = 'Pod a/b has condition DisruptionTarget'
    if message:
      reason = 'PodFailurePolicy'
      message += f' matching FailJob rule at index {index}'
      break
  for rule in found['spec']['failurePolicy']['rules']:
    patterns = rule.get('onJobFailureMessagePatterns')
    if reason not in rule['onJobFailureReasons']:
      continue
    if not patterns or any(re.search(p, message) for p in patterns):
      return rule['action']
  return 'RestartJobSet'


@pytest.mark.parametrize(
  'status, disrupted, action',
  [
    (2, False, 'FailJobSet'),  # A mistake in the command.
    (143, False, 'RestartJobSetAndIgnoreMaxRestarts'),  # Saved and stopped.
    (137, True, 'RestartJobSetAndIgnoreMaxRestarts'),  # Preempted, killed.
    (1, False, 'RestartJobSet'),  # Counted.
    (134, False, 'RestartJobSet'),
    (12, False, 'RestartJobSet'),  # `exit code 2` is not found in 12 or 22.
    (22, False, 'RestartJobSet'),
  ],
)
def test_what_a_failed_pod_leads_to(status, disrupted, action):
  found = manifest('--topology', 'v5p:4x4x4')
  assert _ending(found, status, disrupted) == action
  # One pod's end is the end of all: none may come back alone.
  assert job(found)['backoffLimit'] == 0


def test_there_is_time_for_a_save():
  found = manifest('--topology', 'v5p:4x4x4', '--grace_seconds', '1200')
  assert pod(found)['terminationGracePeriodSeconds'] == 1200


def test_capacity_is_asked_for_in_one_way():
  arguments = (
    *_BASE,
    '--topology',
    'v5p:4x4x4',
    '--spot',
    '--reservation',
    'r',
  )
  scripts.refused(
    'gke_jobset.sh', (*arguments, '--', *scripts.TRAIN), 'exclude each other'
  )


def _fake_kubectl(tmp_path):
  program = tmp_path / 'kubectl'
  program.write_text(
    '#!/bin/bash\n'
    f'printf "%s\\n" "$*" >>{tmp_path}/calls\n'
    'case "$*" in\n'
    '*apply*) cat >/dev/stderr ;;\n'
    '*"get pods"*) printf "pod/lm-slice-0-0\\npod/lm-slice-0-1\\n" ;;\n'
    '*logs*) echo "line of ${@: -1}" ;;\n'
    'esac\n'
  )
  program.chmod(0o755)
  return f'{tmp_path}:/usr/bin:/bin'


def test_start_applies_what_the_dry_run_prints(tmp_path):
  flags = (*_BASE, '--topology', 'v5p:4x4x4', '--namespace', 'pods')
  path = _fake_kubectl(tmp_path)
  done = scripts.run('gke_jobset.sh', *flags, '--', *scripts.TRAIN, path=path)
  assert done.returncode == 0
  sent = scripts.dry_run('gke_jobset.sh', *flags, '--', *scripts.TRAIN)
  assert done.stderr.startswith(sent)
  calls = (tmp_path / 'calls').read_text()
  assert calls == '--namespace pods apply --filename -\n'


def test_logs_are_a_file_a_pod(tmp_path):
  done = scripts.run(
    'gke_jobset.sh', '--action', 'logs', '--name', 'lm',
    '--log_dir', str(tmp_path / 'logs'), path=_fake_kubectl(tmp_path),
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  found = {p.name: p.read_text() for p in (tmp_path / 'logs').iterdir()}
  assert found == {
    f'lm-slice-0-{i}.log': f'line of pod/lm-slice-0-{i}\n' for i in range(2)
  }
