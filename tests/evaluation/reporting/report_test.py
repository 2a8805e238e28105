"""The report is one file that needs nothing beside it."""

import base64
import html.parser
import io
import re
import wave

import numpy as np
from PIL import Image
import pytest

from tests.evaluation import samples
from videopoet_jax.core import errors
from videopoet_jax.evaluation.reporting import report
from videopoet_jax.media import data_uris as media
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import held_out
from videopoet_jax.shapes import judges


def _examples(clips):
  def example(index):
    video, audio = clips.video_BTHWC[index], clips.audio_BT[index]
    return report.Example(
      (
        report.Signal('condition', clips.structure_BTHWC[index]),
        report.Signal('generated', video, audio),
        report.Signal('truth', video[:1]),
      ),
      text=f'{clips.captions[index]} <b>',
      passed=index % 2 == 0,
    )

  return {task: [example(0), example(1)] for task in judges.TASKS}


class _Links(html.parser.HTMLParser):
  def __init__(self):
    super().__init__()
    self.links = []

  def handle_starttag(self, tag, attrs):
    self.links += [v for k, v in attrs if k in ('src', 'href', 'data')]


def test_page_is_complete_and_self_contained(tmp_path):
  clips = held_out.draw(shapes_config.ShapesConfig(), 2)
  path = tmp_path / 'report.html'
  steps = np.arange(0, 1000, 10)
  report.write(
    path,
    samples.metrics(),
    _examples(clips),
    reconstructions=_examples(clips)['inpainting'],
    plots=[
      report.Plot(
        'Prefix LM',
        'nats a token',
        (report.Curve('training', steps, np.exp(-steps / 300)),),
      )
    ],
  )
  page = path.read_text()
  parser = _Links()
  parser.feed(page)
  assert parser.links
  assert all(link.startswith(('data:', '#')) for link in parser.links)
  assert all(f'id="{task}"' in page for task in judges.TASKS)
  assert '&lt;b&gt;' in page  # Captions cannot break the page.
  assert path.stat().st_size < 8e6


def test_animation_is_lossless():
  clips = held_out.draw(shapes_config.ShapesConfig(), 1)
  uri = media.animation(clips.video_BTHWC[0], 8, scale=2)
  picture = Image.open(io.BytesIO(base64.b64decode(uri.split(',')[1])))
  assert picture.n_frames == 17
  picture.seek(5)
  np.testing.assert_array_equal(
    np.asarray(picture.convert('RGB'))[::2, ::2], clips.video_BTHWC[0, 5]
  )


def test_sound_keeps_its_samples():
  audio = np.arange(-500, 500, dtype=np.int16)
  uri = media.sound(audio, 16_000)
  with wave.open(io.BytesIO(base64.b64decode(uri.split(',')[1]))) as file:
    assert file.getframerate() == 16_000
    read = np.frombuffer(file.readframes(1000), '<i2')
  np.testing.assert_array_equal(read, audio)


def test_spectrogram_is_bright_at_the_pitch():
  time = np.arange(32_000) / 16_000
  tone = (20_000 * np.sin(2 * np.pi * 800 * time)).astype(np.int16)
  uri = media.spectrogram(tone, 16_000, highest=3200)
  picture = Image.open(io.BytesIO(base64.b64decode(uri.split(',')[1])))
  rows = np.asarray(picture).sum((1, 2)).astype(float)
  # 800 Hz is a quarter of the way up.
  assert np.argmax(rows) == pytest.approx(0.75 * len(rows), abs=2)


def test_unwritable_path_is_the_users_error(tmp_path):
  with pytest.raises(errors.DataError, match=re.escape(str(tmp_path))):
    report.write(tmp_path / 'no' / 'report.html', samples.metrics(), {})
