"""Frozen protocols: whatever is changed gives another id."""

import dataclasses
import json

import gin
import pytest

from tests.evaluation import tiny_protocol
from videopoet_jax.core import config
from videopoet_jax.core import errors
from videopoet_jax.core import paths
from videopoet_jax.demo import profile as profile_lib
from videopoet_jax.evaluation import eval_datasets
from videopoet_jax.evaluation import protocol
from videopoet_jax.experiments import evaluate
from videopoet_jax.experiments import train  # noqa: F401 (registers)
from videopoet_jax.shapes import judges

_TASK_CHANGES = {
  'name': 'other',
  'layout': 'text_to_video/17x32x32',
  'metrics': ('ssim',),
  'data': 'ucf101',
  'split': 'test',
  'samples': 19,
  'subsets': {'psnr': (4, 2)},
  'per_condition': 2,
  'order_seed': 0,
  'real': 'ucf101',
  'real_split': 'train',
  'real_samples': 9,
  'real_order_seed': 0,
  'frames': 12,
  'first_frame': 1,
  'real_cut': 'central',
  'real_frames': 17,
  'real_rate': 'native',
  'size': (32, 32),
  'resizing': 'none',
  'text_suffix': '!',
  'negative_text': 'blur',
}
# What cannot act alone is refused.
_TOGETHER = {
  'real_cut': {'real_rate': 8},
  'real_frames': {'real_cut': 'first', 'real_rate': 8},
  'real_rate': {'real_cut': 'first'},
  'real_order_seed': {'real_samples': 8},
}
_CHANGES = {
  'name': 'other',
  'version': 2,
  'seed': 1,
  'sampling': {'one': {'temperature': 0.5}},
  'networks': {'fvd': 'i3d_kinetics400'},
  'block': 8,
}


def test_every_field_of_a_task_is_frozen():
  fields = {f.name for f in dataclasses.fields(protocol.EvaluationTask)}
  assert fields == set(_TASK_CHANGES)
  ids = {tiny_protocol.make().id}
  for name, value in _TASK_CHANGES.items():
    changed = {name: value}
    if name == 'resizing':
      changed['size'] = ()
    changed |= _TOGETHER.get(name, {})
    # A negative text acts with guidance only.
    guided = {'sampling': {'one': {'guidance': 2.0}}}
    more = guided if name == 'negative_text' else {}
    ids.add(tiny_protocol.make(tiny_protocol.task(**changed), **more).id)
  assert len(ids) == 1 + len(_TASK_CHANGES)


def test_every_field_of_a_protocol_is_frozen():
  fields = {f.name for f in dataclasses.fields(protocol.Protocol)}
  assert fields == {*_CHANGES, 'tasks', 'source'}
  ids = {tiny_protocol.make().id}
  ids |= {tiny_protocol.make(**{k: v}).id for k, v in _CHANGES.items()}
  assert len(ids) == 1 + len(_CHANGES)
  assert tiny_protocol.make(source='a book').id in ids  # Words only.


def _shipped():
  return [
    file
    for file in paths.gin_files()
    if file.startswith('gin/protocols/') and not file.endswith('_sampling.gin')
  ]


@pytest.mark.usefixtures('clean_registries')
def test_ids_of_shipped_protocols_are_golden(repository):
  golden = json.loads((repository / 'tests/golden/protocols.json').read_text())
  found = {}
  for file in _shipped():
    config.parse([file])
    found[file] = config.call(protocol.Protocol).id
  assert found == golden, 'a frozen protocol changed: raise its version'


@pytest.mark.parametrize(
  'demo, name, times',
  [
    ('demo', 'shapes_easy_scoreboard', 1),
    ('demo_full', 'shapes_scoreboard', 2),  # It has twice the samples.
  ],
)
@pytest.mark.usefixtures('clean_registries')
def test_a_demo_trains_what_its_protocol_scores(demo, name, times):
  profile = profile_lib.load(demo)
  shipped = evaluate.load_protocol(name)
  used = evaluate.load_protocol(profile.protocol)
  names = ('TOKENS', 'VISUAL', 'AUDIO', 'TEXT')
  config.parse(profile.prefix_lm, [f"{n} = ''" for n in names])
  layouts = gin.query_parameter('prefix_lm.layouts')
  assert tuple(task.name for task in used.tasks) == judges.TASKS
  assert [task.layout for task in used.tasks] == layouts
  for number, (task, other) in enumerate(zip(used.tasks, shipped.tasks)):
    assert task.samples == times * other.samples
    found = eval_datasets.open_set(task.data, task.split, {})
    assert found.config == profile.shapes
    assert task.layout == other.layout
    assert used.sampling_of(task.name) == shipped.sampling_of(task.name)
    assert used.task_seed(task.name) == number


@pytest.mark.usefixtures('clean_registries')
def test_a_binding_changes_the_id():
  file = 'gin/protocols/k600.gin'
  config.parse([file])
  before = config.call(protocol.Protocol).id
  config.parse([file], ['future_prediction/EvaluationTask.samples = 8'])
  changed = config.call(protocol.Protocol)
  assert changed.tasks[0].samples == 8 and changed.id != before


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'metrics': 'psnr'}, r"metrics is the string 'psnr'"),
    ({'samples': 0}, 'samples is 0; expected at least 1'),
    ({'resizing': 'none'}, 'say how to get there'),
    ({'real_cut': 'middle', 'real_rate': 8}, "real_cut is 'middle'"),
    ({'real_cut': 'central'}, "real_rate is ''; expected frames a second"),
    ({'real_cut': 'central', 'real_rate': 'slow'}, "real_rate is 'slow'"),
    ({'real_rate': 'native'}, 'real_frames and real_rate go with'),
    ({'real_frames': 16}, 'real_frames and real_rate go with'),
    (
      {'real_cut': 'central', 'real_rate': 8, 'real_frames': 15},
      'real_frames is 15 and frames 16',
    ),
    ({'real_order_seed': 1}, 'real_order_seed is 1 and real_samples 0'),
    ({'subsets': {'psnr': (10, 2)}}, 'does not fit 18 samples'),
    ({'name': 'a b'}, 'a-z, 0-9 and _ only'),
  ],
)
def test_impossible_tasks_are_refused(changes, message):
  with pytest.raises(errors.ConfigError, match=message):
    tiny_protocol.task(**changes)


def test_impossible_protocols_are_refused():
  with pytest.raises(errors.ConfigError, match="no setting 'heat'"):
    tiny_protocol.make(sampling={'one': {'heat': 1}})
  with pytest.raises(errors.ConfigError, match="top_k is 'x'; expected a"):
    tiny_protocol.make(sampling={'one': {'top_k': 'x'}})
  with pytest.raises(errors.ConfigError, match="no task 'three'"):
    tiny_protocol.make(sampling={'three': {}})
  with pytest.raises(errors.ConfigError, match='every name once'):
    tiny_protocol.make(tiny_protocol.task(), tiny_protocol.task())
  with pytest.raises(errors.ConfigError, match="holds 'text_to_video'"):
    tiny_protocol.make('text_to_video')


_CLIPS = {
  'layout': 'reconstruction/17x16x16', 'frames': 0, 'size': (),
  'resizing': 'none',
}  # fmt: skip


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'layout': 'reconstruction/17x16'}, "such as 'reconstruction/17x128x128'"),
    ({'layout': 'reconstruction/0x16x16'}, 'layout is'),
    ({'per_condition': 2}, 'per_condition is 2 and cannot act'),
    ({'real': 'ucf101'}, "real is 'ucf101' and cannot act"),
    ({'text_suffix': '!'}, 'text_suffix'),
    ({'size': (8, 8), 'resizing': 'bicubic'}, r'size is \(8, 8\)'),
    ({'samples': -1}, 'samples is -1'),
  ],
)
def test_impossible_reconstructions_are_refused(changes, message):
  with pytest.raises(errors.ConfigError, match=message):
    tiny_protocol.task(**{**_CLIPS, **changes})


def test_a_protocol_is_of_one_kind():
  clips = tiny_protocol.task(**_CLIPS)
  assert tiny_protocol.make(clips).is_reconstruction
  assert not tiny_protocol.make().is_reconstruction
  with pytest.raises(errors.ConfigError, match='make two protocols'):
    tiny_protocol.make(clips, tiny_protocol.task(name='two'))
  with pytest.raises(errors.ConfigError, match='nothing is drawn'):
    tiny_protocol.make(clips, seed=1)
  with pytest.raises(errors.ConfigError, match='nothing is drawn'):
    tiny_protocol.make(clips, sampling={'default': {'temperature': 0.5}})
  # All clips of a set, whose clips were cut as the layout says.
  every = tiny_protocol.task(
    **_CLIPS | {'samples': 0, 'real_cut': 'first', 'real_rate': 8}
  )
  assert (every.cut.num_frames, every.cut.height) == (17, 16)


def test_other_protocols_refuse_to_be_compared():
  protocol.check_same(['a-v1-1', 'a-v1-1'])
  with pytest.raises(errors.ConfigError, match='a-v1-1, a-v1-2'):
    protocol.check_same(['a-v1-1', 'a-v1-2'])


def test_a_negative_text_without_guidance_is_refused():
  task = protocol.EvaluationTask(
    name='a', layout='b', metrics=('psnr',), data='c', samples=1,
    negative_text='bad',
  )  # fmt: skip
  with pytest.raises(errors.ConfigError, match='acts with guidance only'):
    protocol.Protocol(name='p', tasks=(task,))
  sampling = {'a': {'guidance': 2.0, 'guide_on': ['text']}}
  made = protocol.Protocol(name='p', tasks=(task,), sampling=sampling)
  assert made.sampling_of('a').guide_on == ('text',)
