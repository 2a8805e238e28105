"""No two segments of a layout look the same to the model.

Swapping the contents of two segments must change what is predicted, for every
layout of every template, every preset and every kind of positions.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import drawn
from tests.models.prefix_lm import small
from videopoet_jax.core import errors
from videopoet_jax.core import tasks
from videopoet_jax.core import types
from videopoet_jax.layers import embeddings
from videopoet_jax.models.prefix_lm import config as config_lib
from videopoet_jax.models.prefix_lm import model as model_lib
from videopoet_jax.models.prefix_lm import presets

# Tasks that a user may add, each with two segments of one modality and role.
_OWN = (
  tasks.TaskTemplate(
    'two_pictures', 'video', ('visual:depth_tokens', 'visual:edge_tokens')
  ),
  tasks.TaskTemplate(
    'two_first_frames',
    'video',
    ('visual:depth_tokens[:1]', 'visual:edge_tokens[:1]'),
  ),
  tasks.TaskTemplate(
    'two_sounds', 'video', ('audio:voice_tokens', 'audio:music_tokens')
  ),
  tasks.TaskTemplate(
    'two_pictures_to_audio',
    'audio',
    ('visual:depth_tokens', 'visual:edge_tokens'),
    ('audio_tokens',),
  ),
  tasks.TaskTemplate(
    'two_sounds_to_audio',
    'audio',
    ('audio:voice_tokens', 'audio:music_tokens'),
    ('audio_tokens',),
  ),
  tasks.TaskTemplate(
    'two_targets', 'video', ('text',), ('video_tokens', 'visual:depth_tokens')
  ),
  tasks.TaskTemplate('two_texts', 'video', ('text', 'text:style_text')),
)
_SPACE = tasks.LayoutSpace(
  small.SPACE.vocabulary,
  small.SPACE.visual,
  small.SPACE.audio,
  text_slots=3,
  templates=(*tasks.TEMPLATES, *_OWN),
)
_FRAMES = (1, 5)  # One latent frame and two, of 2 x 2 cells.
_STYLIZATION = 'stylization/5x16x16/image=1'
_ENOUGH = 0.02  # Of what replacing the contents changes.


def _names():
  """Every layout of every template, under every value of its options."""
  for template in _SPACE.templates:
    for frames in _FRAMES:
      name = f'{template.name}/{template.frames or frames}x16x16'
      latents = _SPACE.visual.latent_frames(frames)
      options = [key for key, _ in template.options]
      for values in itertools.product(range(latents + 1), repeat=len(options)):
        chosen = ','.join(f'{k}={v}' for k, v in zip(options, values))
        yield f'{name}/{chosen}' if chosen else name


def _pairs(layout):
  """Pairs of segments that could hold each other's contents."""
  return [
    (one, other)
    for one, other in itertools.combinations(layout.filled(), 2)
    if one.modality is other.modality
  ]


@functools.cache
def _layouts():
  found = {}
  for name in _names():
    try:
      layout = _SPACE.layout(name)
    except errors.LayoutError:
      continue  # Options that do not go together.
    if _pairs(layout):
      found.setdefault(layout.segments, layout)
  return tuple(found.values())


def _has_conditions_alike(layout):
  return any(
    one.role is other.role and one.feature != other.feature
    for one, other in _pairs(layout)
  )


def _config(preset, **changes):
  """A preset's choices at a size that compiles in a moment."""
  return presets.preset(
    preset,
    **{
      'num_layers': 1,
      'width': 32,
      'num_heads': 2,
      'num_kv_heads': 2,
      'head_dim': 16,
      'mlp_dim': 32,
      'cell_hidden': 32,
      'text_embedding_dim': 4,
      'dtype': 'float32',
      'scan_layers': False,
      'remat': 'none',
      **changes,
    },
  )


def _chosen(name):
  """Layouts that a preset is tried on: compiling is what takes time here."""
  alike = [x for x in _layouts() if _has_conditions_alike(x)]
  if name in ('tiny', '300m'):
    return _layouts()
  return [x for x in alike if '/5x' in x.name]


def _cases():
  """Every preset with all that it chooses, then every kind of positions."""
  found = {}
  for name in presets.NAMES:
    config = _config(name)
    found.setdefault(config, (name, config.positions))
  own = list(found.values())
  for name, _ in own:
    for positions in config_lib.POSITIONS:
      found.setdefault(_config(name, positions=positions), (name, positions))
  return [(*case, case in own) for case in found.values()]


def _swapped(layout, tokens_BL, one, other):
  """Contents of two segments exchanged, where their grids overlap."""
  common = tuple(map(min, one.shape, other.shape))
  part = tuple(slice(0, size) for size in common)
  first, second = (
    np.arange(layout.slices[s.name].start, layout.slices[s.name].stop)
    .reshape(s.shape)[part]
    .ravel()
    for s in (one, other)
  )
  swapped = tokens_BL.copy()
  swapped[:, first], swapped[:, second] = (
    tokens_BL[:, second],
    tokens_BL[:, first],
  )
  replaced = tokens_BL.copy()
  fresh = small.tokens(layout, len(tokens_BL), seed=7)
  both = np.concatenate([first, second])
  replaced[:, both] = fresh[:, both]
  return swapped, replaced


def _margins(model, params, layout):
  """What swapping changes over what replacing changes, by pair."""
  rows = 4
  tokens_BL = small.tokens(layout, rows)
  inputs, pairs = [tokens_BL], _pairs(layout)
  for one, other in pairs:
    inputs += _swapped(layout, tokens_BL, one, other)
  visible = np.ones((len(inputs) * rows, layout.length), bool)
  text = None
  if model.config.text == 'embeddings':
    slots = sum(
      s.size for s in layout.filled() if s.modality is types.Modality.TEXT
    )
    text = jnp.ones((len(visible), slots, 4)) if slots else None
  run = jax.jit(
    lambda params, tokens: model.apply(
      {'params': params}, tokens, visible, layout, text, method='hidden'
    ),
    compiler_options={
      'xla_backend_optimization_level': 0,
      'xla_llvm_disable_expensive_passes': True,
    },
  )
  hidden = np.asarray(run(params, np.concatenate(inputs)))
  base, *changed = np.split(hidden, len(inputs))
  for number, (one, other) in enumerate(pairs):
    # The last position sees all; each sees conditions.
    seen = (
      slice(0, None) if other.role is types.Role.PREFIX else slice(-1, None)
    )
    swap, replace = (
      np.abs(x - base)[:, seen].mean()
      for x in changed[2 * number : 2 * number + 2]
    )
    yield f'{layout.name}: {one.name}, {other.name}', swap / replace


def _build(config):
  model = model_lib.PrefixLM(config, _SPACE.vocabulary)
  return model, drawn.params(model, 0.2)


@pytest.mark.parametrize('preset, positions, is_own', _cases())
def test_swapping_two_segments_changes_what_is_predicted(
  preset, positions, is_own
):
  config = _config(preset, positions=positions)
  model, params = _build(config)
  margins = {}
  for layout in _chosen(preset) if is_own else (_SPACE.layout(_STYLIZATION),):
    texts = [s for s in layout.filled() if s.modality is types.Modality.TEXT]
    if config.text == 'embeddings' and len(texts) > 1:
      with pytest.raises(errors.ConfigError, match='has 2 texts'):
        config.check(_SPACE.vocabulary, (layout,))
      continue
    margins |= dict(_margins(model, params, layout))
  assert len(margins) >= (8 if is_own else 3)
  assert {k: m for k, m in margins.items() if m < _ENOUGH} == {}


@pytest.mark.parametrize('positions', ['learned_3d', 'rotary'])
def test_without_identities_it_would_not(positions, monkeypatch):
  limits = embeddings.PlaceLimits(features=0)
  config = _config(
    '300m', positions=positions, place_limits=limits, lookahead=False
  )
  layout = _SPACE.layout(_STYLIZATION)
  with pytest.raises(errors.ConfigError, match=r'look the same.*--init_from'):
    config.check(_SPACE.vocabulary, (layout,))
  monkeypatch.setattr(config_lib.PrefixLMConfig, 'check', lambda *_: None)
  margins = dict(_margins(*_build(config), layout))
  (pair,) = [k for k in margins if 'structure_tokens_i, video_tokens_i' in k]
  assert margins[pair] < 1e-4
