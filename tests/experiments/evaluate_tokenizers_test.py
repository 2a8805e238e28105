"""`videopoet evaluate` on untrained tokenizers: one table, always equal."""

import json

import jax
import numpy as np
from PIL import Image
import pytest

from tests.evaluation import tiny_protocol
from tests.inference import folder as folder_lib
from videopoet_jax.core import entry
from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.evaluation import devices
from videopoet_jax.evaluation import results
from videopoet_jax.evaluation import sample_store
from videopoet_jax.experiments import evaluate
from videopoet_jax.jobs import evaluate as evaluate_job
from videopoet_jax.media import quality
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import held_out
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers.magvit2 import bundle

_METRICS = (
  'psnr', 'ssim', 'codebook_usage', 'codebook_entropy', 'bits_per_pixel',
)  # fmt: skip
_ALIKE = ('metric', 'value', 'low', 'high', 'samples', 'fingerprint', 'data',
          'detail', 'model')  # fmt: skip


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


def _task(**changes):
  fields = {
    'name': 'clips',
    'layout': 'reconstruction/17x32x32',
    'metrics': _METRICS,
    'samples': 6,
    'frames': 0,
    'size': (),
    'resizing': 'none',
  }
  return tiny_protocol.task(**{**fields, **changes})


def _tokenizer(seed):
  shapes = jax.eval_shape(
    lambda k: bundle.init_params(folder_lib.VISUAL, k), jax.random.key(0)
  )
  return bundle.VisualTokenizer(
    folder_lib.VISUAL, folder_lib.drawn(shapes, seed)
  )


@pytest.fixture(scope='module', name='folders')
def _folders(tmp_path_factory):
  root = tmp_path_factory.mktemp('tokenizers')
  for seed, name in enumerate(('first', 'second')):
    _tokenizer(seed).save(root / name)
  return [str(root / 'first'), str(root / 'second')]


def _evaluate(given, out, *tasks, **options):
  protocol = tiny_protocol.make(*(tasks or (_task(),)))
  return evaluate.evaluate(given, protocol, out, **{'batch_size': 4, **options})


def _alike(out):
  return [
    {name: getattr(result, name) for name in _ALIKE}
    for result in results.read(out)
  ]


@pytest.fixture(scope='module', name='whole')
def _whole(folders, tmp_path_factory):
  out = tmp_path_factory.mktemp('whole')
  with pytest.MonkeyPatch.context() as patch:
    _use_one_device(patch)
    return out, _evaluate(folders, out)


def test_values_are_those_of_the_reconstructions(whole, folders):
  _, outcome = whole
  clips = held_out.draw(shapes_config.ShapesConfig(), 6, 'validation')
  tokenizer = interface.load(folders[1])
  ids = tokenizer.encode(clips.video_BTHWC)
  found = bundle.to_pixels(tokenizer.decode(ids))
  by_frame = [
    quality.psnr(found[:, t : t + 1], clips.video_BTHWC[:, t : t + 1])
    for t in range(17)
  ]
  values = outcome.values
  assert values['psnr/clips'] == pytest.approx(np.mean(by_frame), rel=1e-4)
  counts = np.bincount(ids.ravel(), minlength=64)
  share = counts[counts > 0] / counts.sum()
  entropy = -np.sum(share * np.log2(share))
  assert values['codebook_entropy/clips'] == pytest.approx(entropy)
  # 64 codes are 6 bits; 5 x 4 x 4 ids of 17 x 32 x 32 pixels.
  assert values['bits_per_pixel/clips'] == pytest.approx(
    6 * 5 * 4 * 4 / (17 * 32 * 32)
  )
  usage = {r.metric: r for r in outcome.results}['codebook_usage']
  expected = 64 * (1 - (1 - 1 / 64) ** ids.size)
  assert usage.value == pytest.approx((counts > 0).sum() / expected)
  assert usage.detail['total_tokens'] == ids.size
  assert usage.detail['tokens'] == [5, 4, 4] and usage.low is None


def test_what_is_written(whole):
  out, outcome = whole
  found = results.read(out)
  assert len(found) == 2 * len(_METRICS)
  assert {r.samples for r in found} == {6}
  lines = str(outcome).splitlines()
  assert len(lines) == 3 and lines[1].startswith('first')
  assert lines[2].startswith('second') and 'psnr ↑' in lines[0]
  markdown = (out / 'table.md').read_text()
  assert markdown.count('\n| ') == 3
  assert tiny_protocol.make(_task()).id in markdown
  page = (out / 'table.html').read_text()
  assert page.count('data:image/png') == 2 and 'http' not in page
  sheets = sorted((out / 'sheets').glob('*.png'))
  assert [p.name.split('_')[0] for p in sheets] == ['first', 'second']
  with Image.open(sheets[0]) as sheet:
    assert min(sheet.size) > 200
  assert not list(out.rglob('rating.html'))


def test_batch_size_does_not_matter(whole, folders, tmp_path):
  _evaluate(folders, tmp_path, batch_size=6)
  assert _alike(tmp_path) == _alike(whole[0])


def test_devices_do_not_matter(whole, folders, tmp_path):
  _evaluate(folders, tmp_path, mesh=mesh_lib.MeshConfig(data=8))
  assert _alike(tmp_path) == _alike(whole[0])


def test_stopped_between_batches(whole, folders, tmp_path, monkeypatch):
  finish, calls = sample_store.Stream.finish, []

  def stop(stream, *arguments):
    if len(calls) % 2:
      calls.append('stopped')
      raise KeyboardInterrupt  # Measured and not yet kept.
    calls.append('kept')
    finish(stream, *arguments)

  monkeypatch.setattr(sample_store.Stream, 'finish', stop)
  for _ in range(10):
    try:
      _evaluate(folders, tmp_path)
      break
    except KeyboardInterrupt:
      continue
  assert calls.count('stopped') >= 2
  assert _alike(tmp_path) == _alike(whole[0])


class Coarse:
  """A tokenizer of another make: mean grey of 3 frames by 12 x 12 pixels."""

  def __init__(self):
    self.spec = specs.VisualSpec(
      codebook_size=256, spatial_stride=12, temporal_stride=3
    )
    self.fingerprint = 'c0a25e'

  def encode(self, signal):
    video = np.asarray(signal)
    assert video.dtype == np.uint8 and video.shape[1:4] == (16, 36, 36)
    grey = video[:, ::3].mean(-1)
    count, frames = grey.shape[:2]
    cells = grey.reshape(count, frames, 3, 12, 3, 12).mean((3, 5))
    return cells.astype(np.int32)

  def decode(self, ids):
    ids = np.repeat(np.asarray(ids), 3, axis=1)[:, 2:]
    ids = ids.repeat(12, axis=2).repeat(12, axis=3)
    return np.repeat(ids[..., None], 3, -1).astype(np.float32) / 127.5 - 1


def test_another_tokenizer_in_the_same_table(folders, tmp_path):
  told = []
  task = _task(metrics=('psnr', 'bits_per_pixel', 'codebook_usage'))
  outcome = _evaluate([folders[0], Coarse()], tmp_path, task, log=told.append)
  assert any('trimmed to the first 16' in line for line in told)
  assert any('padded to 36 x 36' in line for line in told)
  (psnr, bits, usage) = outcome.results
  assert psnr.detail['measured_frames'] == 16
  # 8 bits; 6 x 3 x 3 ids; padding counts for tokens and not for pixels.
  assert bits.value == pytest.approx(8 * 6 * 9 / (16 * 32 * 32))
  assert usage.detail['codebook_size'] == 256
  text = str(outcome)
  assert 'Coarse' in text and 'Coarse: clips of 17 frames are trimmed' in text
  # By hand, on the frames that it holds.
  clips = held_out.draw(shapes_config.ShapesConfig(), 6, 'validation')
  original = clips.video_BTHWC[:, :16]
  coarse = Coarse()
  padded = np.pad(
    original, ((0, 0), (0, 0), (0, 4), (0, 4), (0, 0)), mode='edge'
  )
  found = bundle.to_pixels(coarse.decode(coarse.encode(padded)))[:, :, :32, :32]
  by_frame = [
    quality.psnr(found[:, t : t + 1], original[:, t : t + 1]) for t in range(16)
  ]
  assert psnr.value == pytest.approx(np.mean(by_frame), rel=1e-4)


@pytest.mark.parametrize(
  'options, message',
  [
    ({'watch': 'runs'}, '--watch cannot act'),
    ({'all_steps': True}, '--all_steps cannot act'),
    ({'best': 'psnr/clips'}, '--best cannot act'),
  ],
)
def test_options_of_checkpoints_are_refused(
  options, message, folders, tmp_path
):
  with pytest.raises(errors.ConfigError, match=message):
    _evaluate(folders, tmp_path, **options)


def test_mistakes(folders, tmp_path):
  with pytest.raises(errors.ConfigError, match='evaluates language models'):
    _evaluate((), tmp_path, tiny_protocol.task(), tokenizer=folders)
  with pytest.raises(errors.ConfigError, match='evaluates language models'):
    _evaluate(_tokenizer(0), tmp_path, tiny_protocol.task())
  with pytest.raises(errors.ConfigError, match='has no end'):
    _evaluate(folders, tmp_path, _task(samples=0))
  with pytest.raises(errors.DataError, match='--height 16 --width 16'):
    _evaluate(folders, tmp_path, _task(layout='reconstruction/17x16x16'))
  with pytest.raises(
    errors.ConfigError, match="'perplexity_visual' needs more"
  ):
    _evaluate(folders, tmp_path, _task(metrics=('perplexity_visual',)))
  with pytest.raises(errors.ConfigError, match="needs a tokenizer's codes"):
    task = tiny_protocol.task(metrics=('codebook_usage',))
    _evaluate(folders, tmp_path, task)


_GIN = """
Protocol.name = 'tiny'
Protocol.block = 4
Protocol.tasks = [@clips/EvaluationTask()]
clips/EvaluationTask.name = 'clips'
clips/EvaluationTask.layout = 'reconstruction/17x32x32'
clips/EvaluationTask.data = 'shapes'
clips/EvaluationTask.split = 'validation'
clips/EvaluationTask.samples = 3
clips/EvaluationTask.metrics = ['psnr']
evaluate.protocol = @Protocol()
"""


@pytest.mark.usefixtures('clean_registries')
def test_command_line(folders, tmp_path, capsys):
  (tmp_path / 'tiny.gin').write_text(_GIN)
  common = ['--protocol', str(tmp_path / 'tiny.gin'), '--tokenizer', *folders]
  out = str(tmp_path / 'out')
  assert entry.run(evaluate_job.main, [*common, '--out', out]) == 0
  shown = capsys.readouterr().out
  assert 'first' in shown and 'second' in shown
  rule = ['--fail_below', 'psnr/clips>=90']
  assert entry.run(evaluate_job.main, [*common, '--out', out, *rule]) == 3
  capsys.readouterr()
  wrong = ['--out', out, '--data', 'shape=nowhere']
  assert entry.run(evaluate_job.main, [*common, *wrong]) == 2
  error = capsys.readouterr().err
  assert "did you mean 'shapes'" in error and error.count('\n') == 1
  assert entry.run(evaluate_job.main, [*common, '--data', 'a']) == 2
  assert 'NAME=FOLDER' in capsys.readouterr().err
  assert json.loads((tmp_path / 'out/protocol.json').read_text())['id']
