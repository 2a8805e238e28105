"""The protocol of video to audio, from files of video to a distance."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.inference import folder as folder_lib
from tests.media import media_files
from videopoet_jax.core import entry
from videopoet_jax.data import records
from videopoet_jax.evaluation import devices
from videopoet_jax.evaluation import results
from videopoet_jax.evaluation.metrics import distances
from videopoet_jax.evaluation.networks import catalogue
from videopoet_jax.evaluation.networks import vggish
from videopoet_jax.jobs import evaluate
from videopoet_jax.jobs import prepare
from videopoet_jax.parallel import mesh as mesh_lib

_VIDEOS = 6
_CUT = '--cut central --frames 17 --frame_rate 8 --height 16 --width 16'


@dataclasses.dataclass(frozen=True)
class _Bands:
  """The mean of each band of what VGGish sees, in place of its features."""

  name: str = 'vggish'
  takes: str = 'audio'
  width: int = 64
  stand_in: bool = False
  fingerprint: str = 'b'

  def __call__(self, audio_BT):
    return vggish.log_mel_windows(audio_BT).mean(2)


@pytest.fixture(scope='module', name='folders')
def _folders(tmp_path_factory):
  """A checkpoint, a set of clips with sound, and one with a silent clip."""
  folder = tmp_path_factory.mktemp('folders')
  folder_lib.write(folder / 'lm')
  (folder / 'videos').mkdir()
  for index in range(_VIDEOS):
    media_files.ramp_file(
      folder / 'videos' / f'{index}.mp4',
      2.6,
      samples_CT=media_files.tone(2.6, 48_000, 200 + 150 * index)[None],
    )
  _prepare(folder / 'videos', folder / 'set')
  media_files.ramp_file(folder / 'videos' / 'silent.mp4', 2.6)
  _prepare(folder / 'videos', folder / 'silent')
  return folder


def _prepare(videos, output):
  given = ['--input', str(videos), '--output', str(output), *_CUT.split()]
  assert prepare.main(given) == 0


def _evaluate(folders, data, out):
  one = mesh_lib.create(mesh_lib.MeshConfig(), jax.devices()[:1])
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(catalogue, 'load', lambda *_: _Bands())
    patch.setattr(
      devices.Devices,
      'create',
      classmethod(lambda cls, config=None: cls(one)),
    )
    task = '--gin.video_to_audio/EvaluationTask'
    flags = [
      *('--protocol', 'vggsound_video_to_audio', '--keep_samples', '-1'),
      *('--checkpoint', str(folders / 'lm'), '--out', str(out)),
      f'--gin.VGGSOUND="{folders / data}"',
      f'{task}.layout="video_to_audio/17x16x16"',
      f'{task}.samples={7 if data == "silent" else _VIDEOS}',
    ]
    return entry.run(evaluate.main, flags)


@pytest.mark.usefixtures('clean_registries')
def test_distance_to_the_real_sound(folders, tmp_path):
  assert _evaluate(folders, 'set', tmp_path) == 0
  (result,) = results.read(tmp_path)
  assert result.name == 'fad/video_to_audio' and result.samples == _VIDEOS
  assert result.protocol.startswith('vggsound_video_to_audio-v1-')
  # By hand: all samples against the sound of all clips.
  made = [np.load(path)['audio'] for path in tmp_path.rglob('samples/*.npz')]
  found = records.open_records(str(folders / 'set'))
  real = [
    example['audio']
    for split in found.splits
    for example in found.arrays(split, range(found.size(split)), ['audio'])
  ]
  metric = distances.Frechet('fad', _Bands())
  state = metric.add(
    metric.empty(),
    metric.measure(
      {'generated_audio': np.stack(made), 'real_audio': np.stack(real)}
    ),
  )
  assert result.value == pytest.approx(metric.compute(state), rel=1e-6)
  assert result.value > 0


@pytest.mark.usefixtures('clean_registries')
def test_clips_without_sound_are_refused(folders, tmp_path, capsys):
  assert _evaluate(folders, 'silent', tmp_path) == 2
  error = capsys.readouterr().err
  assert '1 of 7 clips' in error and error.count('\n') == 1
