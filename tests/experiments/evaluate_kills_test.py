"""An evaluation killed at random moments ends with the same metrics."""

import random
import re
import signal
import time

import pytest

from tests.evaluation import tiny_protocol
from tests.inference import folder as folder_lib
from tests.training import processes
from videopoet_jax.evaluation import results
from videopoet_jax.evaluation import sample_store

_SAMPLES = 96
_MORE = f"""
EvaluationTask.samples = {_SAMPLES}
"""
_ALIKE = ('name', 'value', 'low', 'high', 'samples', 'protocol', 'fingerprint')


@pytest.fixture(scope='module', name='given')
def _given(tmp_path_factory):
  """A model, a protocol, and the results of an uninterrupted job."""
  folder = tmp_path_factory.mktemp('given')
  folder_lib.write(folder / 'lm')
  protocol = tiny_protocol.write(folder / 'tiny.gin', _MORE)
  flags = ['--protocol', protocol, '--checkpoint', str(folder / 'lm')]
  with pytest.MonkeyPatch.context() as patch:
    # Children keep what they compile, however quick it was.
    patch.setenv('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.1')
    processes.finish(_start(flags, folder / 'whole', 8))
    yield flags, _alike(folder / 'whole')


def _start(flags, out, batch_size):
  command = ['videopoet_jax.jobs.evaluate', *flags, '--out', str(out)]
  return processes.start([*command, '--batch_size', str(batch_size)])


def _alike(out):
  found = [
    tuple(getattr(result, name) for name in _ALIKE)
    for result in results.read(out)
  ]
  assert len(found) == 3
  return found


def _pieces_of(out):
  """Samples that are done, as the files on disk tell."""
  done = set()
  for path in out.glob('checkpoints/*/*/pieces/*.npz'):
    found = sample_store.read_arrays(path)
    assert found is not None, path  # Whole, whenever the kill came.
    name = f'{path.parents[2].name}/{path.parents[1].name}'
    done |= {(name, int(index)) for index in found['indices']}
  return done


def _endure(tmp_path, given, kills, seed):
  flags, whole = given
  draw = random.Random(seed)
  out = tmp_path / 'out'
  begun_at_kill = []
  killed = 0
  while killed < kills:
    process = _start(flags, out, draw.choice((4, 6, 8)))
    # Once it is at work; the moment within a batch is left to chance.
    before = len(sample_store.read_journals(out)) if out.exists() else 0
    target = before + draw.randint(1, 6)
    while process.poll() is None:
      if out.exists() and len(sample_store.read_journals(out)) >= target:
        break
      time.sleep(0.005)
    time.sleep(draw.uniform(0.0, 0.05))
    if process.poll() is None:
      process.send_signal(signal.SIGKILL)
      killed += 1
    process.communicate()
    begun_at_kill.append(
      (len(sample_store.read_journals(out)), _pieces_of(out))
    )
    if process.returncode == 0:
      break  # It was done before the kill came.
  processes.finish(_start(flags, out, 8))
  assert _alike(out) == whole
  lines = sample_store.read_journals(out)
  done = {}
  for line in lines:
    if line['event'] == 'done':
      for index in line['indices']:
        sample = line['stream'], index
        done[sample] = done.get(sample, 0) + 1
  assert max(done.values()) == 1
  for number, kept in begun_at_kill:
    again = {
      (line['stream'], index)
      for line in lines[number:]
      if line['event'] == 'begin'
      for index in line['indices']
    }
    assert not again & kept
  assert all(re.fullmatch(r'lm_params_\w+/(one|two)', name) for name, _ in done)
  begun = sum(len(x['indices']) for x in lines if x['event'] == 'begin')
  return {'kills': killed, 'samples': 2 * _SAMPLES, 'begun': begun}


@pytest.mark.slow
def test_two_kills(tmp_path, given):
  assert _endure(tmp_path, given, 2, seed=0)['kills'] == 2


@pytest.mark.kill
@pytest.mark.parametrize('seed', range(1, 3))
def test_ten_kills(tmp_path, given, seed):
  met = _endure(tmp_path, given, 10, seed)
  print(f'\nseed {seed}: {met}')
  assert met['kills'] == 10


@pytest.mark.multi_process
def test_two_processes_equal_one(tmp_path, given):
  flags, whole = given
  out = tmp_path / 'out'
  command = ['videopoet_jax.jobs.evaluate', *flags, '--out', str(out)]
  processes.finish(
    processes.start([*command, '--batch_size', '4'], processes=2, devices=2)
  )
  assert _alike(out) == whole
  assert {path.name for path in out.glob('journal_*')} == {
    'journal_0.jsonl',
    'journal_1.jsonl',
  }
