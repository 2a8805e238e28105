"""Every flag of `videopoet generate` acts, or is refused where it cannot."""

import numpy as np
from PIL import Image
import pytest

from tests.inference import folder
from tests.inference import super_resolution_folder
from videopoet_jax.core import entry
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.jobs import generate
from videopoet_jax.media import files as media

T2V = ('--task', 'text_to_video', '--text', 'a')
I2V = ('--task', 'image_to_video', '--image', 'a.png')
OPEN = ('--task', 'text_to_video', '--text', 'a', '--upscale', '2x',
        '--super_resolution', 'larger')  # fmt: skip
# By flag, settings in which it acts and settings in which it cannot.
ACTS = {
  'task': [T2V],
  'layout': [('--layout', f'text_to_video/{folder.SIZE}', '--text', 'a')],
  'text': [T2V],
  'image': [I2V],
  'video': [('--task', 'inpainting', '--video', 'clip.mp4')],
  'audio': [],  # No layout of this checkpoint takes sound.
  'structure': [],
  'num_samples': [(*T2V, '--num_samples', '2')],
  'batch_size': [(*T2V, '--batch_size', '2')],
  'guidance': [(*T2V, '--guidance', '2')],
  'guide_on': [
    ('--task', 'inpainting', '--video', 'clip.mp4', '--guidance', '2',
     '--guide_on', 'inpainting_tokens'),
  ],
  'preset': [(*T2V, '--guidance', '2', '--preset', 'human_evaluation')],
  'temperature': [(*T2V, '--temperature', '0.5')],
  'first_temperature': [(*T2V, '--first_temperature', '0.5')],
  'top_k': [(*T2V, '--top_k', '3')],
  'top_p': [(*T2V, '--top_p', '0.5')],
  'negative_text': [(*T2V, '--guidance', '2', '--negative_text', 'b')],
  'seconds': [(*T2V, '--seconds', '3')],
  'seed': [(*T2V, '--seed', '3')],
  'text_encoder': [],  # No model here takes text embeddings.
  'super_resolution': [OPEN],
  'upscale': [OPEN],
  'upscale_decoder': [(*OPEN, '--upscale_decoder', 'larger/visual_tokenizer')],
  'upscale_steps': [(*OPEN, '--upscale_steps', '3')],
  'upscale_schedule': [(*OPEN, '--upscale_schedule', 'linear')],
  'upscale_temperature': [(*OPEN, '--upscale_temperature', '0.5')],
  'upscale_confidence_temperature': [
    (*OPEN, '--upscale_confidence_temperature', '1'),
  ],
  'upscale_text_guidance': [(*OPEN, '--upscale_text_guidance', '2')],
  'upscale_low_guidance': [(*OPEN, '--upscale_low_guidance', '2')],
  'upscale_overlap': [],
  'upscale_decode_from': [(*OPEN, '--upscale_decode_from', 'expectation')],
}  # fmt: skip
REFUSED = {
  'task': [
    (*T2V, '--layout', f'inpainting/{folder.SIZE}', '--video', 'clip.mp4'),
  ],
  'layout': [
    ('--layout', f'image_to_video/{folder.SIZE}/first=2', '--image', 'a.png'),
  ],
  'text': [('--task', 'inpainting', '--video', 'clip.mp4', '--text', 'a')],
  'image': [(*T2V, '--image', 'a.png'), (*I2V, '--video', 'clip.mp4')],
  'video': [(*T2V, '--video', 'clip.mp4')],
  'audio': [(*T2V, '--audio', 'clip.mp4')],
  'structure': [(*T2V, '--structure', 'clip.mp4')],
  'num_samples': [
    (*T2V, '--num_samples', '0'),
    (*T2V, '--num_samples', '2', '--temperature', '0'),
  ],
  'batch_size': [(*T2V, '--batch_size', '0')],
  'guidance': [
    (*I2V, '--guidance', '2'),
    ('--task', 'inpainting', '--video', 'clip.mp4', '--guidance', '2'),
    (*T2V, '--guidance', '-1'),
    (*T2V, '--guidance', 'nan'),
  ],
  'guide_on': [
    (*T2V, '--guide_on', 'video_tokens'),
    (*T2V, '--guidance', '2', '--guide_on', 'audio_tokens'),
    (*T2V, '--guidance', '2', '--guide_on', 'nothing'),
  ],
  'preset': [
    (*T2V, '--preset', 'human_evaluation'),
    (*T2V, '--guidance', '2', '--preset', 'human_evalution'),
    (*T2V, '--guidance', '2', '--preset', 'human_evaluation',
     '--negative_text', 'b'),
    (*I2V, '--guidance', '2', '--preset', 'human_evaluation'),
  ],
  'temperature': [
    (*T2V, '--temperature', '-1'),
    (*T2V, '--temperature', 'nan'),
  ],
  'first_temperature': [
    (*I2V, '--first_temperature', '0.5'),
    (*T2V, '--first_temperature', '0.5', '--temperature', '0'),
    ('--task', 'video_to_audio', '--video', 'clip.mp4',
     '--first_temperature', '0.5'),
  ],
  'top_k': [(*T2V, '--temperature', '0', '--top_k', '3')],
  'top_p': [(*T2V, '--temperature', '0', '--top_p', '0.5')],
  'negative_text': [
    (*T2V, '--negative_text', 'b'),
    (*I2V, '--guidance', '2', '--negative_text', 'b'),
    ('--task', 'inpainting', '--video', 'clip.mp4', '--guidance', '2',
     '--guide_on', 'inpainting_tokens', '--negative_text', 'b'),
  ],
  'seconds': [
    (*T2V, '--seconds', '1'),
    (*T2V, '--seconds', '-1'),
    (*T2V, '--seconds', 'nan'),
    ('--task', 'video_to_audio', '--video', 'clip.mp4', '--seconds', '3'),
  ],
  'seed': [(*T2V, '--seed', '-1')],
  'text_encoder': [(*T2V, '--text_encoder', 'larger')],
  'super_resolution': [
    ('--task', 'video_to_audio', '--video', 'clip.mp4',
     '--super_resolution', 'larger'),
  ],
  'upscale': [(*T2V, '--upscale', '2x'), (*OPEN, '--upscale', '3x')],
  'upscale_decoder': [
    (*T2V, '--upscale_decoder', 'larger/visual_tokenizer'),
  ],
  'upscale_steps': [(*T2V, '--upscale_steps', '3')],
  'upscale_schedule': [
    (*T2V, '--upscale_schedule', 'linear'),
    (*OPEN, '--upscale_schedule', 'linear', '--upscale_steps', '1'),
  ],
  'upscale_temperature': [(*T2V, '--upscale_temperature', '0.5')],
  'upscale_confidence_temperature': [
    (*T2V, '--upscale_confidence_temperature', '1'),
    (*OPEN, '--upscale_confidence_temperature', '1', '--upscale_steps', '1'),
  ],
  'upscale_text_guidance': [
    (*T2V, '--upscale_text_guidance', '2'),
    (*I2V, '--super_resolution', 'larger', '--upscale_text_guidance', '2'),
  ],
  'upscale_low_guidance': [(*T2V, '--upscale_low_guidance', '2')],
  'upscale_overlap': [
    (*T2V, '--upscale_overlap', '0.2'),
    (*OPEN, '--upscale_overlap', '0.2'),
  ],
  'upscale_decode_from': [(*T2V, '--upscale_decode_from', 'expectation')],
}  # fmt: skip


class _Sampled(Exception):
  pass


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  path = tmp_path_factory.mktemp('place')
  folder.write(path / 'language')
  super_resolution_folder.write(path / 'larger')
  Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(path / 'a.png')
  media.write_mp4(path / 'clip.mp4', np.zeros((17, 16, 16, 3), np.uint8), 8.0)
  return path


@pytest.fixture(scope='module')
def loaded(place):
  return generator_lib.Generator.load(place / 'language')


@pytest.fixture
def run(place, loaded, monkeypatch, tmp_path):
  monkeypatch.chdir(place)
  monkeypatch.setattr(
    generator_lib.Generator, 'load', classmethod(lambda cls, *a, **k: loaded)
  )

  def sampled(*args, **options):
    raise _Sampled

  monkeypatch.setattr(generator_lib.Generator, 'generate', sampled)

  def run(flags):
    return entry.run(
      generate.main,
      ['--checkpoint', 'language', '--out', str(tmp_path / 'out'), *flags],
    )

  return run


def test_every_flag_is_in_the_tables():
  names = {
    action.dest
    for action in generate._parser()._actions
    if action.dest not in ('help', 'checkpoint', 'out')
  }
  assert names == set(ACTS) == set(REFUSED)


@pytest.mark.parametrize(
  'flags', [case for cases in ACTS.values() for case in cases], ids=' '.join
)
def test_what_acts_is_sampled(run, flags):
  with pytest.raises(_Sampled):
    run(flags)


@pytest.mark.parametrize(
  ('flag', 'flags'),
  [(flag, case) for flag, cases in REFUSED.items() for case in cases],
)
def test_what_cannot_act_is_refused_in_one_line(run, capsys, flag, flags):
  assert run(flags) == 2
  said = capsys.readouterr().err
  assert said.count('\n') == 1
  assert 'Traceback' not in said
