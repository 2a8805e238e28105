"""Tests of pictures: depth, transparency, size, and damaged files."""

import io

import av
import numpy as np
from PIL import Image
import pytest

from videopoet_jax.core import errors
from videopoet_jax.media import fitting
from videopoet_jax.media import pictures


def _encode(path, array, pixel_format):
  """Writes a PNG of 16 bits, which Pillow cannot in colour."""
  with av.open(str(path), 'w', format='image2') as container:
    stream = container.add_stream('png', rate=1)
    stream.height, stream.width = array.shape[:2]
    stream.pix_fmt = pixel_format
    frame = av.VideoFrame.from_ndarray(array, format=pixel_format)
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
  return path


_GREYS = np.arange(256, dtype=np.uint16).reshape(16, 16)


@pytest.mark.parametrize('pixel_format', ['gray16be', 'rgb48be', 'rgba64be'])
def test_sixteen_bits_are_scaled_to_eight(tmp_path, pixel_format):
  deep = _GREYS * 257
  if pixel_format != 'gray16be':
    opaque = np.full_like(deep, 65535)
    channels = [deep] * 3 + [opaque] * (pixel_format == 'rgba64be')
    deep = np.stack(channels, -1)
  try:
    path = _encode(tmp_path / 'deep.png', deep, pixel_format)
  except (ValueError, av.error.FFmpegError):
    pytest.skip(f'this PyAV makes no frames of {pixel_format}')
  found = pictures.read(path, 16, 16)
  np.testing.assert_array_equal(found, np.stack([_GREYS] * 3, -1))


@pytest.mark.parametrize('name', ['a.png', 'a.tif', 'a.pgm'])
def test_sixteen_bits_of_grey_in_other_files(tmp_path, name):
  deep = Image.fromarray(_GREYS * 257)
  deep.save(tmp_path / name)
  found = pictures.read(tmp_path / name, 16, 16)
  np.testing.assert_array_equal(found[..., 1], _GREYS)


def test_numbers_without_a_known_white_are_refused(tmp_path):
  path = tmp_path / 'a.tif'
  Image.fromarray(_GREYS.astype(np.float32)).save(path)
  with pytest.raises(errors.DataError, match='convert it to 8 or 16 bits'):
    pictures.read(path, 16, 16)


@pytest.mark.parametrize('mode', ['RGBA', 'LA', 'P', 'RGB', 'L', '1', 'I;16'])
def test_what_is_transparent_shows_the_background(tmp_path, mode):
  path = tmp_path / 'a.png'
  black = Image.new('RGBA', (8, 8), (0, 0, 0, 0))
  if mode in ('RGBA', 'LA'):
    black.convert(mode).save(path)
  elif mode == 'I;16':
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(path, transparency=0)
  else:
    hidden = (0, 0, 0) if mode == 'RGB' else 0
    Image.new(mode, (8, 8), hidden).save(path, transparency=hidden)
  found = pictures.read(path, 8, 8)
  assert (found == fitting.BACKGROUND).all()


def test_half_transparent_is_half_way():
  pixels = np.array([[[0, 100, 255, 128]]], np.uint8)
  assert fitting.compose(pixels).tolist() == [[[127, 177, 255]]]


def test_size_is_reached_by_covering_and_cropping(tmp_path):
  # Thirds of a wide picture; a square shows the middle one.
  wide = np.zeros((20, 60, 3), np.uint8)
  for third in range(3):
    wide[:, 20 * third : 20 * (third + 1), third] = 255
  Image.fromarray(wide).save(tmp_path / 'a.png')
  found = pictures.read(tmp_path / 'a.png', 10, 10)
  assert found[:, 1:-1].reshape(-1, 3).mean(0) == pytest.approx(
    [0, 255, 0], abs=2
  )


def test_a_large_png_is_refused_in_one_line(tmp_path):
  path = tmp_path / 'large.png'
  Image.new('1', (16_000, 16_000)).save(path)
  with pytest.raises(errors.DataError) as caught:
    pictures.read(path, 32, 32)
  message = str(caught.value)
  assert '\n' not in message
  for part in ('large.png', '16,000 x 16,000', '100,000,000', 'scale it down'):
    assert part in message


def test_a_large_jpeg_is_read_at_a_fraction(tmp_path, monkeypatch):
  half = np.zeros((64, 64, 3), np.uint8)
  half[:32] = 200
  Image.fromarray(half).resize((512, 512)).save(tmp_path / 'a.jpg')
  whole = pictures.read(tmp_path / 'a.jpg', 32, 32).astype(int)
  monkeypatch.setattr(fitting, 'MOST_PIXELS', 20_000)
  found = pictures.read(tmp_path / 'a.jpg', 32, 32)
  assert np.abs(found - whole).mean() < 2


def test_a_strip_is_refused_before_it_fills_the_memory(tmp_path):
  path = tmp_path / 'strip.png'
  Image.new('L', (60_000, 1)).save(path)
  with pytest.raises(errors.DataError, match='strip.png.*crop it first'):
    pictures.read(path, 128, 128)


def test_limits_of_pillow_are_left_as_they_were(tmp_path):
  before = Image.MAX_IMAGE_PIXELS
  Image.new('1', (9, 9)).save(tmp_path / 'a.png')
  pictures.read(tmp_path / 'a.png', 8, 8)
  assert before is not None and before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
  'name', ['PNG', 'JPEG', 'GIF', 'WEBP', 'BMP', 'TIFF', 'PPM', 'AVIF']
)
def test_damaged_pictures_are_one_line_or_a_picture(tmp_path, name):
  generator = np.random.default_rng(0)
  picture = Image.fromarray(generator.integers(0, 256, (40, 40, 3), np.uint8))
  exif = Image.Exif()
  exif[274] = 6
  buffer = io.BytesIO()
  try:
    picture.save(buffer, name, exif=exif)
  except (KeyError, OSError):
    pytest.skip(f'this Pillow writes no {name}')
  whole = np.frombuffer(buffer.getvalue(), np.uint8)
  path = tmp_path / 'damaged'
  refused = 0
  for trial in range(150):
    data = whole.copy()
    places = generator.integers(0, len(data), 1 + trial % 4)
    data[places] = generator.integers(0, 256, len(places))
    if trial % 2:
      data = data[: generator.integers(0, len(data))]
    path.write_bytes(data.tobytes())
    try:
      assert pictures.read(path, 16, 16).shape == (16, 16, 3)
    except errors.DataError as error:
      refused += 1
      assert str(path) in str(error) and '\n' not in str(error)
  assert refused > 20


@pytest.mark.parametrize('content', [b'', b'some words\n', b'\x89PNG\r\n'])
def test_what_is_no_picture_is_named(tmp_path, content):
  path = tmp_path / 'a.png'
  path.write_bytes(content)
  with pytest.raises(errors.DataError, match=r'a\.png is not a picture'):
    pictures.read(path, 8, 8)


def test_missing_pictures_and_folders_are_named(tmp_path):
  for path in (tmp_path / 'none.png', tmp_path):
    with pytest.raises(errors.DataError, match=str(path)):
      pictures.read(path, 8, 8)
