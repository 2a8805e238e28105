"""Tasks from gin files: ours, a user's own, and every mistake."""

import dataclasses
import sys

import gin
import pytest
import seqio

from videopoet_jax.core import errors
from videopoet_jax.core import paths
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.data import registry

ALL = [template.name for template in tasks_lib.TEMPLATES]


def test_there_is_a_task_file_for_every_template():
  tasks = registry.load_tasks(tasks=ALL)
  assert [task.name for task in tasks] == ALL
  assert [task.layout_template() for task in tasks] == list(tasks_lib.TEMPLATES)
  names = {
    file.split('/')[1].removesuffix('.gin') for file in paths.task_files()
  }
  # Super-resolution in raster order is a task, though no standard one.
  assert names == {*ALL, 'upscaling'}


def test_layout_names_are_the_standard_ones(space):
  tasks = registry.load_tasks(tasks=ALL)
  names = registry.layout_names(tasks, space, 9, 16, 16)
  assert list(names) == space.standard_names(9, 16, 16)


def test_variants_and_renamed_templates(space, task_folder):
  path = task_folder.write(
    'mine.gin',
    "hold/Task.template = 'future_prediction'\n"
    "hold/Task.options = {'condition': 1}\n"
    "hold/Task.variants = ['', 'condition=2,text=1']\n"
    "still/Task.template = 'future_prediction'\n",
  )
  tasks = registry.load_tasks([path])
  assert registry.layout_names(tasks, space, 9, 16, 16) == (
    'hold/9x16x16',
    'hold/9x16x16/condition=2,text=1',
    'still/9x16x16/condition=1',
    'still/9x16x16/condition=2',
  )
  ours = registry.space_for(tasks, space)
  layout = ours.layout('hold/9x16x16')
  assert layout.segment('video_tokens_i').shape == (1, 2, 2)


def test_a_user_task_joins_ours(space, task_folder):
  path = task_folder.own_task(1)
  tasks = registry.load_tasks([path], tasks=['text_to_video'])
  assert [task.name for task in tasks] == ['text_to_video', 'last_frames']
  ours = registry.space_for(tasks, space)
  layout = ours.layout('last_frames/9x16x16')
  assert layout.segment('video_tokens_o').start == 1
  registered = registry.register(tasks[1], [layout])
  assert seqio.TaskRegistry.get('last_frames') is registered
  assert set(registered.output_features) == {
    'text',
    'structure_tokens',
    'video_tokens',
  }
  assert str(task_folder.path) not in sys.path


def test_a_preprocessor_by_gin_reference(space, task_folder, monkeypatch):
  task_folder.write(
    'gin_steps.py',
    'import gin\n\n@gin.configurable\ndef hand_on(dataset):\n'
    '  return dataset\n',
  )
  path = task_folder.write(
    'plain.gin',
    'import gin_steps\n'
    "plain/Task.template = 'unconditional'\n"
    'plain/Task.preprocessors = [@gin_steps.hand_on]\n',
  )
  (task,) = registry.load_tasks([path])
  layouts = registry.space_for([task], space).layouts(['plain/9x16x16'])
  registry.register(task, layouts)
  assert seqio.TaskRegistry.get('plain').preprocessors[0]('same') == 'same'


def test_what_is_dropped_has_to_be_a_condition(space):
  (task,) = registry.load_tasks(['stylization'])
  layouts = space.layouts(['stylization/9x16x16'])
  wrong = dataclasses.replace(task, drop={'txt': 0.1})
  with pytest.raises(errors.ConfigError, match="'txt'.*mean 'text'"):
    registry.register(wrong, layouts)
  with pytest.raises(errors.ConfigError, match='no condition'):
    registry.register(
      dataclasses.replace(task, drop={'audio_tokens': 0.1}), layouts
    )
  registry.register(
    dataclasses.replace(task, drop={'structure_tokens': 0.1}), layouts
  )


def test_bindings_parsed_before_win_over_the_file():
  gin.parse_config('text_to_video/Task.rate = 7')
  (task,) = registry.load_tasks(['text_to_video'])
  assert task.rate == 7
  assert dict(task.drop) == {'text': 0.1}


@pytest.mark.parametrize(
  'field, value',
  [
    ('rate', "'twice'"),
    ('rate', 'True'),
    ('drop', "{'text': 'often'}"),
    ('minimum', "['quality']"),
    ('preprocessors', '[3]'),
    ('frames', '1.5'),
    ('variants', "'condition=1'"),
    ('template', '5'),
  ],
)
def test_a_task_files_values_of_another_type_are_named(tmp_path, field, value):
  path = tmp_path / 'mine.gin'
  template = "mine/Task.template = 'text_to_video'\n"
  path.write_text(f'{template}mine/Task.{field} = {value}\n')
  with pytest.raises(errors.ConfigError, match=f'mine/Task.{field} is'):
    registry.load_tasks([str(path)])


def test_gin_lists_the_tasks_of_a_run():
  gin.parse_config("load_tasks.tasks = ['inpainting', 'tasks/outpainting.gin']")
  gin.finalize()
  assert [t.name for t in registry.load_tasks()] == [
    'inpainting',
    'outpainting',
  ]


def test_registering_twice(space):
  (task,) = registry.load_tasks(['text_to_video'])
  layouts = space.layouts(['text_to_video/9x16x16'])
  first = registry.register(task, layouts)
  assert registry.register(task, layouts) is first
  gin.bind_parameter('text_to_video/Task.rate', 3)
  (other,) = registry.load_tasks(['text_to_video'])
  with pytest.raises(errors.ConfigError, match='registered already'):
    registry.register(other, layouts)


def test_a_vocabulary_without_room_for_the_text(space):
  small = dataclasses.replace(
    space, vocabulary=dataclasses.replace(space.vocabulary, text_size=100)
  )
  (task,) = registry.load_tasks(['text_to_video'])
  with pytest.raises(errors.DataError, match='Vocabulary.text_size=259'):
    registry.register(task, small.layouts(['text_to_video/9x16x16']))


@pytest.mark.parametrize(
  'text, message',
  [
    ('x/Task.prefix = ["text"]', 'a new template needs'),
    ('x/Task.rate = 1', 'neither a template nor a definition'),
    (
      "x/Task.template = 'unconditional'\nx/Task.prefix = ['text']",
      'both a template and a definition',
    ),
    ("x/Task.template = 'inpaintin'", "did you mean 'inpainting'"),
    ("x/Task.template = 'unconditional'\nx/Task.rate = 0", 'positive number'),
    (
      "x/Task.template = 'text_to_video'\nx/Task.drop = {'text': 2}",
      'share from 0 to 1',
    ),
    (
      "x/Task.template = 'image_to_video'\nx/Task.options = {'txt': 1}",
      "did you mean 'text'",
    ),
    ("x/Task.task_token = 'video'\nx/Task.target = 'video'", 'list of strings'),
    ("x/Task.templat = 'unconditional'", 'templat'),
    ("Task.template = 'unconditional'", 'without a scope'),
    ('# nothing', 'defines no task'),
    ('x/Task.template = ', 'cannot be read'),
    ("import no_such_module\nx/Task.template = 'inpainting'", 'no_such_module'),
    (
      "x/Task.template = 'inpainting'\nx/Task.preprocessors = ['rename_']",
      "did you mean 'rename'",
    ),
    (
      "x/Task.template = 'inpainting'\nx/Task.preprocessors = ['no_such.step']",
      'cannot be imported',
    ),
    (
      "x/Task.template = 'inpainting'\nx/Task.preprocessors = "
      "['videopoet_jax.data.preprocessors.random_txt']",
      "did you mean 'random_text'",
    ),
  ],
)
def test_mistakes_in_a_task_file(space, task_folder, text, message):
  path = task_folder.write('x.gin', text)
  with pytest.raises(errors.ConfigError, match=message) as caught:
    (task,) = registry.load_tasks([path])
    layouts = registry.space_for([task], space).layouts(['x/9x16x16'])
    registry.register(task, layouts)
  assert '\n' not in str(caught.value)


def test_unknown_and_duplicate_tasks(task_folder):
  with pytest.raises(errors.ConfigError, match="did you mean 'inpainting'"):
    registry.load_tasks(['inpaintin'])
  with pytest.raises(errors.ConfigError, match='no gin file'):
    registry.load_tasks(['nowhere/mine.gin'])
  again = task_folder.write(
    'again.gin', "inpainting/Task.template = 'inpainting'"
  )
  with pytest.raises(errors.ConfigError, match='defined twice'):
    registry.load_tasks([again], tasks=['inpainting'])
  tasks = registry.load_tasks(['inpainting'])
  with pytest.raises(errors.ConfigError, match="did you mean 'inpainting'"):
    registry.by_name(tasks, 'inpantng')


def test_conditions_that_guidance_may_act_on_are_dropped_for_a_tenth():
  drops = {t.name: dict(t.drop) for t in registry.load_tasks(tasks=ALL)}
  assert {name: drop for name, drop in drops.items() if drop} == {
    'text_to_video': {'text': 0.1},
    'text_to_image': {'text': 0.1},
    'future_prediction': {'text': 0.1},
    'image_to_video': {'text': 0.1},
    'inpainting': {'inpainting_tokens': 0.1},
    'outpainting': {'outpainting_tokens': 0.1},
    'stylization': {'structure_tokens': 0.1, 'text': 0.1},
    'audio_to_video': {'audio_tokens': 0.1},
    'video_to_audio': {'video_tokens': 0.1},
  }


def test_the_demo_drops_every_condition_that_it_guides_on():
  file = str(paths.resolve('gin/runs/demo_prefix_lm.gin'))
  gin.parse_config_file(file, skip_unknown=True)
  drops = {t.name: dict(t.drop) for t in registry.load_tasks(tasks=ALL)}
  drawn = gin.query_parameter('SHAPES_EASY_SAMPLING/gin.macro.value')
  for name, fields in drawn.items():
    if fields.get('guidance', 1.0) != 1.0:
      for feature in fields.get('guide_on', ['text']):
        assert drops[name][feature] == 0.1


def test_the_full_demo_drops_text_alone():
  # Models and loops are no matter of this room.
  file = str(paths.resolve('gin/runs/demo_full_prefix_lm.gin'))
  gin.parse_config_file(file, skip_unknown=True)
  drops = {t.name: dict(t.drop) for t in registry.load_tasks(tasks=ALL)}
  assert {name: drop for name, drop in drops.items() if drop} == {
    name: {'text': 0.1}
    for name in (
      'text_to_video', 'text_to_image', 'future_prediction', 'image_to_video',
      'stylization',
    )
  }  # fmt: skip
