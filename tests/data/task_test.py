"""Tasks as a gin file states them: what is kept, and what is refused."""

import dataclasses

import pytest

from videopoet_jax.core import errors
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.data import task as task_lib


def _own(**changes):
  fields = {'name': 'mine', 'task_token': 'video', 'target': ['video_tokens']}
  return task_lib.Task(**{**fields, **changes})


def test_mappings_and_lists_are_kept_as_sorted_tuples():
  task = _own(
    options={'b': 2, 'a': 1},
    minimum=[('y', 2.0), ('x', 1.0)],
    drop={'text': 0.1},
    prefix=['text'],
    variants=['', 'a=2'],
    preprocessors=['f'],
  )
  assert task.options == (('a', 1), ('b', 2))
  assert task.minimum == (('x', 1.0), ('y', 2.0))
  assert task.drop == (('text', 0.1),)
  assert (task.prefix, task.target) == (('text',), ('video_tokens',))
  assert task.variants == ('', 'a=2') and task.preprocessors == ('f',)
  assert hash(task) == hash(dataclasses.replace(task))


def test_a_definition_of_ones_own():
  template = _own(
    prefix=['text'], options={'k': 1}, frames=1, closed=False
  ).layout_template()
  assert template == tasks_lib.TaskTemplate(
    'mine', 'video', ('text',), ('video_tokens',), (('k', 1),), 1, False
  )
  assert _own().layout_template().prefix == ()


def test_a_built_in_template_under_another_name_and_with_other_options():
  task = task_lib.Task(
    'mine', template='future_prediction', options={'condition': 2}
  )
  template = task.layout_template()
  (known,) = [t for t in tasks_lib.TEMPLATES if t.name == 'future_prediction']
  assert template.name == 'mine'
  assert dict(template.options) == {'condition': 2, 'text': 0}
  assert (template.prefix, template.target) == (known.prefix, known.target)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({}, 'neither a template nor'),
    ({'template': 'text_to_video', 'task_token': 'video'}, 'both a template'),
    ({'template': 'text_to_video', 'prefix': ()}, 'both a template'),
    ({'template': 'text_to_video', 'target': ()}, 'both a template'),
    ({'task_token': 'video'}, 'is not complete'),
    ({'target': ('video_tokens',)}, 'is not complete'),
    ({'task_token': 'video', 'target': ()}, 'is not complete'),
    ({'template': 'text_to_video', 'rate': 0.0}, 'rate is 0.0'),
    ({'template': 'text_to_video', 'rate': -1}, 'rate is -1'),
    ({'template': 'text_to_video', 'drop': {'text': 1.5}}, "1.5 for 'text'"),
    ({'template': 'text_to_video', 'drop': {'text': -0.1}}, "-0.1 for 'text'"),
    ({'template': 'text_to_video', 'variants': 'a'}, 'variants is the string'),
    ({'template': 'text_to_video', 'preprocessors': 'a'}, 'list of strings'),
    ({'task_token': 'video', 'target': 'video_tokens'}, 'list of strings'),
  ],
)
def test_definitions_that_make_no_sense_are_refused(fields, message):
  with pytest.raises(errors.ConfigError, match=message):
    task_lib.Task('mine', **fields)


def test_shares_of_none_and_all_are_allowed():
  task = _own(prefix=['text'], drop={'text': 1, 'audio_tokens': 0})
  assert dict(task.drop) == {'text': 1, 'audio_tokens': 0}


def test_unknown_templates_and_options_are_named():
  with pytest.raises(errors.ConfigError, match="'text_to_vid'.*text_to_video"):
    task_lib.Task('a', template='text_to_vid').layout_template()
  task = task_lib.Task('a', template='image_to_video', options={'frist': 1})
  with pytest.raises(errors.ConfigError, match="no option 'frist'.*'first'"):
    task.layout_template()


def test_layout_names_are_the_standard_ones_or_those_stated():
  space = tasks_lib.LayoutSpace()
  task = task_lib.Task('mine', template='future_prediction')
  assert task.layout_names(space, 9, 16, 8) == (
    'mine/9x16x8/condition=1',
    'mine/9x16x8/condition=2',
  )
  stated = dataclasses.replace(task, variants=('', 'condition=2'))
  assert stated.layout_names(space, 9, 16, 8) == (
    'mine/9x16x8',
    'mine/9x16x8/condition=2',
  )
  image = task_lib.Task('still', template='text_to_image', variants=('',))
  assert image.layout_names(space, 9, 16, 8) == ('still/1x16x8',)
  assert _own().layout_names(space, 9, 16, 8) == ('mine/9x16x8',)
