"""From a published checkpoint's layout to a language model's video."""

import numpy as np
import pytest

from tests.tokenizers.published import made
import videopoet_jax as vp
from videopoet_jax.tokenizers.vidtok import bundle
from videopoet_jax.tokenizers.vidtok import config as config_lib

# 120 codes: a vocabulary that is no power of two.
_CONFIG = config_lib.VidTokConfig(
  version='1.1',
  levels=(8, 5, 3),
  channels=8,
  channel_multipliers=(1, 1, 1),
  num_residual_blocks=1,
  down_levels=(0, 1),
  up_levels=(1, 2),
)


@pytest.mark.slow
def test_import_tokenize_train_generate(clean_registries, tmp_path):
  del clean_registries
  path = tmp_path / 'tiny_v1_1.safetensors'
  made.write(path, bundle.VidTok, _CONFIG)
  found = vp.import_tokenizer(
    'vidtok', path, tmp_path / 'visual', {'levels': '8,5,3'}
  )
  assert found.tokenizer.config == _CONFIG
  vp.draw_shapes(
    tmp_path / 'shapes',
    vp.ShapesConfig(height=16, width=16),
    {'train': 8, 'validation': 4},
  )
  vp.tokenize(
    tmp_path / 'shapes', tmp_path / 'visual', tmp_path / 'tokens', conditions=()
  )
  experiment = vp.experiment(
    [
      'gin/runs/shapes_prefix_lm.gin',
      'gin/local_tiny.gin',
      'gin/runs/smoke_steps.gin',
    ],
    {
      'load_tasks.tasks': ['text_to_video'],
      'prefix_lm.text_slots': 8,
      'prefix_lm.context_noise': 0.0,
      'prefix_lm_preset.visual_input': 'table',
      'prefix_lm_preset.visual_output': 'softmax',
    },
    TOKENS=tmp_path / 'tokens',
    VISUAL=tmp_path / 'visual',
    AUDIO='',
    STEPS=2,
  )
  vp.train(experiment, tmp_path / 'lm')
  model = vp.load(tmp_path / 'lm')
  clips = model.generate('text_to_video', text='a red circle moves right')
  video_THWC = clips[0].video_THWC
  assert video_THWC.shape == (17, 16, 16, 3)
  assert len(np.unique(video_THWC)) > 2
