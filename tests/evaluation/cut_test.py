"""What reaches the real side of each protocol: the frames that it names.

Every frame of a video shows, as bars, which video and which frame it is.
"""

import dataclasses
import math

import numpy as np
import pytest

from tests.media import media_files
from videopoet_jax.core import config
from videopoet_jax.core import errors
from videopoet_jax.core import paths
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.evaluation import cut
from videopoet_jax.evaluation import eval_datasets
from videopoet_jax.evaluation import job as evaluate_lib
from videopoet_jax.evaluation import protocol as protocol_lib
from videopoet_jax.evaluation import reference_stats
from videopoet_jax.evaluation import runner
from videopoet_jax.evaluation import sample_store
from videopoet_jax.evaluation.metrics import distances
from videopoet_jax.jobs import evaluate  # noqa: F401 (registers)
from videopoet_jax.jobs import prepare
from videopoet_jax.shapes import builder
from videopoet_jax.shapes import config as shapes_config

_BITS = 12  # four of the video's number, eight of the frame's.
_SIDE = 96
# Frames and frame rate of each video: odd and even lengths, fast and slow.
_VIDEOS = ((70, 24.0), (71, 25.0), (95, 30.0), (90, 12.0), (64, 29.97))


def _bars(video: int, frame: int) -> np.ndarray:
  number = video << 8 | frame
  bits = [(number >> bit) & 1 for bit in range(_BITS)]
  row = np.repeat(bits, _SIDE // _BITS).astype(np.uint8) * 255
  return np.broadcast_to(row[None, :, None], (_SIDE, _SIDE, 3))


def _numbers(video_THWC: np.ndarray) -> list[tuple[int, int]]:
  """The video and the frame that each frame shows."""
  columns = ((np.arange(_BITS) + 0.5) * video_THWC.shape[2] / _BITS).astype(int)
  bits = video_THWC[:, :, columns, 1].astype(float).mean(1) > 127
  found = (bits << np.arange(_BITS)).sum(1)
  return [(int(n) >> 8, int(n) & 255) for n in found]


@pytest.fixture(scope='module', name='videos')
def _videos(tmp_path_factory):
  folder = tmp_path_factory.mktemp('videos')
  for index, (count, rate) in enumerate(_VIDEOS):
    frames = np.stack([_bars(index, frame) for frame in range(count)])
    seconds = count / rate
    media_files.write(
      folder / f'{index}.mp4',
      frames,
      rate,
      # As loud as no other, so that sounds tell their videos, too.
      samples_CT=media_files.tone(seconds, 48_000, 300 + 200 * index)[None],
    )
  (folder / 'captions.txt').write_text('a\nb\nc\nd\ne\n')
  return folder


@pytest.fixture(scope='module', name='made')
def _made(videos, tmp_path_factory):
  """Makes data sets by flags of `prepare`, each once."""
  known = {}

  def make(flags: str) -> str:
    if flags not in known:
      out = tmp_path_factory.mktemp('set') / 'set'
      given = ['--input', videos, '--output', out, *flags.split()]
      assert prepare.main([str(flag) for flag in given]) == 0
      known[flags] = str(out)
    return known[flags]

  return make


def _shipped() -> list[str]:
  return [
    file
    for file in paths.gin_files()
    if file.startswith('gin/protocols/') and not file.endswith('_sampling.gin')
  ]


def _small(task: protocol_lib.EvaluationTask) -> str:
  """The layout of a task; that of a reconstruction at a size made quickly."""
  if not task.is_reconstruction:
    return task.layout
  frames, _, _ = protocol_lib.clip_size(task.layout)
  return f'reconstruction/{frames}x48x48'


def _protocol(file: str) -> protocol_lib.Protocol:
  """A shipped protocol, of as many samples as there are videos."""
  config.parse([file])
  found = config.call(protocol_lib.Protocol)
  count = len(_VIDEOS)
  tasks = [
    dataclasses.replace(
      task,
      samples=count,
      real_samples=count if task.real_samples else 0,
      subsets={},
      per_condition=1,
      layout=_small(task),
    )
    for task in found.tasks
  ]
  return dataclasses.replace(found, tasks=tuple(tasks))


def _folders(protocol, videos, folder) -> dict[str, str]:
  """Folders of all sets: `folder`, or captions for what is no real side."""
  found = {}
  for task in protocol.tasks:
    found.setdefault(task.data, str(videos / 'captions.txt'))
    if task.real_cut:
      found[task.real_name] = folder
  return found


@dataclasses.dataclass(frozen=True)
class _Eyes:
  """A feature network that keeps what it is shown."""

  takes: str = 'video'
  name: str = 'eyes'
  width: int = 2
  stand_in: bool = False
  fingerprint: str = 'e'
  seen: list = dataclasses.field(default_factory=list)

  def __call__(self, signal):
    self.seen.extend(np.asarray(signal))
    return np.zeros((len(signal), self.width), np.float32)


def _shown(count: int, rate: float, wanted: float | None) -> list[int]:
  """Numbers of the frames that a player shows at a constant rate."""
  if wanted is None:
    return list(range(count))
  total = math.ceil(count / rate * wanted - 1e-3)
  return [min(count - 1, int(k / wanted * rate + 1e-3)) for k in range(total)]


@pytest.mark.usefixtures('clean_registries')
@pytest.mark.parametrize('file', _shipped())
def test_real_sides_are_what_protocols_name(file, videos, made, tmp_path):
  protocol = _protocol(file)
  for task in protocol.tasks:
    if task.cut is None:
      # Nothing of these is compared with clips of videos.
      assert set(task.metrics) <= {'right', 'clipsim', 'is'}
      continue
    folders = _folders(protocol, videos, made(task.cut.flags))
    opened = evaluate_lib.open_sets(protocol, folders)
    source = opened.get((task.real_name, task.real_part))
    hears = 'fad' in task.metrics
    eyes = _Eyes('audio' if hears else 'video')
    metric = distances.Frechet('fad' if hears else 'fvd', eyes)
    reference_stats.RealSide(
      protocol,
      task,
      [metric],
      source or opened[task.data, task.split],
      tmp_path / task.name,
      sample_store.Journal(tmp_path),
      batch_size=2,
      log=lambda line: None,
    ).measure(runner.Hosts())
    assert len(eyes.seen) == len(_VIDEOS)
    if hears:
      pitches = {
        int(np.argmax(np.abs(np.fft.rfft(sound))) / len(sound) * 16_000 + 0.5)
        for sound in eyes.seen
      }
      assert len(pitches) == len(_VIDEOS)
      continue
    met = set()
    for clip in eyes.seen:
      found = _numbers(clip)
      ((number,),) = ({video for video, _ in found},)
      met.add(number)
      count, rate = _VIDEOS[number]
      shown = _shown(count, rate, task.cut.frame_rate)
      wanted = task.cut.num_frames
      firsts = {
        'central': [(len(shown) - wanted) // 2],
        'first': [0],
        'consecutive': range(0, len(shown) - wanted + 1, wanted),
      }[task.cut.cut]
      measured = task.frames or wanted
      assert [frame for _, frame in found] in [
        shown[first : first + wanted][:measured] for first in firsts
      ]
      assert len(found) == (17 if task.is_reconstruction else 16)
    if task.cut.cut != 'consecutive':  # Where some videos have several.
      assert met == set(range(len(_VIDEOS)))


_OTHERWISE = (
  '--cut consecutive',
  '--cut first',
  '--frame_rate 25',
  '--frames 9',
  '--height 64',
)


@pytest.mark.usefixtures('clean_registries')
@pytest.mark.parametrize('file', _shipped())
def test_sets_that_were_cut_otherwise_are_refused(file, videos, made):
  protocol = _protocol(file)
  for task in protocol.tasks:
    if task.cut is None:
      continue
    for changed in _OTHERWISE:
      if changed in task.cut.flags:
        continue
      flags = f'{task.cut.flags} {changed}'  # The later flag wins.
      folders = _folders(protocol, videos, made(flags))
      with pytest.raises(errors.DataError) as caught:
        evaluate_lib.open_sets(protocol, folders)
      message = str(caught.value)
      assert '\n' not in message and task.real_name in message
      assert (
        f'videopoet prepare --input VIDEOS --output DIR {task.cut.flags}'
        in (message)
      )


@pytest.mark.usefixtures('clean_registries')
def test_sets_that_do_not_say_and_drawn_ones_are_refused(videos, tmp_path):
  shapes = shapes_config.ShapesConfig(
    frames=5, height=16, width=16, sampling_rate=1600
  )
  silent = builder.build(
    str(tmp_path / 'set'),
    builder.ShapesBuilderConfig(
      name='tiny', shapes=shapes, train=6, validation=0, test_held_out=0,
      processes=1,
    ),
  )  # fmt: skip
  protocol = _protocol('gin/protocols/msr_vtt.gin')
  with pytest.raises(errors.DataError, match='does not say how'):
    evaluate_lib.open_sets(protocol, _folders(protocol, videos, str(silent)))
  (task,) = protocol.tasks
  with pytest.raises(errors.ConfigError, match='is not cut out of videos'):
    cut.check(protocol, task, eval_datasets.ShapesSet('train'))


def test_conditions_of_another_rate_are_refused(made):
  space = tasks_lib.LayoutSpace()
  folder = made(
    '--cut central --frames 16 --frame_rate native --height 256 --width 256'
  )
  source = eval_datasets.open_set('mine', 'all', {'mine': folder})
  task = protocol_lib.EvaluationTask(
    name='one', layout='a/1x1x1', metrics=('fvd',), data='mine', samples=1
  )
  cut.check_rate(task, ['text'], source, space)
  with pytest.raises(errors.DataError, match='--frame_rate 8'):
    cut.check_rate(task, ['text', 'video_tokens'], source, space)
