"""A checkpoint as a Python object: conditions in, clips out."""

import json
import pathlib
import subprocess
import sys

import numpy as np
from PIL import Image
import pytest

from tests.inference import folder
import videopoet_jax as vp
from videopoet_jax.checkpoints import describe
from videopoet_jax.core import entry
from videopoet_jax.core import errors
from videopoet_jax.inference import clips
from videopoet_jax.inference import pipeline
from videopoet_jax.inference import sampling
from videopoet_jax.jobs import generate
from videopoet_jax.media import files

_RECOMMENDED = {
  'default': {'temperature': 0.5},
  'text_to_video': {'temperature': 0.0, 'guidance': 2.0},
  'unconditional': {'temperature': 0.7, 'first_temperature': 0.9},
  'video_to_audio': {'guidance': 3.0},
}


@pytest.fixture(name='directory', scope='module')
def _directory(tmp_path_factory):
  path = tmp_path_factory.mktemp('checkpoint')
  folder.write(path)
  description = describe.read_description(path)
  description.pop('format_version')
  # Parameters are the same for any layout.
  layouts = [*description['layouts'], f'audio_to_video/{folder.SIZE}']
  changes = {'sampling': _RECOMMENDED, 'layouts': layouts}
  describe.write_description(path, {**description, **changes})
  return path


@pytest.fixture(name='model', scope='module')
def _model(directory):
  return vp.load(directory)


def test_a_clip_is_made_saved_and_shown(model, tmp_path):
  (clip,) = model.generate('text_to_video', text='a b')
  assert clip.video_THWC.shape == (17, 16, 16, 3) and clip.text == 'a b'
  assert clip.seconds == pytest.approx(17 / clip.frame_rate)
  for name in ('a.mp4', 'a.gif', 'a.png'):
    assert clip.save(tmp_path / name).stat().st_size > 0
  assert '<img src="data:image/webp' in clip._repr_html_()
  assert 'a b' in clip._repr_html_()
  for name, what in (('a.wav', 'has no sound'), ('a.avi', 'one of .mp4')):
    with pytest.raises(errors.DataError, match=what):
      clip.save(tmp_path / name)


def test_a_clip_is_a_condition_of_the_next_call(model):
  """Text to video, its sound, and what comes after it."""
  (clip,) = model.generate('text_to_video', text='a b', seed=1)
  (heard,) = model.generate('video_to_audio', video=clip, guidance=1)
  assert heard.audio_T.dtype == np.int16 and heard.video_THWC is None
  (filmed,) = model.generate('audio_to_video', audio=heard)
  assert filmed.video_THWC is not None
  np.testing.assert_array_equal(
    filmed.audio_T, heard.audio_T[: len(filmed.audio_T)]
  )
  (moved,) = model.generate('image_to_video', image=clip)
  # The same by an array and by a file without losses.
  picture = clip.video_THWC[0]
  (by_array,) = model.generate('image_to_video', image=picture)
  np.testing.assert_array_equal(moved.video_THWC, by_array.video_THWC)


def test_a_file_an_array_and_a_clip_are_one_condition(model, tmp_path):
  picture = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
  Image.fromarray(picture).save(tmp_path / 'a.png')
  clip = clips.Clip(picture[None], None, 8.0, 16_000)
  read = [
    model.prepare('image_to_video', image=image).given['image']
    for image in (tmp_path / 'a.png', picture, clip)
  ]
  np.testing.assert_array_equal(read[0], read[1])
  np.testing.assert_array_equal(read[0], read[2])


def test_a_clip_of_another_rate_is_read_at_the_models(model):
  rate = model.generator.space.visual.frame_rate
  video = np.zeros((60, 16, 16, 3), np.uint8)
  video[:] = np.arange(60, dtype=np.uint8)[:, None, None, None]
  fast = clips.Clip(video, None, 3 * rate, 16_000)
  read = model.prepare('video_to_audio', video=fast, guidance=1).given['video']
  np.testing.assert_array_equal(
    read[0, :, 0, 0, 0], 3 * np.arange(read.shape[1])
  )
  short = clips.Clip(video[:20], None, 3 * rate, 16_000)
  with pytest.raises(errors.DataError, match='has 20 frames at'):
    model.prepare('video_to_audio', video=short, guidance=1)


def test_the_checkpoint_says_how_to_draw(model, directory, tmp_path, capsys):
  """By task, without what cannot act, unless told otherwise."""
  layout = f'text_to_video/{folder.SIZE}'
  assert model.recommended(layout) == sampling.SamplingConfig(
    temperature=0.0, guidance=2.0
  )
  assert model.recommended(f'inpainting/{folder.SIZE}').temperature == 0.5
  # Nothing in this layout can be guided on.
  assert not model.recommended(f'video_to_audio/{folder.SIZE}').is_guided
  record = model.generate('text_to_video', text='a', top_k=3, temperature=1.0)
  assert record.record['guidance'] == 2.0 and record.record['top_k'] == 3
  with pytest.raises(errors.ConfigError, match="'temprature'.*temperature"):
    model.generate('text_to_video', text='a', temprature=1.0)
  # The command draws the same.
  flags = ['--checkpoint', directory, '--task', 'text_to_video', '--text', 'a']
  out = tmp_path / 'out'
  assert entry.run(generate.main, [*map(str, flags), f'--out={out}']) == 0
  written = json.loads((out / 'generation.json').read_text())
  assert written['temperature'] == 0.0 and written['guidance'] == 2.0
  capsys.readouterr()


def test_signals_of_other_kinds_are_refused(model):
  for name, signal, what in (
    ('image', np.zeros((4, 4, 3)), 'image is float64'),
    ('image', np.zeros((2, 4, 4, 3), np.uint8), r'uint8 \(H, W, 3\)'),
    ('image', 'absent.png', 'absent.png'),
  ):
    with pytest.raises(errors.DataError, match=what):
      model.prepare('image_to_video', **{name: signal})
  with pytest.raises(errors.DataError, match='has no sound'):
    silent = clips.Clip(np.zeros((17, 16, 16, 3), np.uint8), None, 8.0, 16_000)
    model.prepare('audio_to_video', audio=silent)


def test_long_clips_wrap_on_the_sheet(tmp_path):
  video = np.zeros((2, 80, 16, 16, 3), np.uint8)
  files.write_contact_sheet(tmp_path / 'long.png', video)
  with Image.open(tmp_path / 'long.png') as sheet:
    assert sheet.width == 27 * 66 and sheet.height == 2 * 3 * 66
  files.write_contact_sheet(tmp_path / 'short.png', video[:, :17])
  with Image.open(tmp_path / 'short.png') as sheet:
    assert sheet.size == (17 * 66, 2 * 66)


def test_the_public_names_are_there_and_come_late():
  assert vp.load is pipeline.load and 'load' in dir(vp)
  with pytest.raises(AttributeError, match='laod'):
    _ = vp.laod
  code = (
    'import sys, videopoet_jax\n'
    'print(*{m.split(".")[0] for m in sys.modules} & '
    '{"jax", "tensorflow", "matplotlib", "numpy"})'
  )
  root = pathlib.Path(vp.__file__).parents[1]
  found = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, cwd=root,
    timeout=60, check=True,
  )  # fmt: skip
  assert found.stdout.strip() == ''
