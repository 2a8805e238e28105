"""`videopoet evaluate` on an untrained model: equal metrics in every case."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from tests.evaluation import tiny_protocol
from tests.inference import folder as folder_lib
from videopoet_jax.core import entry
from videopoet_jax.core import errors
from videopoet_jax.evaluation import devices
from videopoet_jax.evaluation import eval_datasets
from videopoet_jax.evaluation import job as job_lib
from videopoet_jax.evaluation import measured
from videopoet_jax.evaluation import results
from videopoet_jax.evaluation import sample_store
from videopoet_jax.evaluation.metrics import distances
from videopoet_jax.evaluation.networks import catalogue
from videopoet_jax.experiments import evaluate
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.jobs import evaluate as evaluate_job
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import held_out
from videopoet_jax.shapes import judges
from videopoet_jax.shapes import scoreboard

# Small enough that several fit a task, of no simple relation to a block of 4.
_BATCH = 8
_ALIKE = ('metric', 'task', 'value', 'low', 'high', 'samples', 'protocol',
          'fingerprint', 'data', 'model', 'detail')  # fmt: skip


@pytest.fixture(scope='module', name='model')
def _model(tmp_path_factory):
  folder = tmp_path_factory.mktemp('model') / 'lm'
  folder_lib.write(folder)
  return str(folder)


def _use_one_device(patch):
  """One device unless a mesh is given; else all eight fake ones."""
  whole = devices.Devices.create
  one = mesh_lib.create(mesh_lib.MeshConfig(), jax.devices()[:1])

  def create(cls, config=None):
    return whole(config) if config else cls(one)

  patch.setattr(devices.Devices, 'create', classmethod(create))


@pytest.fixture(autouse=True)
def _one_device(monkeypatch):
  _use_one_device(monkeypatch)


def _evaluate(model, out, *tasks, **changes):
  protocol = tiny_protocol.make(
    *(tasks or (tiny_protocol.task(),)), **changes.pop('protocol', {})
  )
  options = {'batch_size': _BATCH, **changes}
  return evaluate.evaluate(
    protocol=protocol, out=out, checkpoint=[model], **options
  )


def _alike(folder):
  """What has to be equal of the results in a folder."""
  return [
    {name: getattr(result, name) for name in _ALIKE}
    for result in results.read(folder)
  ]


def _counts(folder):
  """How often each sample was done; none may begin once it is done."""
  done = {}
  for line in sample_store.read_journals(folder):
    for index in line['indices']:
      sample = line['stream'], index
      if line['event'] == 'begin':
        assert sample not in done
      else:
        done[sample] = done.get(sample, 0) + 1
  return done


@pytest.fixture(scope='module', name='whole')
def _whole(model, tmp_path_factory):
  """Results of one uninterrupted evaluation on one device."""
  out = tmp_path_factory.mktemp('whole')
  with pytest.MonkeyPatch.context() as patch:
    _use_one_device(patch)
    outcome = _evaluate(model, out)
  return out, outcome


def test_what_is_written(whole):
  out, outcome = whole
  (result,) = results.read(out)
  assert result == outcome.results[0]
  assert result.name == 'psnr/one' and result.samples == 18
  assert result.low < result.value < result.high
  assert result.protocol == tiny_protocol.make().id
  assert set(_counts(out).values()) == {1} and len(_counts(out)) == 18
  (task,) = (out / 'checkpoints').glob('*/one')
  assert not (task / sample_store.PIECES).exists()
  with np.load(task / 'values.npz') as values:
    assert values['psnr/value'].mean() == pytest.approx(result.value)
  assert len(list((task / 'samples').glob('*.npz'))) == 8
  page = (out / 'report.html').read_text()
  assert result.protocol in page and 'data:image/webp' in page
  assert 'src="http' not in page and 'href="http' not in page


def test_again_does_nothing(whole, model):
  out, _ = whole
  before = {p: p.stat().st_mtime_ns for p in out.rglob('done.json')}
  lines = len(sample_store.read_journals(out))
  assert _evaluate(model, out).results
  assert {p: p.stat().st_mtime_ns for p in before} == before
  assert len(sample_store.read_journals(out)) == lines


def test_batch_size_does_not_matter(whole, model, tmp_path):
  _evaluate(model, tmp_path, batch_size=5)
  assert _alike(tmp_path) == _alike(whole[0])


def test_devices_do_not_matter(whole, model, tmp_path):
  _evaluate(model, tmp_path, mesh=mesh_lib.MeshConfig(data=8))
  assert _alike(tmp_path) == _alike(whole[0])


def test_stopped_between_any_two_batches(whole, model, tmp_path, monkeypatch):
  finish, calls = sample_store.Stream.finish, []

  def stop(stream, *arguments):
    if len(calls) % 2:
      calls.append('stopped')
      raise KeyboardInterrupt  # Measured and not yet kept.
    calls.append('kept')
    finish(stream, *arguments)

  monkeypatch.setattr(sample_store.Stream, 'finish', stop)
  stops = 0
  while True:
    try:
      _evaluate(model, tmp_path, batch_size=_BATCH - 3 * (stops % 2))
      break
    except KeyboardInterrupt:
      stops += 1
  assert stops >= 2
  assert _alike(tmp_path) == _alike(whole[0])
  assert set(_counts(tmp_path).values()) == {1} and len(_counts(tmp_path)) == 18


@dataclasses.dataclass(frozen=True)
class Brightness:
  """A feature network that counts what it sees."""

  name: str = 'brightness'
  takes: str = 'video'
  width: int = 3
  stand_in: bool = True
  fingerprint: str = 'b'
  seen: list = dataclasses.field(default_factory=list)

  def __call__(self, video_BTHWC):
    self.seen.append(len(video_BTHWC))
    return video_BTHWC.mean((1, 2, 3)).astype(np.float32)


def _measure_by(network, patch):
  """Puts a network in the place of the named one."""
  patch.setattr(catalogue, 'load', lambda *_: network)


def test_real_side_is_measured_once(model, tmp_path, monkeypatch):
  network = Brightness()
  _measure_by(network, monkeypatch)
  task = tiny_protocol.task(metrics=('frechet_transnetv2',), real_samples=12)
  cache = str(tmp_path / 'real')
  out = [tmp_path / 'a', tmp_path / 'b']
  _evaluate(model, out[0], task, cache=cache)
  assert sum(network.seen) == 18 + 12
  _evaluate(model, out[1], task, cache=cache, batch_size=5)
  assert sum(network.seen) == 18 + 12 + 18
  (first,), (second,) = _alike(out[0]), _alike(out[1])
  assert first == second and first['value'] > 0
  # By hand: the same clips, all at once.
  metric = distances.Frechet('by_hand', Brightness())
  generated = np.concatenate(
    [
      np.load(path)['video'][None, :16]
      for path in sorted(
        _evaluate_all(model, tmp_path / 'c', task, cache).glob('*/*/samples/*')
      )
    ]
  )
  clips = held_out.draw(shapes_config.ShapesConfig(), 12, 'validation')
  state = metric.add(
    metric.add(metric.empty(), metric.measure({'generated': generated})),
    metric.measure({'real': measured.real(clips.video_BTHWC, task)}),
  )
  assert first['value'] == pytest.approx(metric.compute(state), rel=1e-6)


def _evaluate_all(model, out, task, cache):
  _evaluate(model, out, task, cache=cache, keep_samples=-1)
  return out / 'checkpoints'


@pytest.mark.parametrize(
  'networks, message',
  [
    ({}, "'fvd' is measured with ''; it promises i3d_kinetics400"),
    ({'fvd': 'transnetv2'}, "with 'transnetv2'; it promises i3d"),
    ({'fvd': 'i3d_kinetics400'}, '--gin.NetworkPaths.i3d='),
  ],
)
def test_networks_that_are_not_the_protocols(networks, message, tmp_path):
  task = tiny_protocol.task(metrics=('fvd',))
  with pytest.raises(errors.ConfigError, match=message):
    _evaluate('nowhere', tmp_path, task, protocol={'networks': networks})


@pytest.mark.parametrize(
  'changes',
  [
    {'real_samples': 4},
    {'real': 'shapes'},
    {'real_split': 'train'},
    {'metrics': ('dnsmos',), 'real_cut': 'central', 'real_rate': 8},
  ],
)
def test_settings_of_a_real_side_that_is_not_there(changes, tmp_path):
  field = next(name for name in changes if name != 'metrics')
  task = tiny_protocol.task(**changes)
  networks = {'dnsmos': 'dnsmos'}
  with pytest.MonkeyPatch.context() as patch:
    _measure_by(Brightness(), patch)
    # Shapes are drawn: that they are not cut is not the point here.
    patch.setattr(job_lib.cut, 'check', lambda *_: None)
    with pytest.raises(errors.ConfigError, match=f'EvaluationTask.{field} is'):
      _evaluate('nowhere', tmp_path, task, protocol={'networks': networks})


def test_subsets_are_averaged(model, tmp_path, monkeypatch):
  _measure_by(Brightness(), monkeypatch)
  name = 'frechet_transnetv2'
  task = tiny_protocol.task(
    metrics=(name, 'psnr'),
    subsets={name: (6, 3)},
    real_samples=8,
  )
  _evaluate(model, tmp_path, task)
  by_name = {result.metric: result for result in results.read(tmp_path)}
  assert by_name[name].samples == 18 and by_name['psnr'].samples == 18
  assert by_name[name].low < by_name[name].value < by_name[name].high


def test_perplexity_needs_no_samples(model, tmp_path, monkeypatch):
  monkeypatch.setattr(
    eval_datasets,
    'open_set',
    lambda _, split, folders: eval_datasets.ShapesSet(split, _SMALL),
  )
  task = tiny_protocol.task(
    layout='future_prediction/17x16x16/condition=3',
    metrics=('perplexity_visual',),
    samples=6,
  )
  outcome = _evaluate(model, tmp_path, task, batch_size=6)
  assert not list(tmp_path.rglob('samples'))
  # What training calls the loss, of the same tokens.
  generator = generator_lib.Generator.load(model)
  layout = generator.layout(task.layout)
  clips = held_out.draw(_SMALL, 6, task.split)
  ids = generator.tokenizers.visual.encode(clips.video_BTHWC)
  tokens, visible = generator.fill(layout, {'video_tokens': ids}, 6)
  runs = generator.model.apply(
    {'params': generator.params}, tokens, visible, layout
  )
  losses = [
    np.asarray(result.loss_BT)
    for run, result in runs.items()
    if run.range.size > 1
  ]
  mean = np.concatenate(losses, axis=1).mean()
  assert outcome.results[0].value == pytest.approx(np.exp(mean), rel=1e-5)


_SMALL = shapes_config.ShapesConfig(height=16, width=16)


@pytest.mark.parametrize('name', ['inpainting', 'video_to_audio'])
def test_right_is_the_scoreboards_row(name, model, tmp_path, monkeypatch):
  monkeypatch.setattr(
    eval_datasets,
    'open_set',
    lambda _, split, folders: eval_datasets.ShapesSet(split, _SMALL),
  )
  task = tiny_protocol.task(
    name=name,
    layout=f'{name}/17x16x16',
    metrics=('right',),
    split='test_held_out',
    size=(),
    resizing='none',
    frames=0,
  )
  outcome = _evaluate(model, tmp_path, task, batch_size=18)
  generator = generator_lib.Generator.load(model)
  clips = held_out.draw(_SMALL, 18)
  made = generator.generate(
    task.layout,
    {'text': clips.captions, 'video': clips.video_BTHWC},
    batch_size=18,
  )
  outputs = judges.Outputs(made.video_BTHWC, made.audio_BT)
  row, _ = scoreboard.score(name, outputs, clips)
  detail = dict(outcome.results[0].detail)
  assert detail.pop('layout') == task.layout
  assert detail == json.loads(json.dumps(row))
  assert outcome.results[0].value == row['value']


def _main(*flags):
  return entry.run(evaluate_job.main, [str(flag) for flag in flags])


@pytest.mark.usefixtures('clean_registries')
def test_command_line_and_exit_status(whole, model, tmp_path, capsys):
  file = tiny_protocol.write(tmp_path / 'tiny.gin')
  common = ['--protocol', file, '--checkpoint', model, '--batch_size', _BATCH]
  out = tmp_path / 'out'
  assert _main(*common, '--out', out, '--fail_below', 'psnr/*>=1') == 0
  text = capsys.readouterr().out
  assert 'psnr/one' in text and 'ssim/two' in text
  assert _main(*common, '--out', out, '--fail_below', 'psnr/two>=90') == 3
  assert 'psnr/two is' in capsys.readouterr().err
  assert _main(*common, '--out', out, '--baseline', out) == 0
  # A baseline that was better.
  better = [
    dataclasses.replace(result, value=result.value + 20)
    for result in results.read(out)
  ]
  results.write(tmp_path / 'better.jsonl', better)
  flags = ['--out', out, '--baseline', tmp_path / 'better.jsonl']
  assert _main(*common, *flags) == 3
  assert 'worse' in capsys.readouterr().err
  assert 'worse' in (out / 'report.html').read_text()
  assert _main('--compare', tmp_path / 'better.jsonl', out) == 3
  assert _main('--compare', out, tmp_path / 'better.jsonl') == 0
  # Another protocol: neither its folder nor its metrics are accepted.
  bind = '--gin.Protocol.seed=1'
  assert _main(*common, bind, '--out', out) == 2
  assert 'holds results of protocol tiny-v1' in capsys.readouterr().err
  assert _main(*common, bind, '--out', tmp_path / 'b', '--baseline', out) == 2
  assert 'different protocols' in capsys.readouterr().err
  assert _main('--compare', whole[0], out) == 2


@pytest.mark.usefixtures('clean_registries')
@pytest.mark.parametrize(
  'flags, message',
  [
    (['--protocol', 'k601'], "did you mean 'k600'"),
    (['--protocol', 'k600'], '--gin.K600='),
    (['--protocol', 'msr_vtt'], '--gin.MSR_VTT'),
    (['--protocol', 'k600', '--gin.K600="/nowhere"'], 'bound by --gin.K600'),
    (
      ['--protocol', 'shapes_scoreboard', '--fail_below', 'right/text>=1'],
      "did you mean 'right/text_to_video'",
    ),
    (['--protocol', 'shapes_scoreboard'], "no layout 'unconditional/17x32x32'"),
    (['--protocol', 'shapes_scoreboard', '--watch', 'x'], 'give either'),
    (['--votes', 'votes.json'], '--votes needs --out'),
    ([], 'give --protocol'),
  ],
)
def test_mistakes_are_one_line(flags, message, model, tmp_path, capsys):
  given = ['--checkpoint', model, '--out', str(tmp_path / 'out')]
  if '--votes' in flags:
    given = []
  assert _main(*flags, *given) == 2
  error = capsys.readouterr().err
  assert message in error and error.count('\n') == 1


def test_two_checkpoints_are_rated_blind(model, tmp_path):
  other = tmp_path / 'other'
  shutil.copytree(model, other)
  described = json.loads((other / 'checkpoint.json').read_text())
  described['note'] = 'another'
  (other / 'checkpoint.json').write_text(json.dumps(described))
  protocol = tiny_protocol.make(tiny_protocol.task(samples=2))
  out = tmp_path / 'out'
  evaluate.evaluate(
    protocol=protocol, out=out, checkpoint=[model, str(other)], batch_size=8
  )
  assert len(results.read(out)) == 2
  page = (out / 'rating.html').read_text()
  assert page.count('data:image/webp') == 4 and str(other) not in page
  (key,) = (out / 'ratings').glob('*.json')
  saved = json.loads(key.read_text())
  assert {saved['a'], saved['b']} == {
    str(path) for path in (out / 'checkpoints').iterdir()
  }
  with pytest.raises(errors.DataError, match='no folder of an evaluation'):
    _evaluate(model, out, tiny_protocol.task(samples=2), versus=str(tmp_path))
