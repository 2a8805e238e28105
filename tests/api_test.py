"""The contract of the Python API.

Functions take and return objects, print nothing unless asked to, and leave the
caller's gin configuration as it is.
"""

import json
import pathlib
import subprocess
import sys

import gin
import numpy as np
import pytest

from tests.evaluation import tiny_protocol
from tests.inference import folder as folder_lib
from tests.media import media_files
import videopoet_jax as vp
from videopoet_jax import data
from videopoet_jax.core import errors

_TINY = ['gin/local_tiny.gin', 'gin/runs/smoke_steps.gin']
_CALLERS = "text_to_video/Task.rate = 3.0\nload_tasks.tasks = ['inpainting']\n"
_HEAVY = {'jax', 'tensorflow', 'matplotlib', 'numpy', 'gin', 'flax'}


@pytest.fixture(name='quiet', autouse=True)
def _quiet(clean_registries, capfd, monkeypatch):
  """Nothing is printed, and gin holds what the caller bound."""
  del clean_registries
  for name in ('JAX_PLATFORMS', 'TPU_ACCELERATOR_TYPE', 'TPU_SKIP_MDS_QUERY'):
    monkeypatch.setenv(name, 'cpu')  # `plan` sets them: they come back.
  from videopoet_jax.data import registry  # noqa: F401 (it knows Task)

  gin.parse_config(_CALLERS)
  before = gin.config_str()
  capfd.readouterr()
  yield
  assert gin.config_str() == before
  printed = capfd.readouterr()
  assert (printed.out, printed.err) == ('', '')


def test_clips_to_a_model(tmp_path):
  """Draws, trains, tokenizes, trains, generates: each is one call."""
  vp.draw_shapes(
    tmp_path / 'shapes',
    vp.ShapesConfig(height=16, width=16),
    {'train': 16, 'validation': 8},
  )
  # A second call finds them.
  assert not vp.draw_shapes(
    tmp_path / 'shapes',
    vp.ShapesConfig(height=16, width=16),
    {'train': 16, 'validation': 8},
  )
  experiment = vp.experiment(
    ['gin/runs/shapes_visual_tokenizer.gin', *_TINY],
    MEDIA=tmp_path / 'shapes',
    STEPS=2,
  )
  assert repr(experiment) == 'Experiment(visual_tokenizer, 2 steps, muon)'
  result = vp.train(experiment, tmp_path / 'visual')
  assert result.steps == 2 and repr(result).startswith('2 steps in ')
  assert 'loss ' in repr(result) and len(repr(result)) < 500
  tokenizer = vp.load_tokenizer(tmp_path / 'visual')
  assert tokenizer.fingerprint in repr(tokenizer)
  summary = vp.tokenize(
    tmp_path / 'shapes', tmp_path / 'visual', tmp_path / 'tokens', conditions=()
  )
  assert summary.clips == {'train': 16, 'validation': 8}
  experiment = vp.experiment(
    ['gin/runs/shapes_prefix_lm.gin', *_TINY],
    {'load_tasks.tasks': ['text_to_video'], 'prefix_lm.text_slots': 8},
    TOKENS=tmp_path / 'tokens',
    VISUAL=tmp_path / 'visual',
    AUDIO='',
    STEPS=2,
  )
  lines = []
  vp.train(experiment, tmp_path / 'model', log=lines.append)
  assert lines
  model = vp.load(tmp_path / 'model')
  assert repr(model).endswith("/model', tasks: text_to_video)")
  clips = model.generate('text_to_video', text='a', num_samples=2)
  assert repr(clips[0]) == "Clip(17 x 16 x 16, 2.1 s, 'a')"
  registered = data.register(
    str(tmp_path / 'tokens'), tasks=['text_to_video'], text_slots=8
  )
  # What the caller bound counts.
  assert set(registered.rates.values()) == {3.0}
  assert repr(registered).startswith('Registered(videopoet:text_to_video')


def test_a_film_to_clips(tmp_path):
  media_files.ramp_file(tmp_path / 'a.mp4', 4.0)
  summary = vp.prepare(
    tmp_path / 'a.mp4', tmp_path / 'clips', num_frames=5, height=16, width=16
  )
  assert sum(summary.clips.values()) + summary.left_out == 6


def test_evaluate(tmp_path):
  folder_lib.write(tmp_path / 'lm')
  path = tiny_protocol.write(tmp_path / 'tiny.gin')
  protocol = vp.load_protocol(path)
  part = protocol.part('two', samples=4)
  assert [task.samples for task in part.tasks] == [4]
  assert part.sampling == protocol.sampling and part.id != protocol.id
  with pytest.raises(vp.UserError, match="'too'.*'two'"):
    protocol.part('too')
  outcome = vp.evaluate(vp.load(tmp_path / 'lm'), part, tmp_path / 'out')
  assert set(outcome.values) == {'psnr/two', 'ssim/two'}

  class Printer:
    text = staticmethod(lambda text: shown.append(text))

  shown = []
  outcome._repr_pretty_(Printer(), False)
  assert shown == [str(outcome)] and 'psnr/two' in shown[0]


def test_plan():
  outcome = vp.plan(
    topology='v5p:4x4x4',
    run_files=['gin/runs/paper_prefix_lm.gin'],
    mesh='data=4,fsdp=16',
    compiled=False,
  )
  assert str(outcome) and json.dumps(outcome.values)


def test_a_mistake_is_one_line_in_a_notebook():
  with pytest.raises(vp.UserError) as raised:
    vp.load('absent')
  (line,) = raised.value._render_traceback_()
  assert line == f'CheckpointError: {raised.value}' and '\n' not in line


def test_clips_of_ones_own(tmp_path):
  video = np.zeros((5, 8, 8, 3), np.uint8)
  clip = vp.Clip(video, text='b')
  decoded = vp.Clip(np.ones((5, 8, 8, 3), np.float32))
  assert (decoded.video_THWC == 255).all()
  sound = vp.Clip(audio_T=np.ones(80, np.int16), sampling_rate=800)
  assert repr(sound) == 'Clip(sound, 0.1 s)'
  assert repr(vp.Clip(video[:1])) == 'Clip(1 x 8 x 8)'
  both = clip.with_sound(sound)
  assert both.text == 'b' and both.sampling_rate == 800
  assert both.video_THWC is video and both.audio_T is sound.audio_T
  shown = vp.Clips([clip, decoded])._repr_html_()
  assert shown.count('<img') == 2
  with pytest.raises(vp.UserError, match='were not upscaled'):
    _ = vp.Clips([clip]).upscaled
  for wrong in ({'video_THWC': video[0]}, {'audio_T': np.ones(8)}):
    with pytest.raises(errors.DataError, match='expected'):
      vp.Clip(**wrong)


def test_importing_it_imports_nothing_heavy():
  root = pathlib.Path(vp.__file__).parents[1]
  found = subprocess.run(
    [sys.executable, '-X', 'importtime', '-c', 'import videopoet_jax'],
    capture_output=True,
    text=True,
    cwd=root,
    timeout=60,
    check=True,
  )
  assert found.stdout == ''
  names = {
    line.rsplit('|', 1)[-1].strip().split('.')[0]
    for line in found.stderr.splitlines()
  }
  assert 'videopoet_jax' in names and not names & _HEAVY


def test_every_public_name_is_there():
  for name in vp.__all__:
    assert getattr(vp, name) is not None
    assert name in dir(vp)
