"""A condition of generation is what training saw of the same file.

For files of every kind, what `generate` reads equals, pixel for pixel and
sample for sample, what `prepare` stores as the file's first clip.
"""

import pathlib

import numpy as np
from PIL import Image
import pytest

from tests.media import media_files
from videopoet_jax.core import errors
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.data import records
from videopoet_jax.inference import signals
from videopoet_jax.preparation import clips

_SIZE = (48, 32)  # portrait, so that turning a picture shows.
_SIDES = 'x'.join(map(str, _SIZE))
_CLIP_SAMPLES = 34_000
_SECONDS = 2.6  # of the files: a clip and a rest.


def _read(path: pathlib.Path, flag: str) -> np.ndarray:
  """What `generate --FLAG PATH` conditions on."""
  task = {'video': 'inpainting', 'image': 'image_to_video/17x48x32/text=0'}
  space = tasks_lib.LayoutSpace()
  name = task.get(flag, 'audio_to_video')
  layout = space.layout(name if '/' in name else f'{name}/17x{_SIDES}')
  return signals.read(layout, space, **{flag: str(path)})[flag][0]


def _stored(files: list[pathlib.Path], folder, **options) -> dict:
  """The first clip of each file, as `prepare` stores it."""
  height, width = _SIZE
  summary = clips.prepare(
    inputs=files,
    output=folder,
    height=height,
    width=width,
    validation_share=0,
    strict=True,
    **options,
  )
  assert not summary.skipped
  found = records.open_records(str(folder))
  names = ['source', 'clip_id', 'video', 'audio', 'has_audio']
  size = found.size('train')
  examples = found.examples('train', names, 0, size).as_numpy_iterator()
  return {
    example['source'].decode(): example
    for example in examples
    if example['clip_id'].decode().endswith('#00000')
  }


def _pattern(height: int, width: int, seed: int = 0) -> np.ndarray:
  """Colours in blocks, no side like another, uint8 (height, width, 3)."""
  blocks = np.random.default_rng(seed).integers(0, 256, (4, 3, 3), np.uint8)
  rows = np.arange(height) * 4 // height
  columns = np.arange(width) * 3 // width
  return np.ascontiguousarray(blocks[rows][:, columns])


def _film(rate: float, height: int = 64, width: int = 80) -> np.ndarray:
  return np.stack(
    [_pattern(height, width, seed) for seed in range(round(_SECONDS * rate))]
  )


def _chirp(rate: int, channels: int, seconds: float = _SECONDS) -> np.ndarray:
  """Sound that is nowhere like it was before, int16 (channels, samples)."""
  times = np.arange(round(seconds * rate)) / rate
  rows = [
    9_000 * np.sin(2 * np.pi * (200 + 70 * k + 90 * times) * times)
    for k in range(channels)
  ]
  return np.round(rows).astype(np.int16)


def _write_videos(folder: pathlib.Path) -> list[pathlib.Path]:
  def write(name, rate=24.0, **options):
    return media_files.write(folder / name, _film(rate), rate, **options)

  one = _chirp(48_000, 1)
  late = _chirp(48_000, 1, 1.1)
  stereo = {
    'samples_CT': _chirp(44_100, 2),
    'sampling_rate': 44_100,
    'audio_layout': 'stereo',
  }
  early = np.arange(round(_SECONDS * 24)) / 24 + 0.7
  return [
    write('late.mp4', samples_CT=late, sound_start=1.5),
    write('late.mkv', samples_CT=late, sound_start=1.5),
    write('early.mkv', samples_CT=_chirp(48_000, 1, 3.3), times=early),
    write('short.mp4', samples_CT=_chirp(48_000, 1, 1.0)),
    write('stereo.mp4', **stereo),
    write('mp3.mp4', audio_codec='libmp3lame', **stereo),
    write('pcm.avi', audio_codec='pcm_s16le', **stereo),
    write('six.mp4', samples_CT=_chirp(48_000, 6), audio_layout='5.1'),
    write('low.mp4', samples_CT=_chirp(8_000, 1), sampling_rate=8_000),
    write('ntsc.mp4', 30_000 / 1001, samples_CT=one),
    write('film.mp4', 24_000 / 1001, samples_CT=one),
    write('slow.mp4', 7.3, samples_CT=one),
    write('silent.mp4', 25.0),
    *(
      media_files.turn(write(f'turned_{n}.mp4', samples_CT=one), n)
      for n in (1, 2, 3)
    ),
  ]


@pytest.fixture(scope='module', name='videos')
def _videos(tmp_path_factory):
  folder = tmp_path_factory.mktemp('videos')
  files = _write_videos(folder)
  return files, _stored(files, folder / 'set')


def test_videos(videos):
  files, stored = videos
  assert len(files) == len(stored)
  for path in files:
    np.testing.assert_array_equal(
      _read(path, 'video'), stored[path.name]['video'], str(path)
    )


def test_sound_of_videos(videos):
  files, stored = videos
  heard = {}
  for path in files:
    if not stored[path.name]['has_audio']:
      assert path.name == 'silent.mp4'
      continue
    found = _read(path, 'audio')
    assert _CLIP_SAMPLES - 320 < len(found) <= _CLIP_SAMPLES
    np.testing.assert_array_equal(
      found, stored[path.name]['audio'][: len(found)], str(path)
    )
    heard[path.name] = np.flatnonzero(np.abs(found.astype(int)) > 500)
  # What is equal is also right: the sound begins and ends where it should.
  for name in ('late.mp4', 'late.mkv'):
    assert heard[name][0] / 16_000 == pytest.approx(1.5, abs=0.03)
  assert heard['short.mp4'][-1] / 16_000 == pytest.approx(1.0, abs=0.06)
  assert heard['stereo.mp4'][0] < 160


@pytest.mark.parametrize(
  'name, codec',
  [('a.wav', 'pcm_s16le'), ('a.flac', 'flac'), ('a.mp3', 'libmp3lame')]
  + [('a.m4a', 'aac'), ('a.aac', 'aac')],
)
def test_sound_alone_is_the_sound_of_its_video(tmp_path, name, codec):
  import av

  samples = _chirp(44_100, 2)
  rate = 44_100
  alone = tmp_path / name
  with av.open(str(alone), 'w') as container:
    stream = container.add_stream(codec, rate=rate, layout='stereo')
    block = av.AudioFrame.from_ndarray(
      np.ascontiguousarray(samples.T.reshape(1, -1)), 's16', 'stereo'
    )
    block.sample_rate = rate
    container.mux(stream.encode(block))
    container.mux(stream.encode(None))
  found = _read(alone, 'audio')
  film = media_files.write(
    tmp_path / 'film.mkv',
    _film(24.0),
    24.0,
    samples_CT=samples,
    sampling_rate=rate,
    audio_layout='stereo',
    audio_codec='pcm_s16le',
  )
  expected = _read(film, 'audio').astype(float)
  if codec in ('pcm_s16le', 'flac'):
    np.testing.assert_allclose(found, expected, atol=1)
    return
  # A lossy codec may delay it by what its container does not tell.
  delays = range(-1600, 1601, 4)
  scores = [
    np.corrcoef(np.roll(found, -delay)[2000:-2000], expected[2000:-2000])[0, 1]
    for delay in delays
  ]
  assert max(scores) > 0.95


def _turned_pictures(folder: pathlib.Path) -> list[pathlib.Path]:
  upright = Image.fromarray(_pattern(90, 60))
  # What a camera stores for each orientation is the inverse of how it is shown.
  stored = {
    1: upright,
    2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: upright.transpose(Image.Transpose.ROTATE_180),
    4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: upright.transpose(Image.Transpose.TRANSPOSE),
    6: upright.transpose(Image.Transpose.ROTATE_90),
    7: upright.transpose(Image.Transpose.TRANSVERSE),
    8: upright.transpose(Image.Transpose.ROTATE_270),
  }
  files = []
  for orientation, picture in stored.items():
    exif = Image.Exif()
    exif[274] = orientation
    for suffix in ('png', 'jpg', 'webp', 'tif'):
      options = {'jpg': {'quality': 100, 'subsampling': 0}}.get(suffix, {})
      if suffix == 'webp':
        options = {'lossless': True}
      path = folder / f'turned_{orientation}.{suffix}'
      picture.save(path, exif=exif, **options)
      files.append(path)
  return files


def _other_pictures(folder: pathlib.Path) -> list[pathlib.Path]:
  colours = Image.fromarray(_pattern(70, 101))
  grey = colours.convert('L')
  deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
  clear = colours.convert('RGBA')
  alpha = np.tile(np.linspace(0, 255, 101).astype(np.uint8), (70, 1))
  clear.putalpha(Image.fromarray(alpha))
  palette = colours.quantize(8)
  saved = {
    'grey.png': (grey, {}),
    'deep.png': (deep, {}),
    'deep.tif': (deep, {}),
    'clear_grey.png': (clear.convert('LA'), {}),
    'colours.png': (colours, {}),
    'colours.bmp': (colours, {}),
    'colours.jpg': (colours, {}),
    'clear.png': (clear, {}),
    'clear.webp': (clear, {'lossless': True}),
    'palette.png': (palette, {}),
    'palette_clear.png': (palette, {'transparency': 0}),
    'key_colour.png': (colours, {'transparency': colours.getpixel((0, 0))}),
    'bits.png': (grey.convert('1'), {}),
    'print.jpg': (colours.convert('CMYK'), {}),
    'wide.png': (Image.fromarray(_pattern(20, 900)), {}),
    'point.png': (Image.fromarray(_pattern(1, 1)), {}),
    'large.png': (Image.fromarray(_pattern(3001, 2003)), {}),
  }
  for name, (picture, options) in saved.items():
    picture.save(folder / name, **options)
  frames = [Image.fromarray(_pattern(50, 50, seed)) for seed in range(5)]
  for name in ('moving.gif', 'moving.webp', 'moving.png'):
    frames[0].save(
      folder / name,
      save_all=True,
      append_images=frames[1:],
      duration=200,
      **({'lossless': True} if name.endswith('webp') else {}),
    )
  names = [*saved, 'moving.gif', 'moving.webp', 'moving.png']
  return [folder / name for name in names]


@pytest.fixture(scope='module', name='pictures')
def _pictures(tmp_path_factory):
  folder = tmp_path_factory.mktemp('pictures')
  files = [*_turned_pictures(folder), *_other_pictures(folder)]
  return files, _stored(files, folder / 'set', num_frames=1)


def test_pictures(pictures):
  files, stored = pictures
  assert len(files) == len(stored)
  for path in files:
    found = _read(path, 'image')
    assert found.shape == (*_SIZE, 3)
    np.testing.assert_array_equal(
      found, stored[path.name]['video'][0], str(path)
    )


def test_all_orientations_look_alike(pictures):
  files, _ = pictures
  for suffix in ('png', 'jpg', 'webp', 'tif'):
    turned = [
      _read(path, 'image').astype(int)
      for path in files
      if path.name.startswith('turned_') and path.name.endswith(suffix)
    ]
    assert len(turned) == 8
    # The blocks of JPEG lie elsewhere in a picture that was turned.
    bound = 6 if suffix == 'jpg' else 0
    for picture in turned:
      assert np.abs(picture - turned[0]).max() <= bound


def test_a_moving_picture_is_a_video_too(pictures, tmp_path):
  files, _ = pictures
  moving = [path for path in files if path.name.startswith('moving')]
  stored = _stored(moving, tmp_path / 'set', num_frames=5)
  for path in moving:
    # 5 frames of 0.2 s at 8 a second: the third is shown from 0.4 s on.
    video = stored[path.name]['video']
    np.testing.assert_array_equal(video[0], _read(path, 'image'))
    assert (video[0] == video[1]).all() and (video[1] != video[2]).any()


def test_prepare_of_a_silent_file_has_no_sound_to_give(videos):
  files, _ = videos
  (silent,) = [path for path in files if path.name == 'silent.mp4']
  with pytest.raises(errors.DataError, match='no audio track'):
    _read(silent, 'audio')
