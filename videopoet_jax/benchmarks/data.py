"""`videopoet bench data`: the speed of batches and of resuming.

A token data set of random ids that fills every task is written into a temporary
folder and read in the same way as by a run: all layouts, drawn by their rates.
"""

from collections.abc import Callable, Sequence
import dataclasses
import os
import tempfile
import time
from typing import Any

import numpy as np

from videopoet_jax.benchmarks import cost
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.training import compiled_steps

POSITIONS = (0, 10_000_000)
_CLIPS = 256
_STEPS = 50
# Length of a caption in words; a slot holds about a word or less.
_WORDS = (3, 12)


def data(
  space: tasks_lib.LayoutSpace,
  clip: tuple[int, int, int],
  rounds: int,
  tokens_per_batch: int,
) -> dict[str, Any]:
  """Times drawing clips, reading batches and resuming; measures padding.

  Args:
    space: vocabulary and grids.
    clip: frames, height and width.
    rounds: number of times that each thing is timed.
    tokens_per_batch: positions of a batch.

  Returns:
    JSON values: `shapes` (clips drawn a second), `token_batches` (examples and
    tokens a second, and the same a second of one core's time), `resume`
    (seconds to the first batch at each of `POSITIONS`, with a checkpoint's
    counters and without), `padding` (see `agd.agd_report`).
  """
  from videopoet_jax.data import agd
  from videopoet_jax.data import batches as batches_lib
  from videopoet_jax.data import registry
  from videopoet_jax.shapes import config as shapes_config
  from videopoet_jax.shapes import render

  tasks = registry.load_tasks(tasks=[t.name for t in tasks_lib.TEMPLATES])
  # Text is read as bytes here, which require no model.
  vocabulary = dataclasses.replace(
    space.vocabulary, text_size=max(space.vocabulary.text_size, 259)
  )
  space = dataclasses.replace(space, vocabulary=vocabulary)
  space = registry.space_for(tasks, space)
  layouts = space.layouts(registry.layout_names(tasks, space, *clip))
  shapes = shapes_config.ShapesConfig()
  clips = 16
  with tempfile.TemporaryDirectory() as folder:
    directory = os.path.join(folder, 'tokens')
    used = _write(directory, space, clip)

    def make() -> batches_lib.TokenBatches:
      return batches_lib.TokenBatches(
        tasks,
        layouts,
        directory,
        tokens_per_batch=tokens_per_batch,
        schedule=agd.MixtureSchedule(kind='constant'),
      )

    batches = make()
    step = 0
    cores: list[float] = []

    def read() -> None:
      nonlocal step
      began = time.process_time()
      for _ in range(_STEPS):
        batches.batch(step)
        step += 1
      cores.append(time.process_time() - began)

    # Every layout's stream is open before anything is timed.
    first = compiled_steps.first_steps(batches.unit_at, range(1000))
    for each in first.values():
      batches.batch(each)
    step = max(first.values()) + 1
    begun = step
    times: dict[str, Any] = cost.alternate(
      {
        'shapes': lambda: [
          render.clip(shapes, 'train', index) for index in range(clips)
        ],
      },
      rounds,
    )
    # Timed alone: batches are read ahead while anything else is timed.
    times |= cost.alternate({'token_batches': read}, rounds)
    times['shapes']['clips_per_second'] = clips / times['shapes']['seconds']
    times['token_batches'] |= _rates(
      batches, range(begun, step), float(np.sum(cores)), times, layouts
    )
    times['resume'] = {
      str(position): _resume(make, position, rounds) for position in POSITIONS
    }
    shares = [
      float(np.mean(batches.mixture.draw(np.arange(4096)) == index))
      for index in range(len(layouts))
    ]
    times['padding'] = agd.agd_report(
      layouts, shares, tokens_per_batch=tokens_per_batch, text_lengths=used
    )
  return times


def _rates(
  batches: Any,
  steps: range,
  core_seconds: float,
  times: dict[str, Any],
  layouts: Sequence[layout_lib.SequenceLayout],
) -> dict[str, float]:
  """Examples and tokens a second, by wall clock and by core."""
  sizes = batches.batch_sizes()
  lengths = {layout.name: layout.length for layout in layouts}
  names = [batches.unit_at(step) for step in steps]
  examples = sum(sizes[name] for name in names) / len(names)
  tokens = sum(sizes[name] * lengths[name] for name in names) / len(names)
  wall = times['token_batches']['seconds'] / _STEPS
  core = core_seconds / len(names)
  return {
    'examples_per_second': examples / wall,
    'tokens_per_second': tokens / wall,
    'examples_per_core_second': examples / core,
    'tokens_per_core_second': tokens / core,
  }


def _resume(
  make: Callable[[], Any], position: int, rounds: int
) -> dict[str, float]:
  """Median seconds from a fresh start to the first batch at a step.

  Args:
    make: function that opens the batches of a run.
    position: step to resume at.
    rounds: number of times that it is timed.
  """
  donor = make()
  donor.batch(position)
  state = donor.state()
  counted, recounted = [], []
  for _ in range(rounds):
    began = time.perf_counter()
    fresh = make()
    fresh.restore(state)
    fresh.batch(position)
    counted.append(time.perf_counter() - began)
    began = time.perf_counter()
    make().batch(position)
    recounted.append(time.perf_counter() - began)
  return {
    'seconds': float(np.median(counted)),
    'seconds_without_counters': float(np.median(recounted)),
  }


def _write(
  directory: str, space: tasks_lib.LayoutSpace, clip: tuple[int, int, int]
) -> list[int]:
  """Writes random examples that fill every task.

  Returns:
    The number of slots that each text uses.
  """
  from videopoet_jax.data import tokens as tokens_lib

  generator = np.random.default_rng(0)
  grid = space.visual.latent_shape(*clip)
  frames = space.audio_frames(grid[0], clip[0])
  info = tokens_lib.TokenInfo(visual=space.visual, audio=space.audio, clip=clip)
  names = ('video', 'inpainting', 'outpainting', 'structure')
  used = []
  with tokens_lib.TokenWriter(directory, info) as writer:
    for index in range(_CLIPS):
      text = ' '.join(['word'] * int(generator.integers(*_WORDS)))
      example: dict[str, Any] = {
        f'{name}_tokens': generator.integers(
          0, space.vocabulary.visual_size, grid, np.int32
        )
        for name in names
      }
      example['audio_tokens'] = generator.integers(
        0,
        space.vocabulary.audio_codes,
        (space.vocabulary.audio_levels, frames),
        np.int32,
      )
      example |= {'text': text, 'clip_id': str(index)}
      used.append(min(len(text.split()) + 1, space.text_slots))
      writer.write('train', example)
  return used
