"""Peak memory of the visual tokenizer over short and long videos.

Each length runs in a process of its own: it draws frames one by one, encodes
and decodes them as they come, and reads its peak resident set from Linux.
"""

from collections.abc import Iterator, Sequence
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np

from videopoet_jax.core import errors

FRAMES = (100, 2000)
_SIDE = 32
_UNSET = ('JAX_COMPILATION_CACHE_DIR', 'XLA_FLAGS')
_STATUS = pathlib.Path('/proc/self/status')


def memory(frames: Sequence[int] = FRAMES) -> dict[str, Any]:
  """Measures encoding and decoding of videos of some lengths.

  Args:
    frames: numbers of frames.

  Returns:
    For each number its `peak_bytes`; `growth_bytes`, the memory in use at the
    end minus that in the middle of the video; and the number of latent frames
    and of frames that came out. `peak_ratio` is the last peak over the first.

  Raises:
    DataError: the system does not report the peak memory of a process.
  """
  if not _STATUS.exists():
    raise errors.DataError(
      f'the memory benchmark reads {_STATUS}, which only Linux has; run it '
      'there.'
    )
  found: dict[str, Any] = {}
  # Compiling takes much of the peak: no process reads programs from a disk.
  environment = {
    name: value for name, value in os.environ.items() if name not in _UNSET
  }
  for number in frames:
    command = [sys.executable, '-m', __name__, str(number)]
    done = subprocess.run(
      command, capture_output=True, text=True, check=True, env=environment
    )
    found[str(number)] = json.loads(done.stdout)
  peaks = [found[str(number)]['peak_bytes'] for number in frames]
  return {**found, 'peak_ratio': peaks[-1] / peaks[0]}


def measure(frames: int) -> dict[str, int]:
  """Encodes and decodes a video of drawn frames; see `memory`."""
  import jax

  from videopoet_jax.parallel import rules
  from videopoet_jax.tokenizers.magvit2 import bundle
  from videopoet_jax.tokenizers.magvit2 import config as config_lib

  config = config_lib.VisualTokenizerConfig(
    num_bits=10, channels=8, norm_groups=4, num_residual_blocks=1
  )
  shapes = jax.eval_shape(
    lambda key: rules.unbox(bundle.init_params(config, key)), jax.random.key(0)
  )
  # Drawn here: a program that draws them takes more memory than what follows.
  draw = np.random.default_rng(1)
  params = jax.tree.map(
    lambda leaf: draw.normal(0, 0.1, leaf.shape).astype(np.float32), shapes
  )
  tokenizer = bundle.VisualTokenizer(config, params)
  latents = 0

  def ids() -> Iterator[np.ndarray]:
    nonlocal latents
    for part_THW in tokenizer.stream_encode(_drawn(frames)):
      latents += len(part_THW)
      yield part_THW

  out = middle = 0
  for part_THWC in tokenizer.stream_decode(ids()):
    out += len(part_THWC)
    if not middle and 2 * out >= frames:
      middle = _status('VmRSS')
  return {
    'peak_bytes': _status('VmHWM'),
    'growth_bytes': _status('VmRSS') - middle,
    'latent_frames': latents,
    'frames': out,
  }


def _drawn(frames: int) -> Iterator[np.ndarray]:
  draw = np.random.default_rng(0)
  for _ in range(frames):
    yield draw.integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)


def _status(name: str) -> int:
  """A size in bytes that Linux states of this process.

  `resource.getrusage` would also count the parent's memory before the start.
  """
  for line in _STATUS.read_text().splitlines():
    if line.startswith(f'{name}:'):
      return int(line.split()[1]) * 1024
  raise errors.DataError(f'{_STATUS} does not state {name}.')


if __name__ == '__main__':
  print(json.dumps(measure(int(sys.argv[1]))))
