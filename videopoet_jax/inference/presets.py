"""Fixed texts of sampling, by name.

The paper's human evaluation gives every model one fixed negative prompt and one
fixed suffix for all prompts (VideoPoet, appendix A.5.4). The wording here is
ours, since the appendix was not available: it follows the procedure and is not
a quotation.
"""

from collections.abc import Mapping, Sequence
import dataclasses

from videopoet_jax.core import errors
from videopoet_jax.inference import sampling


@dataclasses.dataclass(frozen=True)
class Preset:
  """Texts that are the same for every prompt.

  Attributes:
    suffix: text appended to every prompt.
    negative_text: negative prompt for guidance.
    wording: source of the words.
  """

  suffix: str
  negative_text: str
  wording: str


PRESETS: Mapping[str, Preset] = {
  'human_evaluation': Preset(
    suffix=', sharp, well lit, smooth natural motion',
    negative_text=(
      'blurry, noisy, flickering, distorted, watermark, text, still picture'
    ),
    wording='ours; the procedure is that of VideoPoet, appendix A.5.4',
  ),
}
NAMES = tuple(PRESETS)


def apply(
  name: str,
  texts: Sequence[str],
  negative_text: str,
  config: sampling.SamplingConfig,
) -> tuple[str, str]:
  """Adds the suffix and the negative text of a preset.

  Args:
    name: name of the preset, one of `NAMES`.
    texts: the prompts.
    negative_text: the user's negative text, which must be empty.
    config: settings of sampling, which must be guided.

  Raises:
    ConfigError: there is no such preset, or it cannot act.
  """
  errors.check_choice('--preset', name, NAMES)
  preset = PRESETS[name]
  if negative_text:
    raise errors.ConfigError(
      f'--preset {name} has a negative text of its own; leave one out.'
    )
  if not texts:
    raise errors.ConfigError(f'--preset {name} acts on text; give --text.')
  if not config.is_guided:
    raise errors.ConfigError(
      f'--preset {name} has a negative text, which acts with guidance only; '
      'give --guidance.'
    )
  return preset.suffix, preset.negative_text
