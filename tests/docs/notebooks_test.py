"""The notebooks run from top to bottom and leave what they promise.

In a kernel of their own, at sizes that learn nothing.
"""

import json
import re
import wave

import pytest

from tests.docs import notebooks
from tests.evaluation import tiny_protocol
from tests.inference import folder as folder_lib
from tests.media import media_files
from videopoet_jax.checkpoints import describe
from videopoet_jax.media import video

pytestmark = pytest.mark.slow

_NAMES = ('film', 'my_task', 'quick_start')
# With validation, whose metrics the notebooks print.
_TINY = """
include 'gin/local_tiny.gin'
LoopConfig.tensorboard = False
prefix_lm_preset.num_layers = 1
"""
_MACHINE = re.compile(r'/(?:root|home|Users|tmp|work|private|var)/')


def _run(name, folder, **values):
  (folder / 'tiny.gin').write_text(_TINY)
  notebook = notebooks.read(notebooks.FOLDER / f'{name}.ipynb')
  notebooks.run(notebook, folder, values)
  written = [
    output
    for cell in notebooks.code(notebook)
    for output in cell.outputs
    if output.get('name') == 'stderr'
  ]
  assert not written
  return notebook


def test_a_film_goes_on(tmp_path):
  film = tmp_path / 'mine.mp4'
  media_files.ramp_file(film, 24.0, rate=8)
  shown = _run(
    'film',
    tmp_path,
    VIDEO=str(film),
    FOLDER='film',
    SIZE=16,
    TOKENIZER_STEPS=2,
    MODEL_STEPS=2,
    MORE_FILES=['tiny.gin'],
  )
  assert "'validation': " in '\n'.join(notebooks.texts(shown))
  futures = sorted((tmp_path / 'film' / 'futures').glob('sample_*.mp4'))
  assert len(futures) == 3
  frames = video.read(futures[0], height=16, width=16)
  assert frames.shape == (17, 16, 16, 3)
  record = json.loads((futures[0].parent / 'generation.json').read_text())
  assert record['layout'] == 'future_prediction/17x16x16/condition=3'


def test_a_task_of_ones_own(tmp_path):
  shown = _run(
    'my_task',
    tmp_path,
    FOLDER='mine',
    CLIPS=24,
    TOKENIZER_STEPS=2,
    MODEL_STEPS=2,
    MORE_FILES=['tiny.gin'],
  )
  description = describe.read_description(tmp_path / 'mine' / 'model')
  assert description['layouts'] == ['rewind/17x32x32']
  assert len(list((tmp_path / 'mine' / 'samples').glob('*.mp4'))) == 2
  # Plain SeqIO: 24 slots of text and a latent frame in, four frames out.
  text = '\n'.join(notebooks.texts(shown))
  assert 'videopoet:rewind:17x32x32' in text
  assert "'decoder_target_tokens'" in text


def test_quick_start(tmp_path):
  demo = tmp_path / 'demo'
  folder_lib.write(demo)
  description = describe.read_description(demo)
  description.pop('format_version')
  # Parameters are the same for any layout.
  more = [f'stylization/{folder_lib.SIZE}', 'text_to_image/1x16x16']
  describe.write_description(
    demo,
    {
      **description,
      'layouts': [*description['layouts'], *more],
      'sampling': {'text_to_video': {'temperature': 0.5, 'guidance': 2.0}},
    },
  )
  shown = _run(
    'quick_start',
    tmp_path,
    DEMO='demo',
    OUT='out',
    PROTOCOL=tiny_protocol.write(tmp_path / 'protocol.gin'),
    TASKS=['one'],
    SAMPLES=4,
  )
  out = tmp_path / 'out'
  assert sorted(path.name for path in out.glob('film.*')) == [
    'film.gif', 'film.mp4', 'film.png', 'film.wav',
  ]  # fmt: skip
  with wave.open(str(out / 'film.wav')) as sound:
    assert sound.getnframes() > 0
  text = '\n'.join(notebooks.texts(shown))
  assert 'guidance=2.0' in text and '(0.2, 2.0)' in text
  assert 'psnr/one' in text
  errors = [
    output
    for cell in notebooks.code(shown)
    for output in cell.outputs
    if output.output_type == 'error'
  ]
  assert [len(error.traceback) for error in errors] == [1, 1]
  assert "did you mean 'text_to_video'" in errors[0].traceback[0]
  assert "'temprature'" in errors[1].traceback[0]


@pytest.mark.parametrize('name', _NAMES)
def test_what_is_committed(name):
  """Small, whole, in order, and of no machine."""
  notebook = notebooks.read(notebooks.FOLDER / f'{name}.ipynb')
  assert 10 <= len(notebook.cells) <= 25
  counts = [cell.execution_count for cell in notebooks.code(notebook)]
  if not any(counts):
    pytest.skip(f'make notebooks ARGS={name} has not filled it yet')
  assert counts == list(range(1, len(counts) + 1))
  texts = notebooks.texts(notebook)
  assert sum(map(len, texts)) < notebooks.MOST
  assert not [text for text in texts if _MACHINE.search(text[:2000])]
  assert all(len(line) <= 80 for cell in notebook.cells
             for line in cell.source.splitlines())  # fmt: skip


def test_parameters_take_the_place_of_the_first_cells():
  source = 'A = 1  # One.\nB = [\n  2,\n]\nC = 3'
  found = notebooks.with_parameters(source, {'B': 'x', 'A': 5})
  assert found == "A = 5\nB = 'x'\nC = 3"
  with pytest.raises(KeyError, match='D'):
    notebooks.with_parameters(source, {'D': 1})
