"""`videopoet generate --upscale`: flags, files, and what is refused."""

import argparse
import json

import av
import pytest

from tests.inference import folder
from tests.inference import super_resolution_folder
from videopoet_jax.core import entry
from videopoet_jax.core import errors
from videopoet_jax.inference import chain
from videopoet_jax.inference import draws
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.inference.super_resolution import cascade as cascade_lib
from videopoet_jax.inference.super_resolution import config as config_lib
from videopoet_jax.jobs import generate
from videopoet_jax.jobs import upscale_flags


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  path = tmp_path_factory.mktemp('folders')
  folder.write(path / 'language')
  super_resolution_folder.write(path / 'larger')
  return path


def _run(folders, *flags):
  return entry.run(
    generate.main,
    ['--checkpoint', str(folders / 'language'), *map(str, flags)],
  )


def _read(*flags):
  parser = argparse.ArgumentParser()
  upscale_flags.add(parser)
  return upscale_flags.read(parser.parse_args([str(flag) for flag in flags]))


def test_both_sizes_are_written(folders, tmp_path, capsys):
  larger = folders / 'larger'
  status = _run(
    folders, '--out', tmp_path, '--task', 'text_to_video', '--text', 'ab',
    '--num_samples', 2, '--upscale', '4x', '--super_resolution', larger, larger,
    '--upscale_steps', 3, '--upscale_text_guidance', 2, 3,
    '--upscale_decode_from', 'ids', 'expectation',
  )  # fmt: skip
  assert status == 0, capsys.readouterr().err
  record = json.loads((tmp_path / 'generation.json').read_text())
  names = [
    'sample_000.mp4', 'sample_000.gif', 'sample_001.mp4', 'sample_001.gif',
    'contact_sheet.png',
  ]  # fmt: skip
  assert record['files'] == [*names, *(f'upscaled/{name}' for name in names)]
  assert [stage['text_guidance'] for stage in record['upscale']] == [2, 3]
  assert [stage['low_guidance'] for stage in record['upscale']] == [1, 2]
  decoded = [stage['decode_from'] for stage in record['upscale']]
  assert decoded == ['ids', 'expectation']
  with av.open(str(tmp_path / 'upscaled' / 'sample_001.mp4')) as container:
    frames = [frame.to_ndarray() for frame in container.decode(video=0)]
  assert len(frames) == 17


def test_a_chain_makes_its_video_larger(folders):
  generator = generator_lib.Generator.load(folders / 'language')
  cascade = cascade_lib.Cascade.load([folders / 'larger'])
  few = config_lib.UpscaleConfig(num_steps=3)
  video = chain.Step(f'text_to_video/{folder.SIZE}', {'text': ['ab']})
  sound = chain.Step(f'video_to_audio/{folder.SIZE}')
  larger = chain.Upscale(cascade, ['ab'], (few,))
  small, large, heard = chain.run(generator, [video, larger, sound])
  assert small.video_BTHWC.shape == (1, 17, 16, 16, 3)
  assert large.video_BTHWC.shape == (1, 17, 32, 32, 3)
  assert heard.audio_BT is not None
  expected = cascade.run(
    chain.clips_of(generator, small),
    ['ab'],
    configs=(few,),
    path=(draws.Part.CHAIN, 1),
  )
  assert (expected.ids_BTHW == large.ids_BTHW).all()
  with pytest.raises(errors.DataError, match='no step before it'):
    chain.run(generator, [larger])


@pytest.mark.parametrize(
  'flags, message',
  [
    (('--upscale', '4x'), '4x: the models in --super_resolution enlarge by 2x'),
    (('--task', 'video_to_audio'), 'video_to_audio makes no video'),
  ],
)
def test_cascades_that_do_not_fit_are_refused(
  folders, tmp_path, capsys, flags, message
):
  clip = ['--video', tmp_path / 'none.mp4', '--text', 'ab']
  status = _run(
    folders, '--out', tmp_path / 'out', '--task', 'text_to_video', *clip,
    '--super_resolution', folders / 'larger', *flags,
  )  # fmt: skip
  said = capsys.readouterr().err
  assert status == 2 and message in said and said.count('\n') == 1


def test_a_video_too_short_to_be_larger_is_refused_before_it_is_made(
  folders, tmp_path, capsys, monkeypatch
):
  # Two seconds are 16 frames, fewer than one clip of the model.
  monkeypatch.delattr(generator_lib.Generator, 'generate')
  status = _run(
    folders, '--out', tmp_path / 'out', '--task', 'text_to_video', '--text',
    'ab', '--seconds', 2, '--super_resolution', folders / 'larger',
  )  # fmt: skip
  said = capsys.readouterr().err
  assert status == 2 and '--seconds is 2' in said and said.count('\n') == 1


def test_values_are_for_all_stages_or_one_a_stage():
  request = _read(
    '--super_resolution', 'a', 'b', '--upscale', '4', '--upscale_steps', 6,
    '--upscale_low_guidance', 1.5, 2.5, '--upscale_schedule', 'linear',
  )  # fmt: skip
  assert request.scale == 4
  first, second = request.configs()
  assert first == config_lib.UpscaleConfig(
    num_steps=6, schedule='linear', text_guidance=4.0, low_guidance=1.5
  )
  assert (second.text_guidance, second.low_guidance) == (8.0, 2.5)
  assert _read() is None
  with pytest.raises(errors.ConfigError, match='--upscale_steps has 3 values'):
    _read('--super_resolution', 'a', 'b', '--upscale_steps', 1, 2, 3).configs()


@pytest.mark.parametrize(
  'flags, message',
  [
    (('--upscale', '2x'), 'one folder a stage'),
    (('--upscale_steps', '3'), 'one folder a stage'),
    (('--super_resolution', 'a', '--upscale', 'big'), 'a whole number'),
  ],
)
def test_flags_that_do_not_go_together_are_refused(flags, message):
  with pytest.raises(errors.ConfigError, match=message):
    _read(*flags)
