"""Names of the folders that stand beside a model's parameters.

Training copies there what the model was trained with, and generation opens it:
a checkpoint needs nothing else.
"""

VISUAL = 'visual_tokenizer'
AUDIO = 'audio_tokenizer'
# Of super-resolution's condition, where it is another than that of the result.
LOW_VISUAL = 'low_tokenizer'
TEXT = 'text'
TEXT_ENCODER = 'text_encoder'
# The frozen model of a run that trains low-rank adapters.
BASE = 'base'
