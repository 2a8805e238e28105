"""Parameters of one prefix LM for another with other features and limits.

Rows of the place tables are found by what they stand for: the tables of two
runs hold other features, or the same ones at other places.
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
  """What each row of a place table stands for."""
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
  """Puts the rows of a checkpoint's place tables where a new model has them.

  Args:
    params: of the checkpoint, nested dicts of numpy arrays.
    found: the checkpoint's description.
    wanted: the new model's.

  Returns:
    The parameters, and what is to be said of them: which rows the checkpoint
    does not hold. They are zero, so the model begins by predicting what the
    checkpoint predicts.

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
      continue  # Not what its description says: shapes are compared after.
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
