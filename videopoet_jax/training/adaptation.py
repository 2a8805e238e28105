"""Task adaptation: a fresh run that begins with another run's parameters.

VideoPoet's second training stage fine-tunes the pretrained model on a subset of
tasks and of better data, with a fresh optimizer (Kondratyuk et al., 2024).
"""

from collections.abc import Callable, Mapping
import os
from typing import Any

import jax

from videopoet_jax.checkpoints import contents
from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import export
from videopoet_jax.checkpoints import manager
from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.models.prefix_lm import description as prefix_lm
from videopoet_jax.models.prefix_lm import inherit
from videopoet_jax.models.prefix_lm import text_decoder
from videopoet_jax.parallel import start

# For each kind of model, the parts that must agree besides the parameters'
# shapes.
# Layouts are not among them, since adaptation may use another mix of tasks. A
# stage of super-resolution may continue with a tokenizer trained further.
_MUST_AGREE = {
  'prefix_lm': ('vocabulary', 'fingerprints', 'text_tokenizer', 'text_encoder')
}


def load(
  directory: str | os.PathLike[str],
  description: Mapping[str, Any],
  shapes: Any,
  log: Callable[[str], None] = print,
) -> Any:
  """Reads the parameters of another run.

  Args:
    directory: folder of that run.
    description: description of the model to be trained.
    shapes: its parameters' shapes, with shardings.
    log: receives a line about rows that the folder does not hold.

  Returns:
    The parameters on the devices.

  Raises:
    CheckpointError: the folder holds another kind or size of model, or the ids
      of a language model have another meaning there.
  """
  kind = description['kind']
  keys = _MUST_AGREE.get(kind, ())
  expected = {key: description[key] for key in keys if key in description}
  held, params = export.load_params(directory, kind, expected)
  if kind == prefix_lm.KIND:
    try:
      params, new_rows = inherit.adapt(params, held, description)
    except errors.CheckpointError as error:
      raise errors.CheckpointError(
        f'the parameters in {directory} are of another model: {error}'
      ) from None
    if new_rows:
      log(
        f'{directory} does not hold these rows, which start at zero: '
        f'{"; ".join(new_rows)}'
      )
  check(params, shapes, directory)
  return place(params, shapes)


def check(params: Any, shapes: Any, directory: str | os.PathLike[str]) -> None:
  """Raises CheckpointError where a folder's arrays are of another model."""
  wrong = differences(params, shapes)
  if wrong:
    raise errors.CheckpointError(
      f'the parameters in {directory} are of another model; in the folder and '
      f'wanted here: {"; ".join(wrong[:3])}. Set the sizes that it was trained '
      'with'
    )


def differences(params: Any, shapes: Any) -> list[str]:
  """Names of arrays that are missing, surplus or of another shape."""
  found, wanted = (
    {
      contents.path_name(path): leaf.shape
      for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    for tree in (params, shapes)
  )
  return manager.differences(found, wanted)


def place(params: Any, shapes: Any) -> Any:
  """Puts a host's arrays on the devices.

  Args:
    params: nested dicts of arrays.
    shapes: the same structure of shapes, dtypes and shardings.
  """
  return jax.tree.map(
    lambda x, s: jax.make_array_from_callback(
      s.shape, s.sharding, lambda index: x[index].astype(s.dtype)
    ),
    params,
    shapes,
  )


def is_text_decoder(
  directory: str | os.PathLike[str], description: Mapping[str, Any]
) -> bool:
  """Whether `directory` is a text decoder that T5X trained, for an LM.

  Args:
    directory: checkpoint to begin with.
    description: description of the model to be trained.
  """
  return (
    description['kind'] == prefix_lm.KIND
    and not (storage.path(directory) / describe.FILE_NAME).is_file()
    and text_decoder.is_text_decoder(directory)
  )


def take_text_decoder(
  directory: str | os.PathLike[str],
  description: Mapping[str, Any],
  params: Any,
  log: Callable[[str], None] = print,
) -> Any:
  """Replaces initial parameters by the matching ones of a text decoder.

  Args:
    directory: see `text_decoder.take`.
    description: description of the model to be trained.
    params: its initial parameters on the devices.
    log: receives lines that name what was taken.

  Returns:
    The parameters, on the same devices.

  Raises:
    CheckpointError: nothing in it matches.
  """
  config, _, _ = prefix_lm.read(description)
  whole = start.to_host(params)
  taken = text_decoder.take(directory, whole, config, log)
  keys = {'/'.join(path): value for path, value in taken.items()}

  def put(path: Any, leaf: Any) -> Any:
    value = keys.get(contents.path_name(path))
    if value is None:
      return leaf
    return jax.make_array_from_callback(
      leaf.shape, leaf.sharding, lambda index: value[index].astype(leaf.dtype)
    )

  return jax.tree_util.tree_map_with_path(put, params)
