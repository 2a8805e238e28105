"""How much of the batches of a demo's run was padding."""

import json
import pathlib
import re
from typing import Any

from videopoet_jax.checkpoints import manager
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.data import agd
from videopoet_jax.experiments import train
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.shapes import held_out
from videopoet_jax.tokenizers import text as text_lib

_BOUND = re.compile(r'^prefix_lm\.tokens_per_batch = (\d+)', re.MULTILINE)


def report(folder: pathlib.Path, clips: held_out.Clips) -> dict[str, Any]:
  """Padding of the run's batches, by how often each layout came.

  Args:
    folder: the run's folder.
    clips: clips whose captions stand for those of training.

  Returns:
    JSON values: those of `agd.agd_report`, the groups of layouts, and the
    batches of each layout.
  """
  generator = generator_lib.Generator.load(folder)
  tokens_per_batch = _tokens_per_batch(folder)
  counts = _batch_counts(folder)
  layouts = generator.space.layouts(generator.layout_names)
  slots = generator.space.text_slots
  text_BS = generator.tokenizers.text.encode(clips.captions, slots)
  groups = [
    {
      'length': length,
      'examples': layout_lib.examples_per_batch(group[0], tokens_per_batch),
      'layouts': [layout.name for layout in group],
    }
    for length, group in layout_lib.groups(layouts).items()
  ]
  found = agd.agd_report(
    layouts,
    [max(counts.get(layout.name, 0), 0) for layout in layouts],
    tokens_per_batch=tokens_per_batch,
    text_lengths=(text_BS != text_lib.PAD_ID).sum(1).tolist(),
  )
  return {**found, 'groups': groups, 'batches': counts}


def _tokens_per_batch(folder: pathlib.Path) -> int:
  """Tokens of a batch, as the run's own configuration says."""
  found = _BOUND.search((folder / train.CONFIG_FILE).read_text())
  assert found is not None
  return int(found[1])


def _batch_counts(folder: pathlib.Path) -> dict[str, int]:
  """Batches of each layout that the run trained on, from its checkpoint."""
  last = manager.complete_steps(folder)[-1]
  step = folder / manager.STEPS_FOLDER / str(last) / manager.COUNTERS
  (found,) = [p for p in step.rglob('*') if p.name == 'metadata']
  return json.loads(found.read_text())['batches']
