"""Files of pictures, clips and sounds hold what was written."""

import wave

import numpy as np
from PIL import Image
import pytest

from videopoet_jax.core import errors
from videopoet_jax.media import files
from videopoet_jax.media import sound
from videopoet_jax.media import video as video_lib


def _clip(frames=3, height=32, width=32):
  levels = np.arange(40, 40 + 60 * frames, 60, dtype=np.uint8)
  shape = (frames, height, width, 3)
  return np.broadcast_to(levels[:, None, None, None], shape).copy()


def test_a_wav_holds_every_sample(tmp_path):
  samples = np.array([0, 1, -1, 32767, -32768], np.int16)
  files.write_wav(tmp_path / 'a.wav', samples, 8000)
  with wave.open(str(tmp_path / 'a.wav')) as file:
    assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
    assert file.getframerate() == 8000
    found = np.frombuffer(file.readframes(99), '<i2')
  np.testing.assert_array_equal(found, samples)


@pytest.mark.parametrize(
  ('height', 'width', 'shortest', 'scale'),
  [(16, 32, 128, 8), (16, 32, 20, 2), (64, 64, 64, 1), (5, 6, 13, 4),
   (6, 8, 17, 3)],
)  # fmt: skip
def test_small_pictures_are_enlarged_by_repeating(
  tmp_path, height, width, shortest, scale
):
  # Sides become even: what is odd is enlarged by an even factor.
  picture = np.random.default_rng(0).integers(
    0, 256, (height, width, 3), np.uint8
  )
  files.write_picture(tmp_path / 'a.png', picture, shortest)
  with Image.open(tmp_path / 'a.png') as found:
    pixels = np.asarray(found)
  wanted = picture.repeat(scale, axis=0).repeat(scale, axis=1)
  np.testing.assert_array_equal(pixels, wanted)


def test_a_gif_has_every_frame_and_its_time(tmp_path):
  files.write_gif(tmp_path / 'a.gif', _clip(), 8.0, shortest=32)
  with Image.open(tmp_path / 'a.gif') as found:
    assert found.n_frames == 3 and found.size == (32, 32)
    assert found.info['loop'] == 0
    shown = []
    for number in range(3):
      found.seek(number)
      shown.append(np.asarray(found.convert('RGB'))[0, 0, 0])
      assert found.info['duration'] == 120  # In hundredths: 125 is cut.
  np.testing.assert_allclose(shown, [40, 100, 160], atol=2)


def test_an_mp4_has_frames_rate_and_sound(tmp_path):
  path = tmp_path / 'a.mp4'
  tone = (9000 * np.sin(np.arange(16_000) * 0.2)).astype(np.int16)
  files.write_mp4(path, _clip(), 4.0, tone, 16_000, shortest=32)
  found = video_lib.first_frames(path, 3, 4.0, 32, 32)
  np.testing.assert_allclose(found.mean((1, 2, 3)), [40, 100, 160], atol=4)
  heard = sound.read(path, 16_000)
  assert abs(len(heard) - 16_000) < 3000
  assert 5000 < np.abs(heard[3000:9000].astype(int)).max() < 12_000
  files.write_mp4(tmp_path / 'b.mp4', _clip(), 4.0, shortest=32)
  assert sound.read(tmp_path / 'b.mp4', 16_000) is None


def test_an_mp4_is_written_from_pieces_as_they_come(tmp_path):
  video = _clip(4)
  files.write_mp4(tmp_path / 'a.mp4', video, 4.0)
  files.write_mp4(tmp_path / 'b.mp4', iter(video), 4.0)
  files.write_mp4(
    tmp_path / 'c.mp4', (part for part in (video[:1], video[1:])), 4.0
  )
  whole, *others = [(tmp_path / f'{name}.mp4').read_bytes() for name in 'abc']
  assert others == [whole, whole]
  for nothing in (video[:0], iter(())):
    with pytest.raises(errors.DataError, match='no frame'):
      files.write_mp4(tmp_path / 'd.mp4', nothing, 4.0)


def _sheet(tmp_path, video, **options):
  path = tmp_path / 'sheet.png'
  files.write_contact_sheet(path, video, shortest=8, **options)
  with Image.open(path) as picture:
    return np.asarray(picture.convert('RGB'))


def test_a_contact_sheet_has_a_row_a_clip(tmp_path):
  video = np.zeros((2, 3, 8, 8, 3), np.uint8)
  video += np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1, 1) * 40
  pixels = _sheet(tmp_path, video)
  assert pixels.shape == (20, 30, 3)
  middles = pixels[5::10, 5::10, 0]
  np.testing.assert_array_equal(middles, [[0, 40, 80], [120, 160, 200]])
  assert (pixels[0] == 255).all() and (pixels[:, 9:11] == 255).all()


def test_so_many_clips_and_no_more(tmp_path):
  video = np.zeros((3, 2, 8, 8, 3), np.uint8)
  assert _sheet(tmp_path, video, most=2).shape == (20, 20, 3)


@pytest.mark.parametrize(
  ('frames', 'widest', 'rows', 'columns'),
  [(4, 40, 1, 4), (5, 40, 2, 3), (5, 20, 3, 2), (5, 1, 3, 2), (7, 30, 3, 3)],
)
def test_long_clips_go_on_below(tmp_path, frames, widest, rows, columns):
  video = np.zeros((1, frames, 8, 8, 3), np.uint8)
  pixels = _sheet(tmp_path, video, widest=widest)
  assert pixels.shape == (10 * rows, 10 * columns, 3)
  # What is left over is white.
  dark = (pixels[5::10, 5::10, 0] == 0).ravel()
  assert dark.tolist() == [n < frames for n in range(rows * columns)]


def test_folders_are_made_and_tried(tmp_path):
  files.check_folder(tmp_path / 'a' / 'b')
  assert list((tmp_path / 'a' / 'b').iterdir()) == []
  blocked = tmp_path / 'file'
  blocked.touch()
  with pytest.raises(errors.DataError, match='cannot write .*give an --out'):
    files.check_folder(blocked / 'b')
  with pytest.raises(errors.DataError, match='cannot write'):
    files.write_wav(blocked / 'a.wav', np.zeros(1, np.int16), 8000)
