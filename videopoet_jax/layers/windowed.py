"""A transformer layer that attends within windows and to a condition.

The keys of a cell are those of its own window, those of the window of the same
place in a coarser grid, and text. The paper's layer attends to the three in
turn ('cross'); 'joint' attends to all in one softmax, which costs fewer
projections (VideoPoet, section 3.4).
"""

from collections.abc import Sequence
from typing import NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.layers import attention
from videopoet_jax.layers import masks
from videopoet_jax.layers import mlp
from videopoet_jax.layers import norms
from videopoet_jax.layers import partitioning
from videopoet_jax.layers import positions
from videopoet_jax.layers import transformer
from videopoet_jax.layers import windows

CONDITIONING = ('cross', 'joint')

_AXES = ('activation_batch', None, 'activation_embed')


class Source(NamedTuple):
  """Vectors that keys and values are projected from.

  Attributes:
    name: distinguishes kernels where there are several sources.
    vectors_BSD: one vector a key.
    angles_SP: rotary angles of the keys; None where they have no place.
    visible_BS: bool, keys that may be seen; None for all.
    copies: number of query sequences in a row that share a row of
      `vectors_BSD`.
  """

  name: str
  vectors_BSD: jax.Array
  angles_SP: np.ndarray | None = None
  visible_BS: jax.Array | None = None
  copies: int = 1

  def shared(self, rows: jax.Array) -> jax.Array:
    """Repeats rows, once for each sequence of queries."""
    return jnp.repeat(rows, self.copies, axis=0) if self.copies > 1 else rows


class Conditions(NamedTuple):
  """Conditions that every layer attends to besides the cells themselves.

  Attributes:
    low_BTHWD: cells of the coarser grid.
    text_BSD: text, at least one slot of which is visible.
    visible_BS: bool, slots that may be seen.
  """

  low_BTHWD: jax.Array
  text_BSD: jax.Array
  visible_BS: jax.Array


class SourceAttention(nn.Module):
  """Multi-head attention to the keys of one or several sources.

  Attributes:
    config: heads, types and implementation.
    output_scale: variance of the initial output where the input's is one.
  """

  config: transformer.BlockConfig
  output_scale: float = 1.0

  @nn.compact
  def __call__(
    self,
    inputs_BLD: jax.Array,
    sources: Sequence[Source],
    angles_LP: np.ndarray | None = None,
  ) -> jax.Array:
    """Maps (B, L, D) to (B, L, D).

    Args:
      inputs_BLD: vectors that the queries are projected from.
      sources: each example needs at least one visible key among them.
      angles_LP: rotary angles of the queries.
    """
    config = self.config
    types = {'dtype': config.dtype, 'param_dtype': config.param_dtype}

    def project(name: str, vectors: jax.Array) -> jax.Array:
      return attention.project_heads(
        self, name, vectors, config.num_heads, config.head_dim, **types
      )

    def place(
      name: str, heads: jax.Array, angles: np.ndarray | None
    ) -> jax.Array:
      if config.qk_norm:
        heads = norms.RMSNorm(name=name, axis_name='head_dim', **types)(heads)
      if angles is not None:
        heads = positions.rotate(heads, jnp.asarray(angles))
      return heads

    query_BNLH = place('query_norm', project('query', inputs_BLD), angles_LP)
    keys, values = [], []
    for source in sources:
      suffix = f'_{source.name}' if len(sources) > 1 else ''
      key_BNSH = place(
        f'key_norm{suffix}',
        project(f'key{suffix}', source.vectors_BSD),
        source.angles_SP,
      )
      # Copied after the projection, which is then computed once.
      keys.append(source.shared(key_BNSH))
      values.append(
        source.shared(project(f'value{suffix}', source.vectors_BSD))
      )
    heads_BNLH = attention.attend(
      query_BNLH,
      jnp.concatenate(keys, axis=2) if len(keys) > 1 else keys[0],
      jnp.concatenate(values, axis=2) if len(values) > 1 else values[0],
      masks.BIDIRECTIONAL,
      _visible(sources),
      implementation=config.attention,
    )
    return attention.project_out(
      self,
      heads_BNLH,
      inputs_BLD.shape[-1],
      output_scale=self.output_scale,
      **types,
    )


def _visible(sources: Sequence[Source]) -> jax.Array | None:
  """Bool (B, keys of all sources), None where all are visible."""
  if all(source.visible_BS is None for source in sources):
    return None
  rows = [
    jnp.ones(source.vectors_BSD.shape[:2], bool)
    if source.visible_BS is None
    else source.visible_BS
    for source in sources
  ]
  return jnp.concatenate(
    [source.shared(row) for source, row in zip(sources, rows)], axis=1
  )


class WindowedLayer(nn.Module):
  """Attention within windows and to the conditions, then the gated MLP.

  Attributes:
    config: sizes.
    window: window of the cells, see `windows.fitted`.
    scale: rows and columns of the grid over those of the coarser one.
    conditioning: one of `CONDITIONING`.
  """

  config: transformer.BlockConfig
  window: windows.Window
  scale: int
  conditioning: str = 'cross'

  @nn.compact
  def __call__(
    self, cells_BTHWD: jax.Array, conditions: Conditions
  ) -> jax.Array:
    """Maps (B, T, H, W, D) to (B, T, H, W, D)."""
    config = self.config
    types = {'dtype': config.dtype, 'param_dtype': config.param_dtype}
    batch, *sizes, width = cells_BTHWD.shape
    grid = (sizes[0], sizes[1], sizes[2])
    window = windows.fitted(self.window, grid)
    low_window = windows.coarse(window, self.scale)
    low_BTHWD = conditions.low_BTHWD
    real_NL = low_real_NL = None
    room = windows.padding(window, grid)
    if room:
      # Frames that fill the last window are neither seen nor kept.
      low_grid = windows.coarse(grid, self.scale)
      real_NL = jnp.asarray(windows.filled(batch, window, grid))
      low_real_NL = jnp.asarray(windows.filled(batch, low_window, low_grid))
      cells_BTHWD = windows.fill_up(cells_BTHWD, room)
      low_BTHWD = windows.fill_up(low_BTHWD, room)
    angles = positions.rotary_angles(
      windows.coordinates(window), config.head_dim
    )
    low = Source(
      'low',
      windows.split(low_BTHWD, low_window),
      positions.rotary_angles(
        windows.coordinates(low_window, self.scale), config.head_dim
      ),
      low_real_NL,
    )
    stream_NLD = partitioning.constrain(
      windows.split(cells_BTHWD, window), _AXES
    )
    number = stream_NLD.shape[0] // batch
    joint = self.conditioning == 'joint'
    # The number of times that each layer adds to the residual stream.
    scale = 1.0 / ((2 if joint else 4) * config.num_layers)

    def normal(name: str) -> jax.Array:
      return norms.RMSNorm(name=f'{name}_norm', **types)(stream_NLD)

    def attend(name: str) -> SourceAttention:
      return SourceAttention(config, scale, name=name)

    inputs_NLD = normal('attention')
    itself = Source('self', inputs_NLD, angles, real_NL)
    text = Source(
      'text',
      conditions.text_BSD,
      None,
      conditions.visible_BS,
      copies=number if joint else 1,
    )
    if joint:
      stream_NLD += attend('attention')(inputs_NLD, (itself, low, text), angles)
    else:
      stream_NLD += attend('attention')(inputs_NLD, (itself,), angles)
      stream_NLD += attend('low_attention')(
        normal('low_attention'), (low,), angles
      )
      # All cells of an example read the same text: no windows are needed.
      added_BLD = attend('text_attention')(
        normal('text_attention').reshape(batch, -1, width), (text,)
      )
      stream_NLD += added_BLD.reshape(stream_NLD.shape)
    stream_NLD = partitioning.constrain(stream_NLD, _AXES)
    stream_NLD += mlp.GatedMLP(
      config.mlp_dim, config.activation, output_scale=scale, name='mlp', **types
    )(normal('mlp'))
    whole = (grid[0] + room, *grid[1:])
    return partitioning.constrain(
      windows.merge(stream_NLD, whole, window)[:, : grid[0]],
      ('activation_batch', None, None, None, 'activation_embed'),
    )
