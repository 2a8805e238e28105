"""Names shared by every room: modalities, roles and the array glossary.

Array names carry dimension letters where rank is not plain:
B batch, T frames or latent frames, H height, W width, C channels,
L sequence positions, D model width, N heads, S text slots,
K residual-quantizer levels, F audio latent frames.
`video_BTHWC` is float32 in [-1, 1] inside models and uint8 on disk;
`audio_BT` is float32 in [-1, 1] inside and int16 on disk; ids are int32.
*Local* ids start at 0 within their vocabulary range, *global* ids are
positions in the unified vocabulary.
"""

import enum


class Modality(str, enum.Enum):
  """Kind of content of a segment; also names its vocabulary range."""

  SPECIAL = 'special'
  VISUAL = 'visual'
  AUDIO = 'audio'
  TEXT = 'text'


class Role(str, enum.Enum):
  """Whether a segment conditions the model or is predicted by it."""

  PREFIX = 'prefix'
  TARGET = 'target'
