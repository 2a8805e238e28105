"""Initial parameters of a T5X run from a text decoder."""

from collections.abc import Sequence
import functools
import os
from typing import Any

import flax.core
import gin
import jax
from t5x import utils

from videopoet_jax.core import errors
from videopoet_jax.t5x import experiment
from videopoet_jax.training import adaptation


class TextDecoderInitializer(utils.TrainStateInitializer):
  """T5X's initializer, with matching parameters from a text decoder.

  It is not used by a run that resumes, or begins with another run's checkpoint.
  """

  def __init__(
    self, *args: Any, path: str | os.PathLike[str], **kwargs: Any
  ) -> None:
    """Takes the decoder in addition to T5X's own arguments.

    Args:
      *args: arguments of `t5x.utils.TrainStateInitializer`.
      path: folder of one step that T5X wrote; '' for none.
      **kwargs: arguments of `t5x.utils.TrainStateInitializer`.
    """
    super().__init__(*args, **kwargs)
    self._path = path

  def from_scratch(self, init_rng: jax.Array) -> Any:
    """See T5X.

    Raises:
      CheckpointError: nothing in the decoder matches.
    """
    state = super().from_scratch(init_rng)
    if not self._path:
      return state
    params = adaptation.take_text_decoder(
      self._path,
      experiment.current().parts.trainable.describe(),
      flax.core.unfreeze(state.params),
      print if jax.process_index() == 0 else lambda line: None,
    )
    return state.replace_params(flax.core.freeze(params))


@gin.register
def text_decoder(path: str = '', init_from: str | Sequence[str] = ()) -> Any:
  """T5X's `train_state_initializer_cls`.

  Args:
    path: folder of one step of a text decoder; '' starts from random values.
    init_from: checkpoint of the whole state, which excludes `path`.

  Raises:
    ConfigError: both are given.
  """
  if path and init_from:
    raise errors.ConfigError(
      f'TEXT_DECODER is {path!r} and INIT_FROM {init_from!r}, and a run begins '
      'with one of them; leave the other out.'
    )
  return functools.partial(TextDecoderInitializer, path=path)
