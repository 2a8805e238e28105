"""A protocol that an untrained model of 16 x 16 pixels can be measured by."""

import pathlib

from videopoet_jax.evaluation import protocol

GIN = """
Protocol.name = 'tiny'
Protocol.block = 4
Protocol.tasks = [@one/EvaluationTask(), @two/EvaluationTask()]
Protocol.sampling = {'two': {'temperature': 0.5}}
EvaluationTask.data = 'shapes'
EvaluationTask.split = 'validation'
EvaluationTask.samples = 18
EvaluationTask.layout = 'text_to_video/17x16x16'
EvaluationTask.metrics = ['psnr']
EvaluationTask.frames = 16
EvaluationTask.size = (16, 16)
EvaluationTask.resizing = 'bicubic'
one/EvaluationTask.name = 'one'
two/EvaluationTask.name = 'two'
two/EvaluationTask.metrics = ['psnr', 'ssim']
evaluate.protocol = @Protocol()
"""


def write(path: pathlib.Path, more: str = '') -> str:
  """Writes the protocol as a gin file; later lines of `more` win."""
  path.write_text(GIN + more)
  return str(path)


def task(**changes) -> protocol.EvaluationTask:
  """One task, some fields changed."""
  fields = {
    'name': 'one',
    'layout': 'text_to_video/17x16x16',
    'metrics': ('psnr',),
    'data': 'shapes',
    'split': 'validation',
    'samples': 18,
    'frames': 16,
    'size': (16, 16),
    'resizing': 'bicubic',
  }
  return protocol.EvaluationTask(**{**fields, **changes})


def make(*tasks, **changes) -> protocol.Protocol:
  """A protocol of these tasks."""
  fields = {'name': 'tiny', 'tasks': tasks or (task(),), 'block': 4}
  return protocol.Protocol(**{**fields, **changes})
