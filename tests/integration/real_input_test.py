"""Files of a user's own, from `prepare` to a sample, by the pages' commands."""

import wave

import av
import numpy as np
import pytest

from tests.integration import job_process
from tests.media import media_files

pytestmark = pytest.mark.slow

_SIZE = (32, 32)
_SMALL = ('--gin_file', 'gin/local_tiny.gin', '--gin_file')
_FEW_STEPS = (*_SMALL, 'gin/runs/smoke_steps.gin')


def _job(job, *flags, status=0):
  result = job_process.run(job, *flags)
  assert result.returncode == status, result.stderr[-4000:]
  return result


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """A film with sound, a silent one and a broken one, up to a trained model."""
  root = tmp_path_factory.mktemp('real')
  films = root / 'films'
  films.mkdir()
  tone = media_files.tone(24.0, 48_000, 440)[None]
  media_files.ramp_file(films / 'film.mp4', 24.0, rate=4, samples_CT=tone)
  media_files.ramp_file(films / 'silent.avi', 7.0, rate=30)
  (films / 'broken.mp4').write_text('not a video ' * 30)
  captions = root / 'captions.csv'
  captions.write_text(
    'clip,caption,quality\nfilm,it grows light,0.2\nfilm#3,later,0.9\n'
    'film#5,later still,0.8\nsilent,it grows light without a sound,0.1\n'
  )
  prepared = _job(
    'prepare',
    *('--input', films, '--output', root / 'clips'),
    *('--height', _SIZE[0], '--width', _SIZE[1], '--validation_share', '0.2'),
    *('--captions', captions, '--numbers', 'quality'),
    status=1,
  )
  assert 'broken.mp4' in prepared.stderr
  for kind in ('visual', 'audio'):
    _job(
      'train',
      *('--gin_file', f'gin/runs/media_{kind}_tokenizer.gin', *_FEW_STEPS),
      *(f'--gin.MEDIA="{root / "clips"}"', '--run_dir', root / kind),
      f'--gin.{kind}_tokenizer.batch_size=2',
    )
  _job(
    'tokenize_media',
    *('--media', root / 'clips', '--output', root / 'tokens'),
    *('--visual_tokenizer', root / 'visual'),
    *('--audio_tokenizer', root / 'audio'),
  )
  tasks = ['future_prediction', 'text_to_video', 'video_to_audio']
  _job(
    'train',
    *('--gin_file', 'gin/runs/media_prefix_lm.gin', *_FEW_STEPS),
    *(f'--gin.TOKENS="{root / "tokens"}"', '--run_dir', root / 'lm'),
    f'--gin.VISUAL="{root / "visual"}"',
    f'--gin.AUDIO="{root / "audio"}"',
    f'--gin.load_tasks.tasks={tasks}',
    "--gin.text_to_video/Task.minimum={'quality': 0.5}",
  )
  return root


def test_a_film_goes_on(folders):
  _job(
    'generate',
    *('--checkpoint', folders / 'lm', '--task', 'future_prediction'),
    *('--video', folders / 'films' / 'film.mp4', '--out', folders / 'future'),
  )
  with av.open(str(folders / 'future' / 'sample_000.mp4')) as container:
    frames = [f.to_ndarray(format='rgb24') for f in container.decode(video=0)]
  # Small clips are written four times as large, to be looked at.
  assert np.shape(frames) == (17, *(4 * size for size in _SIZE), 3)


def test_a_silent_film_gets_a_sound(folders):
  _job(
    'generate',
    *('--checkpoint', folders / 'lm', '--task', 'video_to_audio'),
    *('--video', folders / 'films' / 'silent.avi', '--out', folders / 'sound'),
  )
  with wave.open(str(folders / 'sound' / 'sample_000.wav')) as sound:
    assert sound.getframerate() == 16_000 and sound.getnframes() == 34_000


def test_no_clip_of_the_quality_asked_for(folders, tmp_path):
  result = _job(
    'train',
    *('--gin_file', 'gin/runs/media_prefix_lm.gin', *_FEW_STEPS),
    *(f'--gin.TOKENS="{folders / "tokens"}"', '--run_dir', tmp_path / 'lm'),
    f'--gin.VISUAL="{folders / "visual"}"',
    f'--gin.AUDIO="{folders / "audio"}"',
    "--gin.load_tasks.tasks=['text_to_video']",
    "--gin.text_to_video/Task.minimum={'quality': 0.95}",
    status=2,
  )
  assert 'quality >= 0.95' in result.stderr
  assert 'Traceback' not in result.stderr
