"""Guidance on any condition: what is hidden, and what is drawn."""

import jax
import numpy as np
import pytest

from tests.models.prefix_lm import small
from videopoet_jax.core import errors
from videopoet_jax.inference import decode
from videopoet_jax.inference import sampling

_TASKS = (
  'text_to_video',
  'future_prediction',
  'image_to_video',
  'inpainting',
  'stylization',
  'audio_to_video',
  'video_to_audio',
  'audio_video_continuation',
)
_OPTIONS = {'future_prediction': '/condition=1', 'stylization': '/image=1'}
_MODELS = (
  {},
  {'positions': 'rotary', 'scan_layers': False, 'cell_inputs': ()},
  {
    'positions': 't5_buckets',
    'text': 'embeddings',
    'visual_output': 'softmax',
    'visual_input': 'table',
  },
)


def _layout(task):
  return small.SPACE.layout(f'{task}/{small.SIZE}{_OPTIONS.get(task, "")}')


def _conditions(layout):
  return list(
    dict.fromkeys(layout.segment(n).feature for n in layout.droppable)
  )


def _texts(model, batch, seed):
  if model.config.text != 'embeddings':
    return None
  drawn = np.random.default_rng(seed)
  return drawn.normal(size=(batch, 3, 5)).astype(np.float32)


@pytest.mark.parametrize('changes', _MODELS)
@pytest.mark.parametrize('task', _TASKS)
def test_the_content_of_a_hidden_condition_has_no_influence(task, changes):
  layout = _layout(task)
  features = _conditions(layout)
  model, params = small.build(small.config(**changes))
  rows = len(features) + 1
  tokens = np.repeat(small.tokens(layout, 1), rows, axis=0)
  visible = np.ones(tokens.shape, bool)
  text = _texts(model, 1, 1)
  text = None if text is None else np.repeat(text, rows, axis=0)
  other, other_text = tokens.copy(), None if text is None else text.copy()
  drawn = small.tokens(layout, 1, seed=7)[0]
  for row, feature in enumerate(features):
    visible[row] = decode.hide(layout, visible[row : row + 1], [feature])[0]
    for name, part in layout.droppable.items():
      if layout.segment(name).feature == feature:
        assert not visible[row, part].any()
        other[row, part] = drawn[part]
    if feature == 'text' and other_text is not None:
      other_text[row] += 1.0
  # The last row sees everything: all of it changed makes a difference.
  for part in layout.droppable.values():
    other[-1, part] = drawn[part]
  if other_text is not None:
    other_text[-1] += 1.0
  run = jax.jit(
    lambda tokens, text: model.apply(
      {'params': params}, tokens, visible, layout, text, method='hidden'
    )
  )
  base, again = (
    np.asarray(run(tokens, text)),
    np.asarray(run(other, other_text)),
  )
  np.testing.assert_array_equal(again[:-1], base[:-1])
  assert (again[-1] != base[-1]).any()
  # And hiding it is not the same as showing it.
  assert (base[:-1] != base[-1:]).any(axis=(1, 2)).all()


@pytest.mark.parametrize('task', ('audio_to_video', 'stylization'))
def test_the_likeliest_id_is_that_of_the_guided_logits(task):
  layout = _layout(task)
  model, params = small.build(small.config(visual_output='softmax'))
  tokens = small.tokens(layout, 2)
  seen, changed = np.ones(tokens.shape, bool), []

  @jax.jit
  def states(made, visible):
    return model.apply(
      {'params': params}, made, visible, layout, None, method='hidden'
    )

  logits = jax.jit(
    lambda hidden, run: model.apply(
      {'params': params}, hidden, run, method='logits'
    ),
    static_argnums=1,
  )
  for feature in _conditions(layout):
    config = sampling.SamplingConfig(
      temperature=0.0, guidance=20.0, guide_on=(feature,)
    )
    made = decode.generate(model, params, layout, tokens, seen, config=config)
    hidden = decode.hide(layout, seen, [feature])

    both = [np.asarray(states(made, visible)) for visible in (seen, hidden)]
    for run in layout.target_runs:
      if run.range.size == 1:
        continue
      part = slice(
        run.start - layout.prefix_length, run.stop - layout.prefix_length
      )
      given, free = (
        np.asarray(logits(state[:, part].reshape(-1, state.shape[-1]), run))
        for state in both
      )
      guided = free + 20.0 * (given - free)
      drawn = made[:, run.start : run.stop].reshape(-1) - run.range.start
      best = np.take_along_axis(guided, drawn[:, None], axis=-1)[:, 0]
      # The likeliest, but for what rounding leaves open.
      assert (best > guided.max(axis=-1) - 0.02).all()
      plain = np.take_along_axis(given, drawn[:, None], axis=-1)[:, 0]
      changed.append((plain < given.max(axis=-1) - 1e-3).any())
  # Without guidance others would be the likeliest.
  assert any(changed)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'guide_on': ()}, 'list of conditions'),
    ({'guide_on': 'text'}, 'list of conditions'),
    ({'temperature': 0.0, 'top_k': 3}, 'cannot act'),
    ({'temperature': 0.0, 'top_p': 0.5}, 'cannot act'),
    ({'guidance': float('inf')}, 'guidance'),
    ({'guidance': float('nan')}, 'guidance'),
  ],
)
def test_settings_that_contradict_are_refused(fields, message):
  with pytest.raises(errors.ConfigError, match=message):
    sampling.SamplingConfig(**fields)
