"""`videopoet score_upscaling`: a cascade beside bicubic and the truth."""

import dataclasses
import json

from flax import linen as nn
import jax
import numpy as np
import pytest

from tests.models.prefix_lm import small
from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.core import tasks
from videopoet_jax.core import vocabulary as vocabulary_lib
from videopoet_jax.data import registry
from videopoet_jax.evaluation import upscaling
from videopoet_jax.inference import conditions
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.inference.super_resolution import upscaler as upscaler_lib
from videopoet_jax.jobs import score_upscaling
from videopoet_jax.models.prefix_lm import model as prefix_lm_lib
from videopoet_jax.models.super_resolution import config as config_lib
from videopoet_jax.models.super_resolution import description
from videopoet_jax.models.super_resolution import model as model_lib
from videopoet_jax.shapes import builder
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.tokenizers import text as text_lib
from videopoet_jax.tokenizers.magvit2 import bundle
from videopoet_jax.tokenizers.magvit2 import config as visual_config

VISUAL = visual_config.VisualTokenizerConfig(
  architecture='patch',
  num_bits=4,
  patch_hidden_dim=8,
  patch_dim=8,
  latent_dim=8,
  output_hidden_dim=8,
)
CONFIG = config_lib.SuperResolutionConfig(
  num_blocks=1,
  width=16,
  num_heads=2,
  head_dim=8,
  mlp_dim=16,
  windows=((1, 4, 2), (1, 2, 4), (2, 2, 2)),
  text_vocab_size=259,
  text_slots=4,
)


@pytest.fixture(scope='module')
def media(tmp_path_factory):
  """Three clips of 5 x 64 x 64."""
  return builder.build(
    str(tmp_path_factory.mktemp('media')),
    builder.ShapesBuilderConfig(
      name='tiny',
      shapes=shapes_config.ShapesConfig(frames=5, height=64, width=64),
      train=0,
      validation=3,
      test_held_out=0,
      processes=1,
    ),
  )


@pytest.fixture(scope='module')
def stages():
  """Two untrained stages, 16 to 32 to 64 pixels, with one tokenizer."""
  params = jax.jit(lambda key: nn.unbox(bundle.init_params(VISUAL, key)))(
    jax.random.key(0)
  )
  tokenizer = bundle.VisualTokenizer(VISUAL, params)
  model = model_lib.SuperResolution(CONFIG, 16)
  weights = jax.jit(
    lambda key: nn.unbox(model.init(key, method='declare')['params'])
  )(jax.random.key(1))
  marks = {'visual': tokenizer.fingerprint, 'low': tokenizer.fingerprint}
  found = {}
  for name, size in (('one', 32), ('two', 64)):
    found[name] = upscaler_lib.Upscaler(
      name,
      model,
      weights,
      description.Description(
        CONFIG,
        specs.VisualSpec(16),
        specs.VisualSpec(16),
        (f'super_resolution/5x{size}x{size}',),
        marks,
      ),
      tokenizer,
      tokenizer,
      conditions.Tokenizers(text=text_lib.ByteTokenizer()),
    )
  return found


def _stage(stages):
  return lambda name, text_encoder='': stages[name]


def _score(media, stages, monkeypatch, out, **options):
  monkeypatch.setattr(upscaler_lib.Upscaler, 'load', _stage(stages))
  return upscaling.score(
    checkpoint=('one', 'two'),
    media=media,
    out=str(out),
    steps=(1, 2),
    **{'log': lambda line: None, **options},
  )


def test_a_cascade_is_scored_beside_bicubic_and_the_truth(
  media, stages, monkeypatch, tmp_path
):
  found = _score(media, stages, monkeypatch, tmp_path)
  assert list(found) == ['truth', 'tokenizer', 'bicubic', '1 steps', '2 steps']
  truth = found['truth']
  assert truth['kept'] == 1 and truth['edge_error'] == 0
  for name in ('tokenizer', '1 steps', '2 steps'):
    assert found[name]['edge_error'] > 0 and found[name]['psnr'] < 30
    assert found[name]['kept'] == 0  # Untrained.
  report = json.loads((tmp_path / upscaling.REPORT).read_text())
  assert report['metrics'] == found and report['clips'] == 3
  assert report['checkpoint'] == ['one', 'two'] and report['media'] == media
  assert report['config']['num_steps'] == [1, 2]
  assert (tmp_path / upscaling.PICTURE).stat().st_size > 0


def test_conditions_are_disturbed_as_asked(media, stages):
  truth = upscaling.read_truth(media, 'validation', 2, 1)
  assert truth.config.height == 64 and len(truth.captions[0]) > 5

  def make(**options):
    return upscaling.make_condition(
      truth,
      stages['one'],
      4,
      **{'with_text': True, 'grey': False, 'noise': 0.0, 'seed': 0, **options},
    )

  plain, noisy = make(), make(noise=0.5)
  assert plain.ids_BTHW.shape == (2, 2, 2, 2) and plain.text == truth.captions
  assert 0 < np.mean(plain.ids_BTHW != noisy.ids_BTHW) < 1
  assert make(with_text=False).text is None
  assert make(grey=True).pixels_BTHWC.shape == plain.pixels_BTHWC.shape


def test_stages_that_do_not_follow_each_other_go_by_pixels(
  media, stages, monkeypatch, tmp_path
):
  other = dataclasses.replace(
    stages['two'].described,
    fingerprints={**stages['two'].described.fingerprints, 'low': 'y'},
  )
  odd = {**stages, 'two': dataclasses.replace(stages['two'], described=other)}
  lines = []
  _score(media, odd, monkeypatch, tmp_path, log=lines.append)
  assert any('two was trained on tokens of y' in line for line in lines)


def test_another_decoder_of_the_same_encoder_is_taken(
  media, stages, monkeypatch, tmp_path
):
  own = stages['two'].visual
  params = own.params | {
    'decoder': jax.tree.map(lambda leaf: leaf * 0.5, own.params['decoder'])
  }
  bundle.VisualTokenizer(VISUAL, params).save(tmp_path / 'better')
  before = _score(media, stages, monkeypatch, tmp_path / 'own')
  after = _score(
    media,
    stages,
    monkeypatch,
    tmp_path / 'other',
    decoder=str(tmp_path / 'better'),
  )
  for name in ('tokenizer', '1 steps'):
    assert before[name] != after[name]
  assert before['bicubic'] == after['bicubic']
  params['encoder'] = jax.tree.map(lambda leaf: leaf + 1, params['encoder'])
  bundle.VisualTokenizer(VISUAL, params).save(tmp_path / 'odd')
  with pytest.raises(errors.CheckpointError, match='decoder_only'):
    stages['two'].with_decoder(tmp_path / 'odd')


@pytest.fixture
def in_order(stages):
  """An untrained language model of the one task `upscaling`, 5 x 64 x 64."""
  (task,) = registry.load_tasks(tasks=['upscaling'])
  text = text_lib.ByteTokenizer()
  space = tasks.LayoutSpace(
    vocabulary_lib.Vocabulary(
      visual_size=16, audio_levels=2, audio_codes=16,
      text_size=text.vocab_size, extra_special=('<task:upscaling>',),
    ),
    specs.VisualSpec(16),
    specs.AudioSpec(levels=2, codes=16, sampling_rate=800, hop=400),
    text_slots=8,
    templates=(task.layout_template(), *tasks.TEMPLATES),
  )  # fmt: skip
  config = small.config(num_layers=1, cell_inputs=(), text_encoder_layers=0)
  model = prefix_lm_lib.PrefixLM(config, space.vocabulary)
  params = jax.jit(
    lambda key: nn.unbox(model.init(key, method='declare')['params'])
  )(jax.random.key(2))
  return generator_lib.Generator(
    model,
    params,
    space,
    ('upscaling/5x64x64',),
    conditions.Tokenizers(visual=stages['two'].visual, text=text),
  )


def test_a_model_that_writes_in_order_is_scored_too(
  media, stages, in_order, monkeypatch, tmp_path
):
  monkeypatch.setattr(upscaler_lib.Upscaler, 'load', _stage(stages))
  given = in_order
  monkeypatch.setattr(
    generator_lib.Generator, 'load', lambda *args, **options: given
  )
  flags = f'--checkpoint one two --media {media} --out {tmp_path} --steps 1'
  flags += ' --clips 2 --autoregressive lm --autoregressive_temperature 0.5'
  assert score_upscaling.main(flags.split()) == 0
  report = json.loads((tmp_path / upscaling.REPORT).read_text())
  # A step an id of the grid of 2 x 8 x 8.
  assert list(report['metrics'])[-2:] == ['1 steps', 'in order, 128']
  assert report['metrics']['in order, 128']['edge_error'] > 0
  assert report['autoregressive'] == 'lm'
  given = dataclasses.replace(in_order, layout_names=('unconditional/5x64x64',))
  with pytest.raises(errors.CheckpointError, match='lm knows .*unconditional'):
    score_upscaling.main(flags.split())


@pytest.mark.parametrize(
  'flag, value, said',
  [
    ('clips', '0', 'at least 1'),
    ('clips', '-1', 'at least 1'),
    ('reduce', '0', 'at least 1'),
    ('batch_size', '0', 'at least 1'),
    ('steps', '24 0', 'at least 1'),
    ('noise', '1.5', 'expected 0 to 1'),
    ('noise', '-0.1', 'expected 0 to 1'),
  ],
)
def test_impossible_numbers_are_named(flag, value, said):
  # Before anything is opened: the folders do not exist.
  flags = f'--checkpoint no --media no --out no --{flag} {value}'.split()
  with pytest.raises(errors.ConfigError, match=f'--{flag} is .*{said}'):
    score_upscaling.main(flags)
