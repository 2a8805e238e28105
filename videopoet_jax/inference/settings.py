"""Checks that settings of sampling can act on a layout."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import types
from videopoet_jax.inference import conditions
from videopoet_jax.inference import sampling


def check(
  layout: layout_lib.SequenceLayout,
  config: sampling.SamplingConfig,
  negative_text: str = '',
  drop: Mapping[str, float] | None = None,
) -> tuple[str, ...]:
  """Checks that every setting that differs from its default changes something.

  Args:
    layout: layout to be sampled.
    config: settings of sampling.
    negative_text: negative prompt for guidance.
    drop: share of training examples without a condition, by condition; None if
      the checkpoint does not record it.

  Returns:
    Lines for the user about what could not be checked.

  Raises:
    ConfigError: a setting cannot act; or guidance compares with a case that the
      model was never trained on.
  """
  if config.first_temperature is not None and not has_first_frame(layout):
    raise errors.ConfigError(
      f'first_temperature is {config.first_temperature:g}, and {layout.name} '
      'does not make the first latent frame of a video; leave it out.'
    )
  if not config.is_guided:
    for name, is_given in (
      ('negative_text', bool(negative_text)),
      ('guide_on', config.guide_on != sampling.DEFAULT.guide_on),
    ):
      if is_given:
        raise errors.ConfigError(
          f'{name} acts with guidance only, and guidance is 1; give a guidance '
          f'other than 1, or leave {name} out.'
        )
    return ()
  known = conditions.prefix_features(layout)
  for feature in config.guide_on:
    if feature not in known:
      others = [name for name in known if name not in config.guide_on]
      wish = (
        f'guide on {" or ".join(others)} (guide_on), or leave guidance at 1'
        if others
        else 'leave guidance at 1'
      )
      raise errors.ConfigError(
        f'guidance {config.guidance:g} on {feature}: {layout.name} has no such '
        f'condition, so it cannot act; {wish}.'
      )
  if negative_text and 'text' not in config.guide_on:
    raise errors.ConfigError(
      f'negative_text acts with guidance on text only; guide_on is '
      f'{", ".join(config.guide_on)}.'
    )
  # A negative prompt is an ordinary text: nothing is hidden for it.
  hidden = [
    name for name in config.guide_on if not (name == 'text' and negative_text)
  ]
  if drop is None:
    return tuple(
      f'the checkpoint does not say whether {layout.task} was trained without '
      f'{name}, which guidance compares with'
      for name in hidden
    )
  for name in hidden:
    if not drop.get(name):
      raise errors.ConfigError(
        f'guidance on {name}: the model was never trained to do '
        f'{layout.task} without it ({layout.task}/Task.drop); guide on '
        'another condition, or train with a share of it dropped.'
      )
  return ()


def recommended(
  by_task: Mapping[str, Mapping[str, Any]] | None,
  layout: layout_lib.SequenceLayout,
) -> sampling.SamplingConfig:
  """Default settings of sampling for a layout.

  Args:
    by_task: fields of `SamplingConfig` by task, `default` for all others; None
      if a checkpoint recommends nothing.
    layout: layout to be sampled; settings that cannot act on it are left out.
  """
  by_task = by_task or {}
  config = changed(
    sampling.DEFAULT, by_task.get(layout.task, by_task.get('default', {}))
  )
  known = conditions.prefix_features(layout)
  if config.is_guided and not set(config.guide_on) <= set(known):
    config = dataclasses.replace(
      config, guidance=1.0, guide_on=sampling.DEFAULT.guide_on
    )
  if config.first_temperature is not None and not has_first_frame(layout):
    config = dataclasses.replace(config, first_temperature=None)
  return config


def changed(
  config: sampling.SamplingConfig, fields: Mapping[str, Any]
) -> sampling.SamplingConfig:
  """Returns a config with other values; those that are None stay.

  Raises:
    ConfigError: there is no such field, or a value is invalid.
  """
  known = [field.name for field in dataclasses.fields(config)]
  for name in fields:
    if name not in known:
      hint = errors.near_names(name, known)
      raise errors.ConfigError(f'sampling has no setting {name!r}{hint}.')
  given = {name: value for name, value in fields.items() if value is not None}
  if given.get('temperature') == 0:
    # The most likely id is taken, so settings that narrow draws are dropped.
    for name, neutral in (
      ('first_temperature', None), ('top_k', 0), ('top_p', 1.0),
    ):  # fmt: skip
      given.setdefault(name, neutral)
  return dataclasses.replace(config, **given)


def has_first_frame(layout: layout_lib.SequenceLayout) -> bool:
  """Whether the first latent frame of a video is predicted."""
  return any(
    segment.modality is types.Modality.VISUAL and segment.start == 0
    for segment in layout.filled(types.Role.TARGET)
  )
