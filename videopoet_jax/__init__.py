"""VideoPoet in JAX: a language model that writes video and sound.

  import videopoet_jax as vp

  model = vp.load('demo')
  clip, = model.generate('text_to_video', text='a red circle moves right')
  clip.save('a.mp4')

Importing it imports neither JAX nor TensorFlow: a name is imported when it is
first asked for. Nothing here prints, unless it is given `log` or `meter`, and
nothing changes the caller's gin configuration.
"""

import importlib
from typing import Any

__version__ = '0.2.0'

# Name -> module and name there.
_PUBLIC = {
  'Clip': ('videopoet_jax.inference.clips', 'Clip'),
  'Clips': ('videopoet_jax.inference.clips', 'Clips'),
  'EvaluationTask': ('videopoet_jax.evaluation.protocol', 'EvaluationTask'),
  'Experiment': ('videopoet_jax.experiments.experiment', 'Experiment'),
  'Model': ('videopoet_jax.inference.pipeline', 'Model'),
  'Protocol': ('videopoet_jax.evaluation.protocol', 'Protocol'),
  'ShapesConfig': ('videopoet_jax.shapes.config', 'ShapesConfig'),
  'UserError': ('videopoet_jax.core.errors', 'UserError'),
  'draw_shapes': ('videopoet_jax.preparation.shapes', 'draw'),
  'embed_text': ('videopoet_jax.preparation.text_embeddings', 'embed_text'),
  'evaluate': ('videopoet_jax.experiments.evaluate', 'evaluate'),
  'experiment': ('videopoet_jax.experiments.train', 'from_gin'),
  'export_tokenizer': (
    'videopoet_jax.tokenizers.exporting',
    'export_tokenizer',
  ),
  'import_tokenizer': (
    'videopoet_jax.tokenizers.importing',
    'import_tokenizer',
  ),
  'load': ('videopoet_jax.inference.pipeline', 'load'),
  'load_protocol': ('videopoet_jax.experiments.evaluate', 'load_protocol'),
  'load_tokenizer': ('videopoet_jax.tokenizers.interface', 'load'),
  'load_upscaling': ('videopoet_jax.inference.pipeline', 'load_upscaling'),
  'plan': ('videopoet_jax.experiments.plan', 'plan'),
  'prepare': ('videopoet_jax.preparation.clips', 'prepare'),
  'progress': ('videopoet_jax.core.progress', 'shown'),
  'read_frames': ('videopoet_jax.media.video', 'read_frames'),
  'read_video': ('videopoet_jax.media.video', 'read'),
  'to_pixels': ('videopoet_jax.tokenizers.magvit2.bundle', 'to_pixels'),
  'tokenize': ('videopoet_jax.preparation.tokenizing', 'tokenize'),
  'train': ('videopoet_jax.experiments.train', 'train'),
  'write_video': ('videopoet_jax.media.files', 'write_mp4'),
}

__all__ = ['__version__', *_PUBLIC]


def __getattr__(name: str) -> Any:
  if name not in _PUBLIC:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  module, attribute = _PUBLIC[name]
  found = getattr(importlib.import_module(module), attribute)
  globals()[name] = found
  return found


def __dir__() -> list[str]:
  return sorted({*globals(), *_PUBLIC})
