"""Likelihood of existing clips under a model, by modality."""

from collections.abc import Mapping
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.core import layout as layout_lib
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.models.prefix_lm import model as model_lib


@functools.partial(jax.jit, static_argnames=('model', 'layout'))
def _losses(
  params: Any,
  tokens_BL: jax.Array,
  visible_BL: jax.Array,
  text_embeddings_BSE: jax.Array | None,
  *,
  model: model_lib.PrefixLM,
  layout: layout_lib.SequenceLayout,
) -> dict[str, jax.Array]:
  """Summed loss of each modality, float32 (B,)."""
  results = model.apply(
    {'params': params}, tokens_BL, visible_BL, layout, text_embeddings_BSE
  )
  sums: dict[str, jax.Array] = {}
  for run, result in results.items():
    name = run.range.modality.value
    sums[name] = sums.get(name, 0.0) + jnp.sum(result.loss_BT, axis=1)
  return sums


def negative_log_likelihoods(
  generator: generator_lib.Generator,
  layout: layout_lib.SequenceLayout,
  features: Mapping[str, Any],
) -> dict[str, np.ndarray]:
  """Returns the negative log likelihood of a layout's targets in nats.

  Args:
    generator: opened checkpoint.
    layout: layout of the sequences.
    features: local ids of prefix and targets by feature, each with a leading
      axis of clips.

  Returns:
    For each modality ('visual', 'audio') `nll_<modality>` float64 (B,), summed
    over its tokens, and `tokens_<modality>` int64 (B,), their number; every
    token is predicted from the true ones before it. Delimiters are left out.
  """
  features = dict(features)
  number = max(len(ids) for ids in features.values())
  text = generator.take_embeddings(layout, features)
  tokens_BL, visible_BL = generator.fill(layout, features, number)
  put = generator.place or (lambda array: array)
  sums = _losses(
    generator.params,
    put(tokens_BL.astype(np.int32)),
    put(visible_BL),
    None if text is None else put(text),
    model=generator.model,
    layout=layout,
  )
  found: dict[str, np.ndarray] = {}
  for run in layout.target_runs:
    name = run.range.modality.value
    if run.range.size == 1:
      continue
    count = found.setdefault(f'tokens_{name}', np.zeros(number, np.int64))
    count += run.stop - run.start
    found[f'nll_{name}'] = np.asarray(sums[name], np.float64)
  return found
