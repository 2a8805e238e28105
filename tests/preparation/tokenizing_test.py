"""`videopoet tokenize`: clips to tokens that say whose they are."""

import dataclasses
import json
import re

import chex
from flax import linen as nn
import jax
import numpy as np
import pytest

from tests.preparation import data_files
from tests.training import processes
from videopoet_jax.core import entry
from videopoet_jax.core import errors
from videopoet_jax.data import records
from videopoet_jax.data import tokens
from videopoet_jax.jobs import tokenize_media
from videopoet_jax.media import masking
from videopoet_jax.media import resizing
from videopoet_jax.preparation import tokenizing
from videopoet_jax.shapes import builder
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers.magvit2 import bundle as visual_lib
from videopoet_jax.tokenizers.magvit2 import config as visual_config
from videopoet_jax.tokenizers.soundstream import bundle as audio_lib
from videopoet_jax.tokenizers.soundstream import config as audio_config
from videopoet_jax.tokenizers.soundstream import model as audio_model

VISUAL = visual_config.VisualTokenizerConfig(
  architecture='patch',
  num_bits=6,
  patch_hidden_dim=16,
  patch_dim=8,
  latent_dim=8,
  output_hidden_dim=16,
)
AUDIO = audio_config.SoundStreamConfig(
  sampling_rate=1600,
  strides=(8, 20),
  channels=2,
  dilations=(1,),
  num_levels=2,
  codebook_size=16,
  latent_width=4,
)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """A media data set of five and two clips, and two untrained tokenizers."""
  root = tmp_path_factory.mktemp('tokenize')
  shapes = shapes_config.ShapesConfig(
    frames=9, height=16, width=16, sampling_rate=1600
  )
  media = builder.build(
    str(root / 'media'),
    builder.ShapesBuilderConfig(
      name='tiny',
      shapes=shapes,
      train=5,
      validation=2,
      test_held_out=0,
      processes=1,
    ),
  )
  # Compiled as a whole, which the cache on disk remembers.
  visual = jax.jit(lambda key: nn.unbox(visual_lib.init_params(VISUAL, key)))(
    jax.random.key(0)
  )
  visual_lib.VisualTokenizer(VISUAL, visual).save(root / 'visual')
  wave = np.zeros((1, 1600), np.float32)
  audio = jax.jit(
    lambda key: nn.unbox(audio_model.SoundStream(AUDIO).init(key, wave))
  )(jax.random.key(1))
  audio_lib.AudioTokenizer(AUDIO, audio['params']).save(root / 'audio')
  return {
    'media': media,
    'visual_tokenizer': str(root / 'visual'),
    'audio_tokenizer': str(root / 'audio'),
  }


@pytest.fixture(scope='module')
def written(folders, tmp_path_factory):
  output = tmp_path_factory.mktemp('out') / 'tokens'
  flags = [f'--{name}={value}' for name, value in folders.items()]
  argv = [*flags, f'--output={output}', '--batch=4']
  assert entry.run(tokenize_media.main, argv) == 0
  return output


def _examples(directory, split, names=None):
  opened = records.open_records(directory)
  return list(opened.examples(split, names).as_numpy_iterator())


def test_examples_are_the_encoded_clips_with_their_labels(folders, written):
  clips = _examples(folders['media'], 'train')
  found = _examples(written, 'train')
  assert len(found) == len(clips) == 5
  visual = interface.load(folders['visual_tokenizer'])
  audio = interface.load(folders['audio_tokenizer'])
  hole = masking.inpainting_mask(9, 16, 16)
  sides = masking.outpainting_mask(9, 16, 16)
  for clip, example in zip(clips, found):
    video = clip['video']
    expected = {
      'video_tokens': visual.encode(video[None])[0],
      'inpainting_tokens': visual.encode(masking.hide(video, hole)[None])[0],
      'outpainting_tokens': visual.encode(masking.hide(video, sides)[None])[0],
      'structure_tokens': visual.encode(
        masking.structure_from(clip['flow'], clip['depth'])[None]
      )[0],
      'audio_tokens': audio.encode(clip['audio'][None])[0],
      'text': clip['caption'],
      'clip_id': clip['clip_id'],
      'kind': clip['kind'],
      'direction': clip['direction'],
      'bounce_times': clip['bounce_times'],
    }
    for name, value in expected.items():
      np.testing.assert_array_equal(example[name], value, name)
    assert example['video_tokens'].shape == (3, 2, 2)
    assert example['video_tokens'].dtype == np.int32


def test_the_set_says_whose_tokens_it_holds(folders, written):
  info = tokens.read_info(written)
  visual = interface.load(folders['visual_tokenizer'])
  assert info.visual == visual.spec
  assert info.visual_fingerprint == visual.fingerprint
  assert info.audio == AUDIO.spec
  assert info.clip == (9, 16, 16)
  assert info.flow_range == masking.flow_range(16)
  assert records.open_records(written).metadata['frame_rate'] == 8
  json.loads((written / tokens.INFO_FILE).read_text())


def test_only_what_is_asked_for(folders, tmp_path):
  summary = tokenizing.tokenize(
    media=folders['media'],
    visual_tokenizer=folders['visual_tokenizer'],
    output=str(tmp_path / 'some'),
    splits=['validation'],
    conditions=['structure'],
    batch=2,
  )
  assert summary.clips == {'validation': 2}
  made = {name for name in summary.features if name.endswith('_tokens')}
  assert made == {'video_tokens', 'structure_tokens'}
  assert tokens.read_info(tmp_path / 'some').audio is None


def test_conditions_of_some_clips(folders, tmp_path):
  tokenizing.tokenize(
    media=folders['media'],
    visual_tokenizer=folders['visual_tokenizer'],
    output=str(tmp_path / 'some'),
    splits=['train'],
    conditions=['inpainting'],
    condition_share=0.5,
    batch=2,
  )
  found = _examples(tmp_path / 'some', 'train')
  assert [e['has_conditions'] for e in found] == [0, 0, 1, 1, 0]
  for example in found:
    encoded = example['inpainting_tokens'].any()
    assert encoded == bool(example['has_conditions'])
    assert example['video_tokens'].any()


@pytest.mark.parametrize('policy', ['trim', 'pad'])
def test_other_frame_counts_are_fitted_aloud(folders, tmp_path, capsys, policy):
  # 1 + 16 k frames; the clips have 9.
  config = dataclasses.replace(VISUAL, temporal_stride=16)
  params = nn.unbox(visual_lib.init_params(config, jax.random.key(0)))
  visual = visual_lib.VisualTokenizer(config, params)
  visual.save(tmp_path / 'visual')
  flags = {**folders, 'visual_tokenizer': str(tmp_path / 'visual')}
  argv = [f'--{name}={value}' for name, value in flags.items()]
  argv += [f'--output={tmp_path / "tokens"}', '--splits', 'validation']
  assert entry.run(tokenize_media.main, argv) == 2
  error = capsys.readouterr().err.strip()
  assert 'use 1 or 17' in error and '--frames pad' in error
  assert entry.run(tokenize_media.main, [*argv, f'--frames={policy}']) == 0
  said = {
    'trim': 'clips of 9 frames are trimmed to the first 1',
    'pad': 'clips of 9 frames are padded to 17 with copies of the last',
  }
  assert capsys.readouterr().out.count(said[policy]) == 1
  frames = {'trim': 1, 'pad': 17}[policy]
  assert tokens.read_info(tmp_path / 'tokens').clip == (frames, 16, 16)
  clips = _examples(folders['media'], 'validation')
  found = _examples(tmp_path / 'tokens', 'validation')
  audio = interface.load(folders['audio_tokenizer'])
  kept = np.minimum(np.arange(frames), 8)
  for clip, example in zip(clips, found, strict=True):
    video = clip['video'][kept][None]
    np.testing.assert_array_equal(
      example['video_tokens'], visual.encode(video)[0]
    )
    structure = masking.structure_from(
      clip['flow'][kept][None], clip['depth'][kept][None]
    )
    np.testing.assert_array_equal(
      example['structure_tokens'], visual.encode(structure)[0]
    )
    sound = clip['audio']
    samples = len(sound) * frames // 9
    sound = np.pad(sound, (0, max(0, samples - len(sound))))[:samples]
    np.testing.assert_array_equal(
      example['audio_tokens'], audio.encode(sound[None])[0]
    )


@pytest.mark.parametrize(
  'change, message',
  [
    ({'media': '/nowhere'}, 'does not exist'),
    ({'visual_tokenizer': '/nowhere'}, 'nowhere'),
    ({'splits': 'tran'}, "did you mean 'train'"),
    ({'conditions': 'inpaint'}, "did you mean 'inpainting'"),
    ({'batch': '0'}, 'at least 1'),
    ({'condition_share': '2'}, '0 to 1'),
    ({'output': '/proc/none/tokens'}, 'cannot be written'),
  ],
)
def test_mistakes_end_in_one_line(folders, tmp_path, capsys, change, message):
  flags = {**folders, 'output': str(tmp_path / 'out'), **change}
  argv = [f'--{name}={value}' for name, value in flags.items()]
  assert entry.run(tokenize_media.main, argv) == 2
  error = capsys.readouterr().err.strip()
  assert message in error and '\n' not in error
  assert list(tmp_path.iterdir()) == []


def test_tokens_are_not_overwritten_unasked(folders, written):
  arguments = {**folders, 'output': str(written)}
  with pytest.raises(errors.DataError, match='exists already'):
    tokenizing.tokenize(**arguments)


def test_an_interrupted_job_goes_on(folders, written, tmp_path, monkeypatch):
  whole, begun = tokenizing.Encoder.examples, []

  def examples(encoder, split, first, stop):
    begun.append((split, first, stop))
    if len(begun) == 2:
      raise KeyboardInterrupt
    return whole(encoder, split, first, stop)

  monkeypatch.setattr(tokenizing.Encoder, 'examples', examples)
  arguments = {
    **folders, 'output': str(tmp_path / 'set'), 'batch': 4, 'file_clips': 3,
  }  # fmt: skip
  with pytest.raises(KeyboardInterrupt):
    tokenizing.tokenize(**arguments)
  assert [p.name for p in tmp_path.iterdir()] == ['set.partial']
  summary = tokenizing.tokenize(**arguments)
  assert summary.clips == {'train': 5, 'validation': 2}
  # A file holds whole batches; the first was kept.
  assert begun == [
    ('train', 0, 4), ('train', 4, 5), ('train', 4, 5), ('validation', 0, 2),
  ]  # fmt: skip
  for split in summary.clips:
    found = _examples(tmp_path / 'set', split)
    for one, other in zip(_examples(written, split), found, strict=True):
      chex.assert_trees_all_equal(one, other)
  assert tokens.read_info(tmp_path / 'set') == tokens.read_info(written)


@pytest.mark.multi_process
@pytest.mark.parametrize('count', [2, 4])
def test_several_hosts_write_the_files_of_one(folders, tmp_path, count):
  command = ['videopoet_jax.preparation.tokenizing', '--batch=2']
  command += [f'--{name}={value}' for name, value in folders.items()]
  command += ['--condition_share=0.5', '--file_clips=2']
  for name, number in (('one', 0), ('several', count)):
    printed = processes.finish(
      processes.start(
        [*command, f'--output={tmp_path / name}'], processes=number
      )
    )
    assert printed.count(' clips as ') == 1
  one = data_files.read(tmp_path / 'one')
  assert len([name for name in one if 'array_record' in name]) == 4
  assert data_files.read(tmp_path / 'several') == one


def test_pairs_hold_the_clips_and_the_same_at_half_the_size(
  folders, tmp_path_factory
):
  output = tmp_path_factory.mktemp('out') / 'pairs'
  argv = [f'--{n}={folders[n]}' for n in ('media', 'visual_tokenizer')]
  argv += [f'--output={output}', '--low_scale=2', '--batch=4', '--most=3']
  assert entry.run(tokenize_media.main, [*argv, '--conditions']) == 0
  visual = interface.load(folders['visual_tokenizer'])
  info = tokens.check_pairs(output)
  assert info.low == info.visual == visual.spec and info.low_scale == 2
  assert info.low_fingerprint == visual.fingerprint
  assert info.clip == (9, 16, 16)
  found = _examples(output, 'train')
  assert len(found) == 3 and len(_examples(output, 'validation')) == 2
  for clip, example in zip(_examples(folders['media'], 'train'), found):
    small = resizing.reduce_pixels(clip['video'], 2)
    np.testing.assert_array_equal(
      example['low_tokens'], visual.encode(small[None])[0]
    )
    assert example['low_tokens'].shape == (3, 1, 1)
    assert example['video_tokens'].shape == (3, 2, 2)


def test_clips_are_encoded_below_their_own_size(folders, tmp_path):
  output = tmp_path / 'reduced'
  argv = [f'--{n}={folders[n]}' for n in ('media', 'visual_tokenizer')]
  argv += [f'--output={output}', '--reduce=2', '--batch=4']
  assert entry.run(tokenize_media.main, [*argv, '--conditions']) == 0
  visual = interface.load(folders['visual_tokenizer'])
  assert tokens.read_info(output).clip == (9, 8, 8)
  clip, example = (_examples(x, 'train')[0] for x in (folders['media'], output))
  small = resizing.reduce_pixels(clip['video'], 2)
  np.testing.assert_array_equal(
    example['video_tokens'], visual.encode(small[None])[0]
  )


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--reduce=2', '--low_scale=2'], 'reduced by 2.*use 16'),
    (['--reduce=3'], '16 x 16, reduced by 3.*use 15 or 18'),
    (['--low_tokenizer=x'], 'give --low_scale 2'),
  ],
)
def test_sizes_that_make_no_pairs_are_refused(
  folders, tmp_path, capsys, flags, message
):
  argv = [f'--{n}={folders[n]}' for n in ('media', 'visual_tokenizer')]
  argv += [f'--output={tmp_path / "no"}', *flags]
  assert entry.run(tokenize_media.main, argv) == 2
  assert re.search(message, capsys.readouterr().err)


def test_long_clips_are_encoded_in_parts_of_a_batch(
  folders, written, tmp_path, monkeypatch
):
  assert [
    tokenizing.clips_together(64, frames) for frames in (1, 41, 42, 100, 5000)
  ] == [64, 64, 32, 16, 1]
  # As if the clips of nine frames were long: one at a time.
  monkeypatch.setattr(visual_lib, 'CHUNK_FRAMES', 3)
  output = tmp_path / 'tokens'
  flags = [f'--{name}={value}' for name, value in folders.items()]
  argv = [*flags, f'--output={output}', '--batch=4']
  assert entry.run(tokenize_media.main, argv) == 0
  for split in ('train', 'validation'):
    for found, expected in zip(
      _examples(output, split), _examples(written, split), strict=True
    ):
      chex.assert_trees_all_equal(found, expected)
