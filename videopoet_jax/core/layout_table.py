"""Sequence layouts as rows of JSON and as text for people."""

from collections.abc import Sequence
from typing import Any

from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import specs
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.core import vocabulary as vocabulary_lib


def spaces() -> dict[str, tasks_lib.LayoutSpace]:
  """The paper's sizes, and those that the demo trains on a CPU."""
  return {
    'paper': tasks_lib.LayoutSpace(),
    'tiny': tasks_lib.LayoutSpace(
      vocabulary_lib.Vocabulary(
        visual_size=4096, audio_levels=2, audio_codes=256, text_size=128
      ),
      specs.VisualSpec(codebook_size=4096),
      specs.AudioSpec(levels=2, codes=256, sampling_rate=16_000, hop=2000),
      text_slots=12,
    ),
  }


def table(
  layouts: Sequence[layout_lib.SequenceLayout],
) -> list[dict[str, Any]]:
  """JSON values of each layout, padding to kernel blocks included."""
  return [
    {**layout.to_json(), 'kernel_padding': layout.kernel_padding}
    for layout in layouts
  ]


def text(layouts: Sequence[layout_lib.SequenceLayout]) -> str:
  """Returns the same for people, layouts of one AGD group together."""
  rows = {row['name']: row for row in table(layouts)}
  lines = []
  for length, group in layout_lib.groups(layouts).items():
    names = 'layout' if len(group) == 1 else 'layouts'
    lines.append(f'AGD group of length {length}: {len(group)} {names}')
    for layout in group:
      row = rows[layout.name]
      lines.append(
        f'  {layout.name}: {row["prefix_length"]} prefix + '
        f'{row["target_length"]} target = {length}, '
        f'{row["kernel_padding"]} padded by the attention kernel of a TPU'
      )
      for role in ('prefix', 'target'):
        parts = [
          segment.get('token')
          or f'{segment["name"]} {"x".join(map(str, segment["shape"]))}'
          for segment in row['segments']
          if segment['role'] == role
        ]
        lines.append(f'    {role}: {" ".join(parts)}')
  return '\n'.join(lines)
