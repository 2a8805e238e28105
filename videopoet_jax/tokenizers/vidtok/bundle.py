"""VidTok with its weights, behind the common interface."""

from typing import Any

from videopoet_jax.tokenizers.published import visual
from videopoet_jax.tokenizers.vidtok import config as config_lib
from videopoet_jax.tokenizers.vidtok import model


class VidTok(visual.PublishedTokenizer):
  """VidTok: the first frames of a clip have the first ids of the whole."""

  kind = 'vidtok'
  family = 'VidTok'
  config_class = config_lib.VidTokConfig

  @classmethod
  def make_module(cls, config: Any) -> model.VidTokModel:
    """Returns the module of a config."""
    return model.VidTokModel(config)


visual.register(VidTok, config_lib.from_description)
