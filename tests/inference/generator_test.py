"""Generation from a checkpoint folder, by library and by command line."""

import json
import shutil

import av
import numpy as np
from PIL import Image
import pytest

from tests.inference import folder
from videopoet_jax.core import entry
from videopoet_jax.core import errors
from videopoet_jax.inference import chain
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.inference import long_video
from videopoet_jax.inference import sampling
from videopoet_jax.jobs import generate
from videopoet_jax.media import files as media
from videopoet_jax.media import sound as sound_lib


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
  path = tmp_path_factory.mktemp('checkpoint')
  folder.write(path)
  return path


@pytest.fixture(scope='module')
def generator(checkpoint):
  return generator_lib.Generator.load(checkpoint)


def _video(frames=17, seed=0):
  generator = np.random.default_rng(seed)
  return generator.integers(0, 256, (1, frames, 16, 16, 3), dtype=np.uint8)


def test_text_to_video_and_audio_gives_both(generator):
  video, sound = chain.text_to_video_and_audio(generator, ['a b', 'c'])
  assert video.shape == (2, 17, 16, 16, 3) and video.dtype == np.uint8
  assert sound.shape[0] == 2 and sound.dtype == np.int16
  assert sound.shape[1] % folder.AUDIO.hop == 0


def test_a_continuation_keeps_its_condition(generator):
  video = _video()
  made = generator.generate(
    f'future_prediction/{folder.SIZE}/condition=3', {'video': video[:, :9]}
  )
  ids = generator.tokenizers.visual.encode(video)
  assert made.ids['video_tokens'].shape == ids.shape == (1, 5, 2, 2)
  np.testing.assert_array_equal(made.ids['video_tokens'][:, :3], ids[:, :3])


def test_long_video_begins_with_what_was_given(generator):
  video = _video(9)
  longer = long_video.extend(generator, video, seconds=3.0).video_BTHWC
  assert longer.shape[1] == 24
  np.testing.assert_array_equal(longer[:, :9], video)


def test_layout_follows_from_the_conditions(generator):
  name = generator.choose_layout('image_to_video', {'image': 0, 'text': ''})
  assert name == f'image_to_video/{folder.SIZE}'
  name = generator.choose_layout('image_to_video', {'image': 0})
  assert name == f'image_to_video/{folder.SIZE}/text=0'
  with pytest.raises(errors.DataError, match='needs --text'):
    generator.choose_layout('text_to_video', {'image': 0})
  with pytest.raises(errors.DataError, match='needs --video;'):
    generator.choose_layout('inpainting', {'image': 0})
  with pytest.raises(errors.LayoutError, match="did you mean 'text_to_video'"):
    generator.choose_layout('text_to_vide', {})


def test_negative_text_changes_guided_samples(generator):
  name, given = f'text_to_video/{folder.SIZE}', {'text': ['abc']}
  config = sampling.SamplingConfig(guidance=4.0, top_k=5)
  plain, negative = (
    generator.generate(name, given, config=config, negative_text=text)
    for text in ('', 'xyz')
  )
  assert not np.array_equal(plain.tokens_BL, negative.tokens_BL)


def _run(*flags):
  return entry.run(generate.main, [str(flag) for flag in flags])


def test_command_line_writes_every_kind_of_file(checkpoint, tmp_path):
  picture = tmp_path / 'picture.png'
  Image.fromarray(_video()[0, 0]).resize((50, 30)).save(picture)
  out = tmp_path / 'out'
  status = _run(
    '--checkpoint', checkpoint, '--out', out, '--task', 'image_to_video',
    '--image', picture, '--num_samples', 2, '--seconds', 3,
  )  # fmt: skip
  assert status == 0
  record = json.loads((out / 'generation.json').read_text())
  assert record['files'] == [
    'sample_000.mp4',
    'sample_000.gif',
    'sample_001.mp4',
    'sample_001.gif',
    'contact_sheet.png',
  ]
  with av.open(str(out / 'sample_001.mp4')) as container:
    assert sum(1 for _ in container.decode(video=0)) == 24
  made = tmp_path / 'sound'
  status = _run(
    '--checkpoint', checkpoint, '--out', made, '--task', 'video_to_audio',
    '--video', out / 'sample_000.mp4',
  )  # fmt: skip
  assert status == 0
  sound = sound_lib.read_start(made / 'sample_000.wav', 16_000, 16_000)
  assert sound.dtype == np.int16


@pytest.mark.parametrize(
  'name, content, message',
  [
    ('notes.mp4', b'not a video at all', 'is not a video'),
    ('empty.mp4', b'', 'is empty'),
    ('absent.mp4', None, 'absent.mp4'),
  ],
)
def test_bad_videos_are_named(
  checkpoint, tmp_path, capsys, name, content, message
):
  if content is not None:
    (tmp_path / name).write_bytes(content)
  status = _run(
    '--checkpoint', checkpoint, '--out', tmp_path / 'out',
    '--task', 'inpainting', '--video', tmp_path / name,
  )  # fmt: skip
  said = capsys.readouterr().err
  assert status == 2 and message in said and said.count('\n') == 1


@pytest.mark.parametrize(
  'flags, message',
  [
    (['--task', 'text_to_video', '--text', 'a', '--audio', 'x'], 'no --audio'),
    (['--task', 'text_to_video', '--text', 'a', '--seconds', '-1'], 'above 0'),
    (['--task', 'text_to_vide', '--text', 'a'], "mean 'text_to_video'"),
    (['--task', 'video_to_audio', '--seconds', '3'], 'needs --video'),
    (
      ['--task', 'text_to_video', '--text', 'a', '--out', 'f/o'],
      'cannot write',
    ),
  ],
)
def test_what_cannot_be_is_said_before_anything_is_sampled(
  checkpoint, tmp_path, capsys, monkeypatch, flags, message
):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'f').write_text('')

  def never(*args, **options):
    raise AssertionError('sampled')

  monkeypatch.setattr(generator_lib.Generator, 'generate', never)
  assert _run('--checkpoint', checkpoint, '--out', 'out', *flags) == 2
  said = capsys.readouterr().err
  assert message in said and said.count('\n') == 1


def test_several_prompts_in_batches(checkpoint, tmp_path):
  pictures = []
  for size in (2, 6):
    out = tmp_path / str(size)
    status = _run(
      '--checkpoint', checkpoint, '--out', out, '--task', 'text_to_video',
      '--text', 'ab', '--text', 'cd', '--num_samples', 3, '--batch_size', size,
    )  # fmt: skip
    assert status == 0
    record = json.loads((out / 'generation.json').read_text())
    assert record['conditions'] == {'text': ['ab', 'cd']}
    assert record['files'].count('sample_005.gif') == 1
    pictures.append(
      [(out / f'sample_{i:03d}.gif').read_bytes() for i in range(6)]
    )
  assert pictures[0] == pictures[1] and len(set(pictures[0])) == 6


def test_a_picture_is_what_was_sampled(tmp_path):
  picture = np.repeat(np.repeat(_video(1)[0, 0, :4, :4], 4, 0), 4, 1)
  media.write_picture(tmp_path / 'a.png', picture)
  assert Image.open(tmp_path / 'a.png').size == (128, 128)
  np.testing.assert_array_equal(
    np.asarray(Image.open(tmp_path / 'a.png'))[::8, ::8], picture
  )


def test_silent_and_unreadable_sound_files_are_named(tmp_path):
  silent = tmp_path / 'silent.mp4'
  media.write_mp4(silent, _video()[0], 8.0)
  with pytest.raises(errors.DataError, match='no audio track'):
    sound_lib.read_start(silent, 16_000, 100)
  with pytest.raises(errors.DataError, match='none.wav: cannot be read: No'):
    sound_lib.read_start(tmp_path / 'none.wav', 16_000, 100)
  whole = tmp_path / 'whole.flac'
  with av.open(str(whole), 'w') as container:
    stream = container.add_stream('flac', rate=16_000, layout='mono')
    block = av.AudioFrame.from_ndarray(
      np.zeros((1, 16_000), np.int16), 's16', 'mono'
    )
    block.sample_rate = 16_000
    container.mux(stream.encode(block))
    container.mux(stream.encode())
  for kept in (4, 44):
    cut = tmp_path / f'cut{kept}.flac'
    cut.write_bytes(whole.read_bytes()[:kept])
    with pytest.raises(errors.DataError, match='not a sound file'):
      sound_lib.read_start(cut, 16_000, 100)


def test_bad_checkpoints_and_folders_are_named(checkpoint, tmp_path):
  empty = tmp_path / 'empty'
  empty.mkdir()
  with pytest.raises(errors.CheckpointError, match='empty'):
    generator_lib.Generator.load(empty)
  half = tmp_path / 'half'
  half.mkdir()
  shutil.copy(checkpoint / 'checkpoint.json', half)
  with pytest.raises(errors.CheckpointError, match='no finished step'):
    generator_lib.Generator.load(half)
  with pytest.raises(errors.CheckpointError, match='visual_tokenizer'):
    generator_lib.Generator.load(checkpoint / 'visual_tokenizer')
  other = tmp_path / 'other'
  shutil.copytree(checkpoint, other)
  described = json.loads((other / 'checkpoint.json').read_text())
  described['fingerprints']['visual'] = 'f' * 16
  (other / 'checkpoint.json').write_text(json.dumps(described))
  with pytest.raises(errors.CheckpointError, match='fingerprint'):
    generator_lib.Generator.load(other)
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.DataError, match='cannot write'):
    media.write_gif(tmp_path / 'file' / 'a.gif', _video()[0], 8.0)
