"""From the names of metrics in a protocol to metrics."""

from collections.abc import Mapping
import dataclasses
import importlib
from typing import Any

from videopoet_jax.core import errors
from videopoet_jax.evaluation import generation
from videopoet_jax.evaluation import measures
from videopoet_jax.evaluation import protocol as protocol_lib
from videopoet_jax.evaluation import right
from videopoet_jax.evaluation import runner
from videopoet_jax.evaluation import sets as sets_lib
from videopoet_jax.evaluation.metrics import interface
from videopoet_jax.evaluation.networks import paths as paths_lib

_METRICS = 'videopoet_jax.evaluation.metrics'
_NETWORKS = 'videopoet_jax.evaluation.networks'


@dataclasses.dataclass(frozen=True)
class Kind:
  """How a metric is made; modules are imported only for what is asked for.

  Attributes:
    module: below `evaluation.metrics`.
    name: of the class.
    network: whether it takes one.
    settings: of the class.
  """

  module: str
  name: str
  network: bool = False
  settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  def make(self, **given: Any) -> interface.Metric:
    """The metric, with further settings."""
    module = importlib.import_module(f'{_METRICS}.{self.module}')
    return getattr(module, self.name)(**self.settings, **given)


_VISUAL, _AUDIO = {'modality': 'visual'}, {'modality': 'audio'}
KINDS: Mapping[str, Kind] = {
  'fvd': Kind('distances', 'Frechet', True, {'name': 'fvd'}),
  'fid': Kind('distances', 'Frechet', True, {'name': 'fid'}),
  'fad': Kind('distances', 'Frechet', True, {'name': 'fad'}),
  'kvd': Kind('distances', 'KernelDistance', True, {'name': 'kvd'}),
  'kid': Kind('distances', 'KernelDistance', True, {'name': 'kid'}),
  'is': Kind('inception_score', 'InceptionScore', True),
  'clipsim': Kind('perceptual', 'CLIPSIM', True),
  'lpips': Kind('perceptual', 'LPIPS', True),
  'psnr': Kind('pixels', 'PSNR'),
  'ssim': Kind('pixels', 'SSIM'),
  'si_sdr': Kind('sound', 'SISDR'),
  'mel_distance': Kind('sound', 'MelDistance'),
  'perplexity_visual': Kind('tokens', 'Perplexity', False, _VISUAL),
  'perplexity_audio': Kind('tokens', 'Perplexity', False, _AUDIO),
}


@dataclasses.dataclass(frozen=True)
class Network:
  """How a feature network is opened.

  Attributes:
    module: below `evaluation.networks`.
    function: that opens it.
    path: field of `NetworkPaths` that names its weights; '' for one whose
      weights come with a package.
  """

  module: str
  function: str
  path: str = ''


NETWORKS: Mapping[str, Network] = {
  'i3d_kinetics400': Network('torchscript', 'i3d', 'i3d'),
  'c3d_ucf101': Network('torchscript', 'c3d', 'c3d'),
  'clip_vit_b16': Network('clip', 'clip', 'clip'),
}
# Stand-ins are named after their network: 'frechet_efficientnet_lite0'.
_STAND_IN = 'frechet_'


def names() -> tuple[str, ...]:
  """Names that a protocol may use."""
  return (right.NAME, *KINDS, f'{_STAND_IN}NETWORK')


def build(
  protocol: protocol_lib.Protocol,
  run: runner.TaskRun,
  paths: paths_lib.NetworkPaths,
) -> tuple[interface.Metric, ...]:
  """The metrics of a task.

  Args:
    protocol: says which network each is measured with.
    run: the task, with its generator and its conditions.
    paths: where the weights of networks are.

  Raises:
    ConfigError: there is no such metric or network, or its weights are not
      there; the message says which file and where to name it.
  """
  return tuple(_build(name, protocol, run, paths) for name in run.task.metrics)


def check_names(protocol: protocol_lib.Protocol) -> None:
  """Raises ConfigError where a protocol names a metric that is none."""
  for task in protocol.tasks:
    for name in task.metrics:
      if name not in names() and not name.startswith(_STAND_IN):
        hint = errors.near_names(name, names())
        raise errors.ConfigError(
          f'{task.name}/EvaluationTask.metrics: there is no metric '
          f'{name!r}{hint}.'
        )


def _build(
  name: str,
  protocol: protocol_lib.Protocol,
  run: runner.TaskRun,
  paths: paths_lib.NetworkPaths,
) -> interface.Metric:
  if name == right.NAME:
    return _right(run)
  if name.startswith(_STAND_IN):
    network = _network(name.removeprefix(_STAND_IN), paths)
    kind = Kind('distances', 'Frechet')
    return kind.make(name=name, network=network)
  kind = KINDS[name]
  if not kind.network:
    return kind.make()
  if name not in protocol.networks:
    raise errors.ConfigError(
      f"metric {name!r} needs a network: bind Protocol.networks = {{'{name}': "
      'NAME}.'
    )
  return kind.make(network=_network(protocol.networks[name], paths))


def _network(name: str, paths: paths_lib.NetworkPaths) -> Any:
  if name not in NETWORKS:
    hint = errors.near_names(name, NETWORKS)
    raise errors.ConfigError(f'there is no feature network {name!r}{hint}.')
  network = NETWORKS[name]
  module = importlib.import_module(f'{_NETWORKS}.{network.module}')
  make = getattr(module, network.function)
  return make(getattr(paths, network.path)) if network.path else make()


def _right(run: runner.TaskRun) -> interface.Metric:
  source = run.conditions
  if not isinstance(source, sets_lib.ShapesSet) or run.task.subsets:
    raise errors.ConfigError(
      f'{run.task.name}: {right.NAME!r} is judged on shapes in motion, all '
      "samples together; set EvaluationTask.data = 'shapes' and no subsets."
    )
  layout = run.layout
  if layout.task not in measures.TASKS:
    hint = errors.near_names(layout.task, measures.TASKS)
    raise errors.ConfigError(f'no oracle judges {layout.task!r}{hint}.')
  return right.Right(
    layout.task,
    run.clips_of,
    generation.condition_frames(layout, run.generator.space),
    layout.name,
  )
