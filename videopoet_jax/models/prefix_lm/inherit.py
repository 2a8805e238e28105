"""Adapts the parameters of a prefix LM to other features and limits.

Rows of the place tables are matched by their meaning: the tables of two runs
hold other features, or the same ones at other places.
"""

from collections.abc import Mapping
import itertools
from typing import Any

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import tasks
from videopoet_jax.models.prefix_lm import config as config_lib
from videopoet_jax.models.prefix_lm import description

_TABLES = ('place', 'next_place')


def _names(
  config: config_lib.PrefixLMConfig, space: tasks.LayoutSpace, learned: bool
) -> list[tuple[Any, ...]]:
  """Returns the meaning of each row of a place table."""
  starts = config.place_limits.rows(learned)
  ordered = sorted(starts.items(), key=lambda item: item[1])
  names: list[tuple[Any, ...]] = []
  for (block, start), (_, stop) in itertools.pairwise(ordered):
    names += [(*block, number) for number in range(stop - start)]
  first = starts['features',]
  for number, feature in enumerate(space.features):
    if number < config.place_limits.features:
      names[first + number] = ('feature', feature)
  return names


def adapt(
  params: Mapping[str, Any],
  found: Mapping[str, Any],
  wanted: Mapping[str, Any],
) -> tuple[dict[str, Any], list[str]]:
  """Moves the rows of a checkpoint's place tables to a new model's places.

  Args:
    params: parameters of the checkpoint, nested dicts of numpy arrays.
    found: the checkpoint's description.
    wanted: the new model's description.

  Returns:
    The parameters, and a message about the rows that the checkpoint does not
    hold. These are zero, so the model begins with the checkpoint's predictions.

  Raises:
    CheckpointError: the kinds of positions differ.
  """
  old, old_space, _ = description.read(found)
  new, new_space, _ = description.read(wanted)
  if old.positions != new.positions:
    raise errors.CheckpointError(
      f"its PrefixLMConfig.positions is '{old.positions}', wanted is "
      f"'{new.positions}'; set positions to '{old.positions}'"
    )
  params, said = dict(params), []
  for table in _TABLES:
    if table not in params:
      continue
    learned = new.positions == 'learned_3d'
    rows_RD = np.asarray(params[table]['table'])
    before = {
      name: row for row, name in enumerate(_names(old, old_space, learned))
    }
    if len(before) != len(rows_RD):
      continue  # Not as described: shapes are compared afterwards.
    names = _names(new, new_space, learned)
    result = np.zeros((len(names), rows_RD.shape[1]), rows_RD.dtype)
    for row, name in enumerate(names):
      if name in before:
        result[row] = rows_RD[before[name]]
    params[table] = {**params[table], 'table': result}
    fresh = [name for name in names if name not in before]
    features = [name[1] for name in fresh if name[0] == 'feature']
    if features:
      said.append(f'{table}: {", ".join(features)}')
    places = [name for name in fresh if name[0] not in ('feature', 'features')]
    if places:
      said.append(f'{table}: {len(places)} places')
  return params, said
