"""Trains the visual tokenizer against a discriminator.

MAGVIT-v2 (arXiv 2310.05737, appendix A). One loss moves both networks: the
generator's terms see the discriminator's parameters as constants, and the
discriminator's terms see reconstructions as constants. So the gradients of one
backward pass are those of two separate ones, and what the loop does to a step
(skip, checkpoint, resume, shard) it does to both.

The parameters are three branches, each with an optimizer of its own
(`OptimizerConfig.discriminator`):

    generator/      the tokenizer
    discriminator/  logits of clips
    statistics/     moving averages of the mean logits, for LeCAM
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from videopoet_jax.core import errors
from videopoet_jax.losses import adversarial
from videopoet_jax.tokenizers.magvit2 import bundle as bundle_lib
from videopoet_jax.tokenizers.magvit2 import discriminator as discriminator_lib
from videopoet_jax.training import optimizers
from videopoet_jax.training import visual_tokenizer

Metrics = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class AdversarialRecipe:
  """Weights and schedules of the adversarial terms.

  Attributes:
    loss: 'non_saturating' (MAGVIT-v2) or 'hinge'.
    weight: weight of the generator's adversarial loss.
    start: share of the run, from 0 to 1, after which the discriminator is
      trained; `lead` later the generator's term joins.
    lead: share of the run in which the discriminator learns alone.
    lecam_weight: weight of LeCAM's regularization.
    penalty_weight: weight of the gradient penalty (R1, times one half).
    penalty_every: steps between two gradient penalties; the weight of each is
      this many times larger (Karras et al., arXiv 1912.04958), so that the
      mean stays and most steps save its time.
  """

  loss: str = 'non_saturating'
  weight: float = 0.1
  start: float = 0.0
  lead: float = 0.0
  lecam_weight: float = 0.001
  penalty_weight: float = 10.0
  penalty_every: int = 1

  def __post_init__(self) -> None:
    if self.loss not in adversarial.KINDS:
      hint = errors.near_names(self.loss, adversarial.KINDS)
      raise errors.ConfigError(
        f'AdversarialRecipe.loss is {self.loss!r}{hint}; expected one of '
        f'{", ".join(adversarial.KINDS)}.'
      )
    # Without weight the discriminator would be trained for nothing.
    errors.check_range(self, 'weight', above=True)
    errors.check_range(self, 'lecam_weight', 'penalty_weight')
    errors.check_range(self, 'start', 'lead', most=1)
    errors.check_range(self, 'penalty_every', least=1)
    if self.start + self.lead >= 1:
      raise errors.ConfigError(
        f'AdversarialRecipe.start + lead is {self.start + self.lead}, so that '
        'the generator never meets its discriminator; expected less than 1.'
      )


class AdversarialTrainable:
  """Implements the contract of `training.trainable.Trainable`.

  Attributes:
    name: 'visual_tokenizer'.
    inner: the tokenizer with its other terms.
    discriminator: sizes of the discriminator.
    recipe: weights and schedules of the adversarial terms.
  """

  name = visual_tokenizer.VisualTokenizerTrainable.name

  def __init__(
    self,
    inner: visual_tokenizer.VisualTokenizerTrainable,
    discriminator: discriminator_lib.DiscriminatorConfig,
    recipe: AdversarialRecipe,
  ) -> None:
    self.inner = inner
    self.discriminator = discriminator
    self.recipe = recipe
    self._module = discriminator_lib.Discriminator(discriminator)

  def describe(self) -> dict[str, Any]:
    """Returns the model's entries of `checkpoint.json`."""
    return self.inner.describe() | {
      'discriminator': dataclasses.asdict(self.discriminator),
      'adversarial_recipe': dataclasses.asdict(self.recipe),
    }

  def init(self, rng: jax.Array, batch: Mapping[str, Any]) -> Any:
    """Draws the parameters of all branches, boxed with their logical axes."""
    generator_key, discriminator_key = jax.random.split(rng)
    _, frames, height, width, _ = batch['video'].shape
    self.discriminator.check_size(height, width)
    video = jnp.zeros((1, frames, height, width, 3), jnp.float32)
    return {
      optimizers.GENERATOR: self.inner.init(generator_key, batch),
      optimizers.DISCRIMINATOR: self._module.init(discriminator_key, video)[
        'params'
      ],
      optimizers.STATISTICS: {
        'real': jnp.zeros((), jnp.float32),
        'fake': jnp.zeros((), jnp.float32),
      },
    }

  def bundle(self, params: Any) -> bundle_lib.VisualTokenizer:
    """Returns the tokenizer with these (unboxed) parameters."""
    return self.inner.bundle(params[optimizers.GENERATOR])

  def loss(
    self,
    params: Any,
    batch: Mapping[str, Any],
    rng: jax.Array,
    step: jax.Array,
    unit: str = visual_tokenizer.UNIT,
  ) -> tuple[jax.Array, Metrics]:
    """Computes the sum of both networks' losses; see `Trainable.loss`.

    Returns:
      The sum, and metrics: those of `VisualTokenizerTrainable.loss`; `loss`,
      the generator's; `adversarial`, its weighted term; `discriminator`, the
      other network's loss without regularization; `lecam` and
      `gradient_penalty`, weighted; and `logits_real` and `logits_fake`, means.
    """
    del unit
    passed = self.inner.reconstruct(
      params[optimizers.GENERATOR], batch, rng, step
    )
    progress = step.astype(jnp.float32) / self.inner.recipe.total_steps
    begun = progress >= self.recipe.start

    def act(out: jax.Array, video: jax.Array) -> tuple[jax.Array, Metrics]:
      return self._terms(params, out, video, step, progress)

    def rest(out: jax.Array, video: jax.Array) -> tuple[jax.Array, Metrics]:
      shapes = jax.eval_shape(act, out, video)
      return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    if self.recipe.start:
      total, metrics = jax.lax.cond(begun, act, rest, passed.out, passed.video)
    else:
      total, metrics = act(passed.out, passed.video)
    generator = passed.loss + metrics['adversarial']
    return passed.loss + total, passed.metrics | metrics | {'loss': generator}

  def _terms(
    self,
    params: Any,
    out: jax.Array,
    video: jax.Array,
    step: jax.Array,
    progress: jax.Array,
  ) -> tuple[jax.Array, Metrics]:
    """Sum and metrics of the adversarial terms of both networks."""
    recipe = self.recipe
    weights = params[optimizers.DISCRIMINATOR]
    statistics = params[optimizers.STATISTICS]

    # The generator's term: no gradient reaches the discriminator.
    fixed = jax.lax.stop_gradient(weights)
    joined = (progress >= recipe.start + recipe.lead).astype(jnp.float32)
    moved = (
      joined
      * recipe.weight
      * adversarial.generator_loss(self._logits(fixed, out), recipe.loss)
    )

    # The discriminator's terms: no gradient reaches the generator.
    out = jax.lax.stop_gradient(out)
    # One batch of both would halve the calls, and double the memory.
    real, fake = self._logits(weights, video), self._logits(weights, out)
    judged = adversarial.discriminator_loss(real, fake, recipe.loss)
    lecam = recipe.lecam_weight * adversarial.lecam(
      real, fake, statistics['real'], statistics['fake']
    )
    penalty = self._penalty(weights, video, step)
    means = {'real': jnp.mean(real), 'fake': jnp.mean(fake)}
    # The gradient of this term is the distance to the new value, so that plain
    # gradient descent at rate 1 - decay is a moving average of that decay. Its
    # own value is left out of the sum.
    toward = jnp.zeros((), jnp.float32)
    for name, mean in means.items():
      distance = statistics[name] - jax.lax.stop_gradient(mean)
      toward += 0.5 * jnp.square(distance)
    toward -= jax.lax.stop_gradient(toward)
    return moved + judged + lecam + penalty + toward, {
      'adversarial': moved,
      'discriminator': judged,
      'lecam': lecam,
      'gradient_penalty': penalty,
      'logits_real': means['real'],
      'logits_fake': means['fake'],
    }

  def _logits(self, weights: Any, video: jax.Array) -> jax.Array:
    logits = self._module.apply({'params': weights}, video)
    assert isinstance(logits, jax.Array)
    return logits

  def _penalty(
    self, weights: Any, video: jax.Array, step: jax.Array
  ) -> jax.Array:
    recipe = self.recipe
    if not recipe.penalty_weight:
      return jnp.zeros((), jnp.float32)

    def penalty(video: jax.Array) -> jax.Array:
      return (
        0.5
        * recipe.penalty_weight
        * recipe.penalty_every
        * adversarial.gradient_penalty(
          lambda real: self._logits(weights, real), video
        )
      )

    if recipe.penalty_every == 1:
      return penalty(video)
    return jax.lax.cond(
      step % recipe.penalty_every == 0,
      penalty,
      lambda video: jnp.zeros((), jnp.float32),
      video,
    )

  def validation_loss(
    self,
    params: Any,
    batch: Mapping[str, Any],
    rng: jax.Array,
    unit: str = visual_tokenizer.UNIT,
  ) -> tuple[jax.Array, Metrics]:
    """Scores the tokenizer alone; see `VisualTokenizerTrainable`."""
    return self.inner.validation_loss(
      params[optimizers.GENERATOR], batch, rng, unit
    )
