"""Networks whose best ids are known, in place of a trained one."""

from flax import linen as nn
import jax
import jax.numpy as jnp

BITS = 3  # Of each factor.
VALUES = 2**BITS
_SURE = 40.0


def second_of(first):
  """The one second factor that a first one allows."""
  return (3 * first + 1) % VALUES


class Agreeing(nn.Module):
  """Every id of a clip is the same; which one, the first draw decides.

  Unless every token is masked, the known ones decide; the second factor
  follows from the first.
  """

  def hidden(self, tokens, masked, low, low_visible, text, text_visible):
    shape = tokens.shape
    known = ~masked.reshape(shape[0], -1)
    first = (tokens >> BITS).reshape(shape[0], -1)
    votes = jnp.sum(jax.nn.one_hot(first, VALUES) * known[..., None], axis=1)
    share = votes / jnp.maximum(1.0, votes.sum(axis=-1, keepdims=True))
    return jnp.broadcast_to(
      _SURE * share[:, None, None, None], (*shape, VALUES)
    )

  def first_factor(self, hidden):
    return hidden

  def second_factor(self, hidden, first):
    return _SURE * jax.nn.one_hot(second_of(first), VALUES)


class Conditioned(nn.Module):
  """Logits that only depend on which conditions are visible.

  First factor 1 is what the low-resolution ids ask for, 2 what the text asks
  for: each adds `_ASKS` to its logit.
  """

  def hidden(self, tokens, masked, low, low_visible, text, text_visible):
    asked = jnp.stack(
      [low_visible, jnp.any(text_visible, axis=-1)], axis=-1
    ).astype(jnp.float32)
    room = [(0, 0), (1, VALUES - 3)]
    logits = jnp.pad(asked, room)
    return jnp.broadcast_to(
      logits[:, None, None, None], (*tokens.shape, VALUES)
    )

  def first_factor(self, hidden):
    return hidden

  def second_factor(self, hidden, first):
    return jnp.zeros((hidden.shape[0], VALUES))
