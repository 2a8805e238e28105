"""Where batches come from: pure functions of the step.

Nothing is drawn from a stream, so a resumed run needs no iterator state and
the next batch can be made ahead in a thread.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np


class Batches(Protocol):
  """A data order that is a function of (seed, step)."""

  def units(self) -> tuple[str, ...]:
    """Every compile unit that `unit_at` can name."""

  def unit_at(self, step: int) -> str:
    """The unit of a step; cheap: it is asked for many steps ahead."""

  def batch(self, step: int) -> Mapping[str, np.ndarray]:
    """The batch of a step: this host's rows of one global order."""
