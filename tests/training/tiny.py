"""A trainable that compiles in a blink: a two-layer network on noise."""

import dataclasses
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np


class Network(nn.Module):
  width: int = 8

  @nn.compact
  def __call__(self, inputs):
    def kernel(name, shape, axes):
      init = nn.with_logical_partitioning(nn.initializers.lecun_normal(), axes)
      return self.param(name, init, shape, inputs.dtype)

    up = kernel('up', (inputs.shape[-1], self.width), ('embed', 'mlp'))
    down = kernel('down', (self.width, 8), ('mlp', 'embed'))
    return jnp.tanh(inputs @ up) @ down


@dataclasses.dataclass(frozen=True)
class TinyTrainable:
  width: int = 8
  noise: float = 0.01
  name: str = 'tiny'

  def describe(self) -> dict[str, Any]:
    return {'kind': self.name, 'config': {'width': self.width}}

  def init(self, rng, batch):
    return Network(self.width).init(rng, batch['inputs'])['params']

  def loss(self, params, batch, rng, step, unit):
    out = Network(self.width).apply({'params': params}, batch['inputs'])
    noise = self.noise * jax.random.normal(rng, out.shape)
    scale = 2.0 if unit == 'b/large' else 1.0
    error = scale * jnp.mean(jnp.square(out + noise - batch['targets']))
    return error, {'error': error, 'progress': step / 10.0}

  def validation_loss(self, params, batch, rng, unit):
    return self.loss(params, batch, rng, 0, unit)


@dataclasses.dataclass(frozen=True)
class TinyBatches:
  """Two units that take turns; `bad` steps hold NaN."""

  size: int = 8
  bad: tuple[int, ...] = ()
  seed: int = 0

  def units(self):
    return ('a/small', 'b/large')

  def unit_at(self, step):
    return self.units()[step % 2]

  def batch(self, step):
    rng = np.random.default_rng((self.seed, step))
    inputs = rng.normal(size=(self.size, 8)).astype(np.float32)
    if step in self.bad:
      inputs[0, 0] = np.nan
    weights = np.random.default_rng(1).normal(size=(8, 8)).astype(np.float32)
    return {'inputs': inputs, 'targets': inputs @ weights}


class TinyValidation:
  """Two batches of each unit."""

  def units(self):
    return ('a/small', 'b/large')

  def batches(self, unit):
    first = self.units().index(unit)
    return [TinyBatches(seed=9).batch(step) for step in (first, first + 2)]
