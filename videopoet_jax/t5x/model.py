"""The prefix language model as T5X trains, scores and decodes it."""

from collections.abc import Iterable, Mapping
from typing import Any

import clu.metrics
import flax.core
from flax.linen import partitioning as flax_partitioning
import flax.struct
import gin
import jax
import jax.numpy as jnp
import numpy as np
from t5x import metrics as metrics_lib
from t5x import models
from t5x import optimizers

from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import types
from videopoet_jax.data import layout_tasks
from videopoet_jax.data import token_metrics
from videopoet_jax.inference import decode
from videopoet_jax.inference import sampling
from videopoet_jax.parallel import rules as rules_lib
from videopoet_jax.t5x import converter as converter_lib
from videopoet_jax.t5x import experiment
from videopoet_jax.t5x import optimizer as optimizer_lib
from videopoet_jax.training import optimizers as optimizers_lib
from videopoet_jax.training import prefix_lm

Batch = Mapping[str, jax.Array]
# Features of a batch besides the name of its layout.
_ARRAYS = ('tokens', 'visible', 'text_embeddings')


class LayoutModel(models.BaseTransformerModel):
  """The model on batches of one layout each.

  A batch holds `tokens` int32 (B, L), `visible` bool (B, L) and a feature
  without elements whose name contains the layout, see `converter`.
  """

  def __init__(
    self,
    trainable: prefix_lm.PrefixLMTrainable,
    optimizer_def: optimizers.OptimizerDef | None = None,
    *,
    seed: int | None = None,
    accumulate: int = 1,
    sampling_config: sampling.SamplingConfig = sampling.DEFAULT,
  ) -> None:
    """Wraps a trainable.

    Args:
      trainable: the model, its layouts and its loss.
      optimizer_def: the optimizer of training.
      seed: seed of the initial parameters, which then equal those of this
        project's own loop; None uses T5X's key.
      accumulate: number of microbatches, whose gradients T5X adds up.
      sampling_config: settings of sampling for `predict_batch`, with guidance.
    """
    vocabulary = layout_tasks.shared_vocabulary(trainable.space.vocabulary)
    super().__init__(
      module=trainable.module,
      input_vocabulary=vocabulary,
      output_vocabulary=vocabulary,
      optimizer_def=optimizer_def,
      z_loss=trainable.config.z_loss,
    )
    self.trainable = trainable
    self._seed = seed
    self._accumulate = accumulate
    self._sampling = sampling_config
    self.FEATURE_CONVERTER_CLS = converter_lib.LayoutFeatureConverter
    self._modalities = _modalities(trainable.layouts.values())

  def _layout(self, batch: Batch) -> layout_lib.SequenceLayout:
    """Layout of a batch; raises ConfigError if it is none of the run's."""
    name = converter_lib.layout_of(batch)
    if name not in self.trainable.layouts:
      hint = errors.near_names(str(name), self.trainable.layouts)
      raise errors.ConfigError(
        f'a batch is of the layout {name!r}, which is none of the run{hint}; '
        'list its task in load_tasks.tasks.'
      )
    return self.trainable.layouts[name]

  # Training.

  def get_initial_variables(
    self,
    rng: jax.Array,
    input_shapes: Mapping[str, Any],
    input_types: Mapping[str, Any] | None = None,
  ) -> flax.core.FrozenDict:
    """Draws parameters, with the names of their axes.

    Args:
      rng: random key, unless the model has a seed.
      input_shapes: unused: parameters are the same for any layout.
      input_types: unused.
    """
    del input_shapes, input_types
    if self._seed is not None:
      rng = jax.random.key(self._seed)
    boxed = self.trainable.init(rng)
    return flax.core.freeze(
      {
        'params': rules_lib.unbox(boxed),
        'params_axes': _axes(rules_lib.logical_axes(boxed)),
      }
    )

  def loss_fn(
    self, params: Any, batch: Batch, dropout_rng: jax.Array | None
  ) -> tuple[jax.Array, dict[str, Any]]:
    """Loss of this project's own loop; without a key, that of validation.

    Args:
      params: parameters, unboxed.
      batch: a batch of one layout.
      dropout_rng: random key of the noise on the inputs.

    Returns:
      The scalar to minimise, a part of the mean if gradients of several
      microbatches are added up, and CLU metrics. T5X joins those of several
      training steps, so they are the same for all layouts; those of modalities
      that no layout of these steps predicts are NaN.
    """
    layout = self._layout(batch)
    arrays = {name: batch[name] for name in _ARRAYS if name in batch}
    plain = flax.core.unfreeze(params)
    if dropout_rng is None:
      loss, found = self.trainable.validation_loss(
        plain, arrays, jax.random.key(0), layout.name
      )
    else:
      loss, found = self.trainable.loss(
        plain, arrays, dropout_rng, jnp.int32(0), layout.name
      )
    modalities = self._modalities
    if dropout_rng is None:  # T5X validates each layout separately.
      modalities = _modalities([layout])
    rows = batch['tokens'].shape[0]
    return loss / self._accumulate, {
      **_averages(found, modalities),
      **_timing(rows, rows * (layout.length - layout.prefix_length)),
    }

  def eval_fn(
    self, params: Any, batch: Batch
  ) -> tuple[jax.Array, dict[str, Any]]:
    """See `loss_fn`."""
    return self.loss_fn(params, batch, None)

  def _compute_logits(
    self, params: Any, batch: Batch, dropout_rng: jax.Array | None = None
  ) -> jax.Array:
    """Raises: heads differ by position, and no table of logits is computed."""
    raise errors.ConfigError(
      'this model has no logits over one vocabulary: every position has the '
      'ids that its layout admits. Use score_batch or predict_batch.'
    )

  # Inference.

  def score_batch(
    self, params: Any, batch: Batch, return_intermediates: bool = False
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Returns log likelihoods of the targets, in nats.

    Args:
      params: parameters, unboxed.
      batch: a batch of one layout.
      return_intermediates: unused.

    Returns:
      float32 (B,), summed over the target; and `token_scores` float32 (B, T),
      one for every position after the prefix, 0 where the layout admits one id.
    """
    del return_intermediates
    layout = self._layout(batch)
    results = self.module.apply(
      {'params': flax.core.unfreeze(params)},
      batch['tokens'],
      batch['visible'],
      layout,
      batch.get('text_embeddings'),
    )
    rows, first = batch['tokens'].shape[0], layout.prefix_length
    scores = jnp.zeros((rows, layout.target_length), jnp.float32)
    for run, result in results.items():
      part = slice(run.start - first, run.stop - first)
      scores = scores.at[:, part].set(-result.loss_BT)
    return jnp.sum(scores, axis=1), {token_metrics.TOKEN_SCORES: scores}

  def predict_batch_with_aux(
    self,
    params: Any,
    batch: Batch,
    rng: jax.Array | None = None,
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Draws the targets with this project's sampler.

    Args:
      params: parameters, unboxed.
      batch: a batch of one layout; its targets are ignored.
      rng: random key of the draws; that of seed 0 if there is none.

    Returns:
      int32 (B, T), unified ids of the positions after the prefix, and
      `scores` float32 (B,), their log likelihood.
    """
    layout, config = self._layout(batch), self._sampling
    plain = flax.core.unfreeze(params)
    tokens, visible = batch['tokens'], batch['visible']
    text = batch.get('text_embeddings')
    is_prefix = np.arange(layout.length) < layout.prefix_length
    tokens = jnp.where(is_prefix[None], tokens, layout.template_L[None])
    rows = tokens.shape[0]
    keys = jax.random.split(jax.random.key(0) if rng is None else rng, rows)
    if config.is_guided:
      hidden = decode.conditions_of(layout, config.guide_on)
      tokens = jnp.tile(tokens, (2, 1))
      visible = jnp.concatenate([visible, visible & ~hidden[None, :]])
      text = None if text is None else jnp.tile(text, (2, 1, 1))
    filled = decode.fill(
      plain,
      tokens,
      visible,
      text,
      keys,
      jnp.float32(config.guidance),
      model=self.module,
      layout=layout,
      config=config,
    )
    scores, _ = self.score_batch(params, {**batch, 'tokens': filled})
    return filled[:, layout.prefix_length :], {'scores': scores}


def _modalities(
  layouts: Iterable[layout_lib.SequenceLayout],
) -> tuple[str, ...]:
  """Names of the modalities that some layouts predict."""
  return tuple(
    dict.fromkeys(
      run.range.modality.value
      for layout in layouts
      for run in layout.target_runs
      if run.range.modality is not types.Modality.SPECIAL and run.range.size > 1
    )
  )


def _axes(logical: Any) -> Any:
  """Names of axes in T5X's form: beside the parameters, marked by name."""
  return {
    f'{name}_axes' if isinstance(value, jax.sharding.PartitionSpec) else name: (
      flax_partitioning.AxisMetadata(value)
      if isinstance(value, jax.sharding.PartitionSpec)
      else _axes(value)
    )
    for name, value in logical.items()
  }


@flax.struct.dataclass
class _Average(clu.metrics.Average):
  """An average that is NaN, without a warning, for an empty sum."""

  def compute(self) -> Any:
    return self.total / self.count if self.count else np.float32(np.nan)


def _averages(
  found: Mapping[str, jax.Array], modalities: tuple[str, ...]
) -> dict[str, clu.metrics.Metric]:
  """Adds missing averages, so that those of several steps can be joined.

  Args:
    found: the metrics of one batch.
    modalities: the modalities of all layouts.
  """
  names = ['loss', 'perplexity']
  for modality in modalities:
    names += [f'loss/{modality}', f'accuracy/{modality}']
  averages = {}
  for name in names:
    value = found.get(name)
    averages[name] = _Average(
      total=jnp.float32(0 if value is None else value),
      count=jnp.int32(value is not None),
    )
  return averages


def _timing(rows: int, targets: int) -> dict[str, clu.metrics.Metric]:
  """Metrics of speed under T5X's own names."""
  rate = metrics_lib.TimeRate.from_model_output
  return {
    'timing/seconds': metrics_lib.Time(),
    'timing/steps_per_second': metrics_lib.StepsPerTime.from_model_output(),
    'timing/seqs_per_second': rate(numerator=jnp.int32(rows)),
    'timing/target_tokens_per_second': rate(numerator=jnp.int32(targets)),
  }


@gin.register
def layout_model(
  sampling_config: sampling.SamplingConfig = sampling.DEFAULT,
) -> LayoutModel:
  """Returns the model of the run that gin binds.

  Args:
    sampling_config: settings of sampling.
  """
  made = experiment.current()
  trainable = made.trainable
  axes = rules_lib.logical_axes(
    jax.eval_shape(trainable.init, jax.random.key(0))
  )
  return LayoutModel(
    trainable,
    optimizer_lib.OptaxOptimizer(
      optimizers_lib.create(made.optimizer, made.loop.total_steps, axes)
    ),
    seed=made.loop.seed,
    accumulate=made.optimizer.accumulate,
    sampling_config=sampling_config,
  )
