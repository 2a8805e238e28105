"""Checks that real clips were cut from their videos as a protocol requires."""

from collections.abc import Sequence

from videopoet_jax.core import errors
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.evaluation import eval_datasets
from videopoet_jax.evaluation import protocol as protocol_lib
from videopoet_jax.media import cuts


def check(
  protocol: protocol_lib.Protocol,
  task: protocol_lib.EvaluationTask,
  source: eval_datasets.Set,
) -> None:
  """Refuses a real set that was cut differently.

  Args:
    protocol: protocol of the task.
    task: task to check.
    source: real set of the task.

  Raises:
    DataError: the message names the command that makes the right one.
    ConfigError: the set is drawn, so that nothing can be cut.
  """
  wanted = task.cut
  if wanted is None:
    return
  if not isinstance(source, eval_datasets.MediaSet):
    raise errors.ConfigError(
      f'{task.name}/EvaluationTask.real_cut is {task.real_cut!r} and the real '
      f'set {source.name!r} is not cut out of videos; leave real_cut out, or '
      'give a data set of `videopoet prepare`.'
    )
  found = source.cut
  if found == wanted:
    return
  told = f'holds {found}' if found else 'does not say how its clips were cut'
  raise errors.DataError(
    f'set {source.name!r} of the protocol: {source.directory} {told}; '
    f'{protocol.id} compares {task.name} with {wanted}: make it by `videopoet '
    f'prepare --input VIDEOS --output DIR {wanted.flags}`.'
  )


def check_rate(
  task: protocol_lib.EvaluationTask,
  features: Sequence[str],
  source: eval_datasets.Set,
  space: tasks_lib.LayoutSpace,
) -> None:
  """Refuses conditions whose rate differs from that of training.

  Args:
    task: task that is conditioned.
    features: features of its conditions.
    source: set of the conditions.
    space: layout space of the model.

  Raises:
    DataError: the set has another frame rate or sampling rate.
  """
  if not isinstance(source, eval_datasets.MediaSet):
    return
  pairs = []
  if any(name not in ('text', 'audio_tokens') for name in features):
    pairs.append(('frame_rate', source.rate, space.visual.frame_rate))
  if 'audio_tokens' in features:
    pairs.append(
      ('sampling_rate', source.sampling_rate, space.audio.sampling_rate)
    )
  for name, found, wanted in pairs:
    if found != wanted:
      raise errors.DataError(
        f'set {source.name!r} of the protocol: {source.directory} has the '
        f'{name} {cuts.rate_name(found)}, and {task.name} is conditioned on it '
        f'by a model of {wanted:g}; prepare it with --{name} {wanted:g}.'
      )
