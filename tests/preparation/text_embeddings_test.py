"""`videopoet embed_text`, and a run that trains on what it writes."""

import dataclasses

import numpy as np
import pytest

from tests.inference import t5_folder
from tests.preparation import data_files
from tests.training import processes
from videopoet_jax.checkpoints import folders as folders_lib
from videopoet_jax.core import entry
from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.data import agd
from videopoet_jax.data import batches
from videopoet_jax.data import records
from videopoet_jax.data import registry
from videopoet_jax.data import sets
from videopoet_jax.data import tokens
from videopoet_jax.experiments import train as train_lib
from videopoet_jax.inference import conditions
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.inference import text_encoder
from videopoet_jax.jobs import cli
from videopoet_jax.jobs import embed_text
from videopoet_jax.jobs import generate

pytestmark = pytest.mark.usefixtures('clean_registries')

SLOTS = 6
LAYOUT = 'text_to_video/9x16x16'
INFO = tokens.TokenInfo(
  specs.VisualSpec(codebook_size=64), None, 'v1', '', (9, 16, 16)
)
TINY = ('gin/runs/shapes_prefix_lm.gin', 'gin/local_tiny.gin')
CACHED = (*TINY, 'gin/models/text_embeddings.gin')


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """A released encoder, and tokens of seven and two clips."""
  root = tmp_path_factory.mktemp('embed')
  t5_folder.write(root / 't5')
  draw = np.random.default_rng(0)
  with tokens.TokenWriter(
    root / 'tokens', INFO, metadata={'frame_rate': 8.0}
  ) as writer:
    for index in range(9):
      writer.write(
        'train' if index < 7 else 'validation',
        {
          'video_tokens': draw.integers(0, 64, (3, 2, 2), dtype=np.int32),
          'text': t5_folder.CAPTIONS[index % 4] if index else 'à',
          'clip_id': str(index),
        },
      )
  return root


@pytest.fixture(scope='module')
def embedded(folders):
  """What the command wrote, and the encoder that it saved."""
  status = cli.main(
    [
      'embed_text',
      f'--tokens={folders / "tokens"}',
      f'--encoder={folders / "t5"}',
      f'--output={folders / "embedded"}',
      f'--save_encoder={folders / "encoder"}',
      f'--slots={SLOTS}',
      '--batch=4',
    ]
  )
  assert status == 0
  return folders / 'embedded'


def _examples(directory, split):
  opened = records.open_records(directory)
  return list(opened.examples(split).as_numpy_iterator())


def test_examples_gain_the_embeddings_of_their_texts(folders, embedded):
  encoder = text_encoder.load(folders / 'encoder')
  for split, number in (('train', 7), ('validation', 2)):
    before = _examples(folders / 'tokens', split)
    after = _examples(embedded, split)
    assert len(before) == len(after) == number
    for old, new in zip(before, after, strict=True):
      for name, value in old.items():
        np.testing.assert_array_equal(new[name], value)
      expected, used = encoder.embed([old['text'].decode()], SLOTS)
      assert new['text_embeddings'].dtype == np.float16
      np.testing.assert_allclose(
        new['text_embeddings'], expected[0], rtol=2e-3, atol=2e-3
      )
      assert new['text_slots_used'] == used[0] <= SLOTS
  info = tokens.read_info(embedded)
  assert info == dataclasses.replace(
    INFO,
    text_fingerprint=encoder.fingerprint,
    text_slots=SLOTS,
    text_width=t5_folder.WIDTH,
  )
  assert records.open_records(embedded).metadata['frame_rate'] == 8
  assert tokens.read_info(folders / 'tokens').text_fingerprint == ''


@pytest.mark.parametrize(
  'change, message',
  [
    ({'tokens': '/nowhere'}, 'tokens.json'),
    ({'encoder': '/nowhere'}, 'no T5 weights'),
    ({'config': 'xl'}, 'embed_dim 16, not 2048'),
    ({'dtype': 'float61'}, "did you mean 'float16'"),
    ({'slots': '0'}, 'at least 1'),
  ],
)
def test_mistakes_end_in_one_line(folders, tmp_path, capsys, change, message):
  flags = {
    'tokens': folders / 'tokens',
    'encoder': folders / 't5',
    'output': tmp_path / 'out',
    **change,
  }
  argv = [f'--{name}={value}' for name, value in flags.items()]
  assert entry.run(embed_text.main, argv) == 2
  error = capsys.readouterr().err.strip()
  assert message in error and '\n' not in error
  assert list(tmp_path.iterdir()) == []


@pytest.mark.multi_process
def test_two_hosts_write_the_files_of_one(folders, tmp_path):
  command = [
    'videopoet_jax.jobs.embed_text',
    f'--tokens={folders / "tokens"}',
    f'--encoder={folders / "t5"}',
    f'--slots={SLOTS}',
    '--batch=2',
    '--file_texts=2',
  ]
  for name, count in (('one', 0), ('two', 2)):
    printed = processes.finish(
      processes.start(
        [*command, f'--output={tmp_path / name}'], processes=count
      )
    )
    assert printed.count(' texts as ') == 1
  one = data_files.read(tmp_path / 'one')
  assert len([name for name in one if 'array_record' in name]) == 5
  assert data_files.read(tmp_path / 'two') == one


def test_used_slots_are_visible_and_only_layouts_with_text_carry_them(
  embedded,
):
  tasks = registry.load_tasks(tasks=['text_to_video', 'future_prediction'])
  space = sets.make_space(
    tokens.read_info(embedded), tasks, text_size=20, text_slots=SLOTS
  )
  names = (LAYOUT, 'future_prediction/9x16x16/condition=1')
  # Nothing is dropped from conditions in validation.
  made = batches.ValidationBatches(
    tasks, space.layouts(names), str(embedded), batch_size=2,
    text_embeddings=True,
  )  # fmt: skip
  batch = made.batches(LAYOUT)[0]
  found = _examples(embedded, 'validation')
  text = batch['text_embeddings']
  assert text.dtype == np.float32
  part = space.layout(LAYOUT).slices['text_i']
  for row, example in enumerate(found):
    np.testing.assert_array_equal(text[row], example['text_embeddings'])
    shown = batch['visible'][row, part]
    assert shown.tolist() == [
      slot < example['text_slots_used'] for slot in range(SLOTS)
    ]
  assert set(made.batches(names[1])[0]) == {'tokens', 'visible'}
  with pytest.raises(errors.DataError, match='text_slots = 6'):
    other = dataclasses.replace(space, text_slots=4)
    batches.TokenBatches(
      tasks, other.layouts(names[:1]), str(embedded), tokens_per_batch=100,
      schedule=agd.MixtureSchedule('constant'), text_embeddings=True,
    ).batch(0)  # fmt: skip


def _train(directory, run_dir, files=CACHED, *bindings):
  experiment = train_lib.from_gin(
    files,
    (
      f'TOKENS = "{directory}"',
      'VISUAL = ""',
      'AUDIO = ""',
      'STEPS = 2',
      'load_tasks.tasks = ["text_to_video"]',
      f'prefix_lm.layouts = ["{LAYOUT}"]',
      'prefix_lm.tokens_per_batch = 256',
      'prefix_lm.validation_batches = 0',
      'prefix_lm_preset.num_layers = 1',
      'prefix_lm_preset.width = 16',
      'prefix_lm_preset.head_dim = 8',
      'prefix_lm_preset.mlp_dim = 16',
      'OptimizerConfig.name = "adamw"',
      *bindings,
    ),
  )
  return train_lib.train(experiment, run_dir)


def test_a_run_trains_on_embeddings_and_generates_from_text(
  folders, embedded, tmp_path, capsys
):
  run_dir = tmp_path / 'run'
  result = _train(
    embedded, run_dir, CACHED, f'TEXT_ENCODER = "{folders / "encoder"}"'
  )
  assert result.steps == 2
  projection = result.params['embedding']['text_projection']
  assert projection.shape == (t5_folder.WIDTH, 16)
  generator = generator_lib.Generator.load(run_dir)
  encoder = text_encoder.load(folders / 'encoder')
  features = conditions.encode(
    generator.layout(LAYOUT), {'text': ['a red ball']},
    generator.tokenizers, SLOTS,
  )  # fmt: skip
  expected, used = encoder.embed(['a red ball'], SLOTS)
  np.testing.assert_allclose(
    features['text_embeddings'], expected, rtol=1e-5, atol=1e-5
  )
  assert features['text'].sum() == used[0]
  flags = [
    f'--checkpoint={run_dir}', f'--out={tmp_path / "out"}',
    '--task=text_to_video', '--text=a red ball', '--guidance=2',
    '--negative_text=a blue ball', '--num_samples=2',
  ]  # fmt: skip
  assert entry.run(generate.main, flags) == 0
  assert (tmp_path / 'out' / 'generation.json').is_file()
  # Without the encoder, it says what to do.
  (run_dir / folders_lib.TEXT_ENCODER).rename(tmp_path / 'aside')
  capsys.readouterr()
  assert entry.run(generate.main, flags) == 2
  assert '--text_encoder' in capsys.readouterr().err
  other = tmp_path / 'other'
  text_encoder.open_encoder(folders / 't5').save(other)
  assert entry.run(generate.main, [*flags, f'--text_encoder={other}']) == 0


def test_runs_that_do_not_go_with_their_data(folders, embedded, tmp_path):
  with pytest.raises(errors.DataError, match='videopoet embed_text'):
    _train(folders / 'tokens', tmp_path / 'run')
  with pytest.raises(errors.ConfigError, match='text_slots = 6'):
    _train(embedded, tmp_path / 'run', CACHED, 'prefix_lm.text_slots = 5')
  with pytest.raises(errors.ConfigError, match='text_embeddings.gin'):
    _train(
      embedded, tmp_path / 'run', TINY, 'prefix_lm_preset.text="embeddings"'
    )
