"""Makes metrics from their names in a protocol."""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
import importlib
from typing import Any

from videopoet_jax.core import errors
from videopoet_jax.evaluation import eval_datasets
from videopoet_jax.evaluation import protocol as protocol_lib
from videopoet_jax.evaluation import reference_stats
from videopoet_jax.evaluation import task_inputs
from videopoet_jax.evaluation.metrics import codes
from videopoet_jax.evaluation.metrics import interface
from videopoet_jax.evaluation.metrics import oracle_accuracy
from videopoet_jax.evaluation.networks import catalogue
from videopoet_jax.evaluation.networks import paths as paths_lib
from videopoet_jax.shapes import judges

_METRICS = 'videopoet_jax.evaluation.metrics'
# What metrics are made with to be checked, before a model says its own.
_RATE, _CODES = 16_000, 2


@dataclasses.dataclass(frozen=True)
class Kind:
  """How a metric is made; its module is imported only when needed.

  Attributes:
    module: module below `evaluation.metrics`.
    name: name of the class.
    network: whether it needs one, stated in `Protocol.networks`.
    hears: whether it needs the sampling rate of sound.
    counts: whether it needs the number of codes of a tokenizer.
    settings: arguments of the class.
  """

  module: str
  name: str
  network: bool = False
  hears: bool = False
  counts: bool = False
  settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  def make(self, **given: Any) -> interface.Metric:
    """Makes the metric, with further settings."""
    module = importlib.import_module(f'{_METRICS}.{self.module}')
    return getattr(module, self.name)(**self.settings, **given)


def _distance(name: str, kind: str = 'Frechet') -> Kind:
  return Kind('distances', kind, True, settings={'name': name})


def _perplexity(modality: str) -> Kind:
  return Kind('tokens', 'Perplexity', settings={'modality': modality})


KINDS: Mapping[str, Kind] = {
  'fvd': _distance('fvd'),
  'fid': _distance('fid'),
  'fad': _distance('fad'),
  'kvd': _distance('kvd', 'KernelDistance'),
  'kid': _distance('kid', 'KernelDistance'),
  'is': Kind('inception_score', 'InceptionScore', True),
  'clipsim': Kind('perceptual', 'CLIPSIM', True),
  'rfvd': _distance('rfvd'),
  'lpips': Kind('perceptual', 'LPIPS', True),
  'perceptual': Kind(
    'perceptual', 'LPIPS', True, settings={'name': 'perceptual'}
  ),
  'dnsmos': Kind('quality', 'Quality', True, settings={'column': 2}),
  'psnr': Kind('pixels', 'PSNR'),
  'psnr_video': Kind(
    'pixels', 'PSNR', settings={'name': 'psnr_video', 'over': 'video'}
  ),
  'ssim': Kind('pixels', 'SSIM'),
  'codebook_usage': Kind('codes', 'CodebookUsage', counts=True),
  'codebook_entropy': Kind('codes', 'CodebookEntropy', counts=True),
  'bits_per_pixel': Kind('codes', 'BitsPerPixel', counts=True),
  'si_sdr': Kind('sound', 'SISDR'),
  'mel_distance': Kind('sound', 'MelDistance', hears=True),
  'perplexity_visual': _perplexity('visual'),
  'perplexity_audio': _perplexity('audio'),
}
# The network that a name promises: a protocol with another one is refused.
PROMISED: Mapping[str, tuple[str, ...]] = {
  'fvd': ('i3d_kinetics400', 'i3d_pretrained_400'),
  'rfvd': ('i3d_kinetics400', 'i3d_pretrained_400'),
  'kvd': ('i3d_kinetics400', 'i3d_pretrained_400'),
  'fid': ('inception_v3',),
  'kid': ('inception_v3',),
  'fad': ('vggish',),
  'is': ('c3d_ucf101',),
  'clipsim': ('clip_vit_b16',),
  'lpips': ('lpips_vgg', 'lpips_alex'),
  'perceptual': catalogue.PERCEPTUAL,
  'dnsmos': ('dnsmos',),
}
# With a stand-in, the metric is named after it: 'frechet_transnetv2'.
_STAND_INS = {'frechet_': 'Frechet', 'kernel_': 'KernelDistance'}


def _kind(name: str) -> tuple[Kind, str] | None:
  """Kind of a metric, and a stand-in's network; None if there is none."""
  if name in KINDS:
    return KINDS[name], ''
  for prefix, kind in _STAND_INS.items():
    network = name.removeprefix(prefix)
    if network != name and network in catalogue.NAMES:
      return _distance(name, kind), network
  return None


def build(
  protocol: protocol_lib.Protocol,
  inputs: task_inputs.Inputs,
  paths: paths_lib.NetworkPaths,
) -> tuple[interface.Metric, ...]:
  """Makes the metrics of a task.

  Args:
    protocol: protocol, which names the network of each metric.
    inputs: the task, with its generator and its conditions.
    paths: paths of the networks' weights.

  Raises:
    ConfigError: there is no such metric, its weights are missing, or its
      network is not the protocol's.
  """
  return tuple(
    _build(name, protocol, inputs, paths) for name in inputs.task.metrics
  )


def check(
  protocol: protocol_lib.Protocol, paths: paths_lib.NetworkPaths
) -> None:
  """Checks all metrics and weights before anything is loaded.

  Raises:
    ConfigError: see `build`.
  """
  for task in protocol.tasks:
    metrics = [
      _make(name, protocol, paths, _RATE, _CODES)
      for name in task.metrics
      if name != oracle_accuracy.NAME
    ]
    _check_kind(task, metrics)
    _check_real(task, metrics)


def _check_kind(
  task: protocol_lib.EvaluationTask, metrics: Sequence[interface.Metric]
) -> None:
  """Refuses metrics of tokenizers for models, and the other way round."""
  there = ('index', 'generated', 'real', *codes.NEEDS)
  if task.is_reconstruction:
    wrong = [m.name for m in metrics if not set(m.needs) <= set(there)]
    wrong += [name for name in task.metrics if name == oracle_accuracy.NAME]
    reason = 'needs more than clips and their reconstructions'
  else:
    wrong = [m.name for m in metrics if set(m.needs) & set(codes.NEEDS)]
    reason = "needs a tokenizer's codes of real clips"
  if wrong:
    raise errors.ConfigError(
      f'{task.name}/EvaluationTask.metrics: {wrong[0]!r} {reason}, and the '
      f'layout is {task.layout!r}; leave it out.'
    )
  for metric in metrics:
    if isinstance(metric, interface.Summarizing) and (
      metric.name in task.subsets
    ):
      raise errors.ConfigError(
        f'{task.name}/EvaluationTask.subsets: {metric.name!r} is measured on '
        'all samples together; leave it out.'
      )


def _check_real(
  task: protocol_lib.EvaluationTask, metrics: Sequence[interface.Metric]
) -> None:
  """Refuses settings of a real side that no metric uses."""
  real = [
    metric
    for metric in metrics
    if any(name.startswith('real') for name in metric.needs)
  ]
  of_sets = [metric for metric in real if reference_stats.is_of_sets(metric)]
  for field, users in (
    ('real', of_sets),
    ('real_split', of_sets),
    ('real_samples', of_sets),
    ('real_cut', real),
  ):
    if getattr(task, field) and not users:
      raise errors.ConfigError(
        f'{task.name}/EvaluationTask.{field} is {getattr(task, field)!r}, and '
        f'none of its metrics {list(task.metrics)} has such a real side; leave '
        'it out.'
      )


def _build(
  name: str,
  protocol: protocol_lib.Protocol,
  inputs: task_inputs.Inputs,
  paths: paths_lib.NetworkPaths,
) -> interface.Metric:
  if name == oracle_accuracy.NAME:
    return _right(inputs)
  return _make(
    name, protocol, paths, inputs.sampling_rate, inputs.codebook_size
  )


def _make(
  name: str,
  protocol: protocol_lib.Protocol,
  paths: paths_lib.NetworkPaths,
  sampling_rate: int,
  codebook_size: int,
) -> interface.Metric:
  found = _kind(name)
  if found is None:
    known = [oracle_accuracy.NAME, *KINDS]
    known += [p + n for p in _STAND_INS for n in catalogue.NAMES]
    raise errors.ConfigError(
      f'EvaluationTask.metrics: there is no metric {name!r}'
      f'{errors.near_names(name, known)}.'
    )
  kind, stand_in = found
  given: dict[str, Any] = {}
  if kind.hears:
    given['sampling_rate'] = sampling_rate
  if kind.counts:
    given['codebook_size'] = codebook_size
  if kind.network:
    stated = stand_in or protocol.networks.get(name, '')
    promised = PROMISED.get(name, (stated,))
    if stated not in promised:
      raise errors.ConfigError(
        f'Protocol.networks says that {name!r} is measured with {stated!r}; '
        f'it promises {" or ".join(promised)}. Bind Protocol.networks = '
        f"{{'{name}': '{promised[0]}'}}, or name the metric after a stand-in "
        "('frechet_transnetv2')."
      )
    given['network'] = catalogue.load(stated, paths, sampling_rate)
  return kind.make(**given)


def _right(inputs: task_inputs.Inputs) -> interface.Metric:
  if (
    not isinstance(inputs.conditions, eval_datasets.ShapesSet)
    or inputs.task.subsets
  ):
    raise errors.ConfigError(
      f'{inputs.task.name}: {oracle_accuracy.NAME!r} is judged on shapes in '
      "motion, all samples together; set EvaluationTask.data = 'shapes' and "
      'no subsets.'
    )
  task = inputs.layout_name.split('/')[0]
  if task not in judges.TASKS:
    hint = errors.near_names(task, judges.TASKS)
    raise errors.ConfigError(f'no oracle judges {task!r}{hint}.')
  return oracle_accuracy.Right(
    task,
    functools.partial(task_inputs.clips_of, inputs),
    inputs.condition_frames,
    inputs.layout_name,
  )
