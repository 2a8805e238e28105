"""Cosmos DV with its weights, behind the common interface."""

from typing import Any

from videopoet_jax.tokenizers.cosmos import config as config_lib
from videopoet_jax.tokenizers.cosmos import model
from videopoet_jax.tokenizers.published import visual


class Cosmos(visual.PublishedTokenizer):
  """Cosmos DV: the first frames of a clip have the first ids of the whole."""

  kind = 'cosmos'
  family = 'Cosmos DV'
  config_class = config_lib.CosmosConfig

  @classmethod
  def make_module(cls, config: Any) -> model.CosmosModel:
    """Returns the module of a config."""
    return model.CosmosModel(config)

  @property
  def notes(self) -> tuple[str, ...]:
    """Sentences about the ids, for the summary of an import."""
    return (
      'computed in float32: a few ids may differ from those of the published'
      ' bfloat16 networks',
    )


visual.register(Cosmos, config_lib.from_description)
