"""Starts a visual tokenizer's run from the parameters of another one.

The stages of a tokenizer's training change what it consists of: the image stage
has kernels without temporal taps, and a run with a discriminator follows one
without, or the reverse. What two runs share is taken; the rest starts afresh.
"""

from collections.abc import Callable
import os
from typing import Any

from videopoet_jax.checkpoints import export
from videopoet_jax.tokenizers.magvit2 import bundle
from videopoet_jax.tokenizers.magvit2 import inflation
from videopoet_jax.training import adaptation
from videopoet_jax.training import optimizers

KIND = bundle.VisualTokenizer.kind


def take(
  directory: str | os.PathLike[str],
  fresh: Any,
  log: Callable[[str], None] = print,
) -> Any:
  """Reads the parameters of another run into freshly drawn ones.

  Args:
    directory: folder of that run, or of a tokenizer.
    fresh: this run's parameters, arrays on the devices.
    log: receives a line about what is inflated or starts afresh.

  Returns:
    Parameters on the devices, in the structure of `fresh`.

  Raises:
    CheckpointError: the folder holds no visual tokenizer or one of other sizes.
  """
  _, held = export.load_params(directory, KIND)
  found, wanted = _by_branch(held), _by_branch(fresh)
  taken = dict(wanted)
  generator = inflation.inflate(
    found[optimizers.GENERATOR], wanted[optimizers.GENERATOR]
  )
  adaptation.check(generator, wanted[optimizers.GENERATOR], directory)
  lines = [f'step 0 with the parameters of {directory}, fresh optimizer']
  if adaptation.differences(found[optimizers.GENERATOR], generator):
    lines[0] += ', inflated from images to video'
  taken[optimizers.GENERATOR] = adaptation.place(
    generator, wanted[optimizers.GENERATOR]
  )
  if optimizers.DISCRIMINATOR in wanted:
    lines.append(_take_discriminator(directory, found, wanted, taken))
  for line in lines:
    log(line)
  if optimizers.DISCRIMINATOR in wanted:
    return taken
  return taken[optimizers.GENERATOR]


def _take_discriminator(
  directory: str | os.PathLike[str],
  found: dict[str, Any],
  wanted: dict[str, Any],
  taken: dict[str, Any],
) -> str:
  """Takes the discriminator if it fits; returns a line about it."""
  fresh = wanted[optimizers.DISCRIMINATOR]
  if optimizers.DISCRIMINATOR not in found:
    return f'{directory} holds no discriminator: it starts afresh'
  fitted = inflation.inflate(
    found[optimizers.DISCRIMINATOR], fresh, causal=False
  )
  wrong = adaptation.differences(fitted, fresh)
  if wrong:
    return (
      f'the discriminator in {directory} is of another size ({wrong[0]}): it '
      'starts afresh'
    )
  for name in (optimizers.DISCRIMINATOR, optimizers.STATISTICS):
    values = fitted if name == optimizers.DISCRIMINATOR else found[name]
    taken[name] = adaptation.place(values, wanted[name])
  return f'the discriminator of {directory} is taken, too'


def _by_branch(params: Any) -> dict[str, Any]:
  """Parameters by branch; a run without a discriminator has one."""
  if optimizers.DISCRIMINATOR in params:
    return dict(params)
  return {optimizers.GENERATOR: params}
