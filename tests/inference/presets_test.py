"""Fixed texts of sampling act, or are refused."""

import pytest

from videopoet_jax.core import errors
from videopoet_jax.inference import presets
from videopoet_jax.inference import sampling

_GUIDED = sampling.SamplingConfig(guidance=2.0)


@pytest.mark.parametrize('name', presets.NAMES)
def test_a_preset_gives_its_texts(name):
  preset = presets.PRESETS[name]
  assert preset.suffix and preset.negative_text and preset.wording
  found = presets.apply(name, ['a cat'], '', _GUIDED)
  assert found == (preset.suffix, preset.negative_text)


@pytest.mark.parametrize(
  ('name', 'texts', 'negative', 'config', 'message'),
  [
    ('human_eval', ['a'], '', _GUIDED, "did you mean 'human_evaluation'"),
    ('human_evaluation', ['a'], 'bad', _GUIDED, 'negative text of its own'),
    ('human_evaluation', [], '', _GUIDED, 'acts on text'),
    ('human_evaluation', ['a'], '', sampling.DEFAULT, 'give --guidance'),
  ],
)
def test_what_cannot_act_is_refused(name, texts, negative, config, message):
  with pytest.raises(errors.ConfigError, match=message):
    presets.apply(name, texts, negative, config)
