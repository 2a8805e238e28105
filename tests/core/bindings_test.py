"""Every binding of every shipped gin file refuses values of another type."""

from collections.abc import Mapping
import dataclasses
import inspect
import typing
from typing import Any

import gin
import gin.config as gin_config
import pytest

from videopoet_jax.core import bindings
from videopoet_jax.core import config
from videopoet_jax.core import errors
from videopoet_jax.core import paths
from videopoet_jax.demo import profile
from videopoet_jax.experiments import train as train_lib
from videopoet_jax.jobs import evaluate

pytestmark = pytest.mark.usefixtures('clean_registries')

# Imported for what they register with gin.
del profile, evaluate
_OVERLAYS = (
  'gin/local_tiny.gin',
  'gin/runs/smoke_steps.gin',
  *(
    name
    for name in paths.gin_files()
    if name.startswith(('gin/partitioning/', 'gin/models/'))
  ),
)
_MACROS = (
  'MEDIA',
  'HELD_OUT',
  'PERCEPTUAL',
  'TOKENS',
  'VISUAL',
  'AUDIO',
  'LOW',
  'TEXT',
)


def _left_open(*names: str) -> list[str]:
  """Bindings for what files leave open."""
  text = ''.join(map(_text, names))
  found = [f"{m} = 'x'" for m in _MACROS if f'{m} = %gin.REQUIRED' in text]
  for name in ('STEPS', 'SLICES'):
    if f'%{name}' in text and f'{name} = ' not in text.replace('%', ''):
      found.append(f'{name} = 2')
  return found


def _text(name: str) -> str:
  """The text of a file and of those that it includes."""
  text = paths.resolve(name).read_text()
  for line in text.splitlines():
    if line.startswith('include '):
      text += _text(line.split("'")[1])
  return text


def _wrong(right: Any) -> list[Any]:
  """Values that cannot stand in the place of a right one.

  Judged by the value alone and not by the annotation: what is tested must not
  be its own judge.
  """
  if isinstance(right, bool):
    return ['ten', 5, 0.5, None, [True], {'a': True}]
  if isinstance(right, int):
    return ['ten', '5', 0.5, True, [right], {'a': right}, 1e999]
  if isinstance(right, float):
    return ['ten', '1e-3', True, [right], {'a': right}, 1e999, -1e999]
  if isinstance(right, str):
    return [5, 0.5, True, [right], {'a': right}, ('a', 'b')]
  if isinstance(right, list | tuple):
    wrong = ['ten', 5, True]
    for inner in _wrong(right[0])[:4] if right else ():
      wrong.append([*right[:-1], inner])
    return wrong
  if isinstance(right, Mapping):
    wrong = ['ten', 5, True, [1, 2]]
    for key, value in list(right.items())[:1]:
      wrong += [{**right, key: inner} for inner in _wrong(value)[:2]]
    return wrong
  return ['ten', 5, 0.5, True, [1], {'a': 1}]


# Parameters that take values of two kinds, and values of the second kind.
_TWO_KINDS = {
  # One directory, or several.
  'tokens': lambda value: (
    isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
  ),
  # A number, or 'native'; the protocol itself refuses other words.
  'real_rate': lambda value: (
    isinstance(value, str | int | float) and not isinstance(value, bool)
  ),
  # A folder or several; a protocol or its name.
  'checkpoint': lambda value: isinstance(value, str),
  'tokenizer': lambda value: isinstance(value, str),
  'protocol': lambda value: isinstance(value, str),
}


def _is_second_kind(scope: str, selector: str, name: str, value: Any) -> bool:
  for (_, user), parameters in gin_config._CONFIG.items():
    # The macro may be what such a parameter is bound to.
    for parameter, bound in parameters.items():
      if selector == 'gin.macro' and bindings._macro_name(bound) == scope:
        selector, name = user, parameter
  named = selector.endswith(('.prefix_lm', '.EvaluationTask', 'evaluate'))
  return named and name in _TWO_KINDS and _TWO_KINDS[name](value)


def _all_parameters() -> list[tuple[str, str, Any]]:
  """Every parameter that gin may bind: configurable, name, default."""
  found = []
  for selector, configurable in gin_config._REGISTRY.items():
    if not configurable.wrapped.__module__.startswith('videopoet_jax.'):
      continue
    signature = inspect.signature(configurable.wrapped)
    for parameter in signature.parameters.values():
      if parameter.kind is parameter.VAR_KEYWORD:
        fields = dataclasses.fields(
          typing.get_type_hints(configurable.wrapped)['return']
        )
        found += [(selector, f.name, f.default) for f in fields]
      else:
        found.append((selector, parameter.name, parameter.default))
  return found


def test_every_configurable_is_annotated_precisely():
  loose = []
  for selector, name, _ in _all_parameters():
    wrapped = gin_config._REGISTRY[selector].wrapped
    if bindings.annotation_of(wrapped, name, name) in (Any, object):
      loose.append(f'{selector}.{name}')
  assert not loose


def test_every_parameter_refuses_values_that_its_default_rules_out():
  config.parse()
  tried = 0
  for selector, name, default in _all_parameters():
    # None, and what has no default, say nothing of the type.
    if default is None or default in (inspect.Parameter.empty, gin.REQUIRED):
      continue
    if default is dataclasses.MISSING or callable(default):
      continue
    if repr(default) == '<factory>':
      continue
    for value in _wrong(default):
      tried += 1
      _refused('', selector, name, value)
  assert tried > 1000


def _refused(scope: str, selector: str, name: str, value: Any) -> None:
  if _is_second_kind(scope, selector, name, value):
    return
  key = (scope, selector)
  before = dict(gin_config._CONFIG.get(key, {}))
  gin_config._CONFIG[key] = {**before, name: value}
  try:
    with pytest.raises(errors.ConfigError) as caught:
      bindings.check_types()
      pytest.fail(f'{scope}/{selector}.{name} = {value!r} is accepted')
  finally:
    gin_config._CONFIG[key] = before
  message = str(caught.value)
  where = scope if selector == 'gin.macro' else name
  assert where in message and 'expected' in message and '\n' not in message
  assert repr(value)[:20] in message


# T5X reads its own, by names of its own.
_FILES = [name for name in paths.gin_files() if 'gin/t5x/' not in name]


@pytest.mark.parametrize('file', _FILES)
def test_every_binding_of_a_shipped_file_refuses_other_types(file):
  config.parse([file], _left_open(file))
  used = {
    reference.config_key[0]
    for parameters in gin_config._CONFIG.values()
    for reference in bindings._references(list(parameters.values()))
  }
  tried = 0
  for (scope, selector), parameters in list(gin_config._CONFIG.items()):
    if selector == 'gin.macro' and scope not in used:
      continue  # An overlay's macro is used in the file that it changes.
    for name, bound in parameters.items():
      right = bindings.resolve(bound, name)
      if right is None:
        continue  # It says nothing of the type.
      for value in _wrong(right):
        tried += 1
        _refused(scope, selector, name, value)
  assert tried or 'Task' not in file


@pytest.mark.parametrize('overlay', _OVERLAYS)
@pytest.mark.parametrize(
  'run', ['gin/runs/paper_prefix_lm.gin', 'gin/runs/media_visual_tokenizer.gin']
)
def test_runs_and_overlays_pass_together(run, overlay):
  config.parse([run, overlay], _left_open(run, overlay))
  bindings.build_configs(train_lib._bound)


@pytest.mark.parametrize(
  'binding, expected',
  [
    ('train.parts = @LoopConfig()', '@visual_tokenizer()'),
    ('train.parts = @visual_tokenizer', 'train.parts is @visual_tokenizer;'),
    ('train.loop = @OptimizerConfig()', '@LoopConfig()'),
    ('train.mesh = @ScheduleConfig()', '@MeshConfig() or None'),
    ('visual_tokenizer.mixture = @visual_tokenizer()', '@ClipMixture()'),
    ('OptimizerConfig.learning_rate = @LoopConfig()', 'a number'),
    ('train.rules = {"batch": 3}', 'train.rules'),
    ('VisualTokenizerConfig.channel_multipliers = (1, 2.5)', 'whole numbers'),
    ('a_scope/OptimizerConfig.clip_norm = "1"', 'a_scope/OptimizerConfig.clip'),
    ('STEPS = %MEDIA', "STEPS is 'x'"),
    ('STEPS = 2.0', 'a whole number (LoopConfig.total_steps = %STEPS)'),
    ('OptimizerConfig = 3', 'OptimizerConfig.name'),
    ('STEP = 3', "did you mean 'STEPS'"),
    ('LoopConfig.compiler_options = ["a"]', 'a mapping of strings'),
    ('prefix_lm.clip = (17, 32)', 'a list of 3 whole numbers or None'),
    ('prefix_lm_preset.num_layers = "two"', 'a whole number'),
    ('prefix_lm_preset.layers = 2', "did you mean 'num_layers'"),
    ('prefix_lm_preset.place_limits = @LoopConfig()', '@PlaceLimits()'),
  ],
)
def test_other_wrong_bindings_are_named(binding, expected):
  run = 'gin/runs/media_visual_tokenizer.gin'
  with pytest.raises(errors.ConfigError) as caught:
    config.parse([run], ["MEDIA = 'x'", binding])
  message = str(caught.value)
  assert expected in message and '\n' not in message


def test_macros_that_refer_to_each_other_are_refused():
  run = 'gin/runs/media_visual_tokenizer.gin'
  with pytest.raises(errors.ConfigError, match='in a circle'):
    config.parse([run], ["MEDIA = 'x'", 'STEPS = %OTHER', 'OTHER = %STEPS'])


@pytest.mark.parametrize(
  'binding',
  [
    'LoopConfig.log_every = 0',
    'OptimizerConfig.learning_rate = -1.0',
    'ScheduleConfig.warmup_steps = -1',
    'ClipMixture.masked_share = 3.0',
  ],
)
def test_configs_of_a_call_are_built_before_it(binding):
  run = 'gin/runs/media_visual_tokenizer.gin'
  config.parse([run], ["MEDIA = 'nowhere'", binding])
  with pytest.raises(errors.ConfigError) as caught:
    config.call(train_lib._bound)
  name = binding.split(' ')[0]
  assert name in str(caught.value) and '\n' not in str(caught.value)
