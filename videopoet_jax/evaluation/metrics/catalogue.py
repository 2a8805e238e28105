"""The metrics by name, each with the network that its name promises."""

from collections.abc import Callable, Mapping
import functools
from typing import Any

from videopoet_jax.core import errors
from videopoet_jax.evaluation import held_out
from videopoet_jax.evaluation.metrics import distances
from videopoet_jax.evaluation.metrics import inception_score
from videopoet_jax.evaluation.metrics import interface
from videopoet_jax.evaluation.metrics import oracle
from videopoet_jax.evaluation.metrics import perceptual
from videopoet_jax.evaluation.metrics import pixels
from videopoet_jax.evaluation.metrics import quality
from videopoet_jax.evaluation.metrics import sound
from videopoet_jax.evaluation.metrics import tokens
from videopoet_jax.evaluation.networks import clip
from videopoet_jax.evaluation.networks import inception
from videopoet_jax.evaluation.networks import lpips
from videopoet_jax.evaluation.networks import paths as paths_lib
from videopoet_jax.evaluation.networks import stand_ins
from videopoet_jax.evaluation.networks import torchscript
from videopoet_jax.evaluation.networks import vggish

_Builder = Callable[..., interface.Metric]


def _distance(kind: Any, name: str, load: Callable[[Any], Any]) -> _Builder:
  def build(paths: paths_lib.NetworkPaths, **settings: Any) -> interface.Metric:
    return kind(name, load(paths), **settings)

  return build


def _fad(
  paths: paths_lib.NetworkPaths,
  sampling_rate: int = vggish.RATE,
  **settings: Any,
) -> interface.Metric:
  network = vggish.vggish(paths.vggish, sampling_rate)
  return distances.Frechet('fad', network, **settings)


def _inception_score(
  paths: paths_lib.NetworkPaths, **settings: Any
) -> interface.Metric:
  return inception_score.InceptionScore(torchscript.c3d(paths.c3d), **settings)


def _clipsim(paths: paths_lib.NetworkPaths) -> interface.Metric:
  return perceptual.CLIPSIM(clip.clip(paths.clip))


def _lpips(paths: paths_lib.NetworkPaths) -> interface.Metric:
  return perceptual.LPIPS(
    lpips.lpips(paths.lpips_backbone, paths.lpips_heads, paths.lpips_net)
  )


def _dnsmos(
  paths: paths_lib.NetworkPaths, sampling_rate: int = vggish.RATE
) -> interface.Metric:
  del paths
  return quality.Quality(stand_ins.DNSMOS(sampling_rate), column=2)


def _plain(kind: Any, **fixed: Any) -> _Builder:
  def build(paths: paths_lib.NetworkPaths, **settings: Any) -> interface.Metric:
    del paths
    return kind(**fixed, **settings)

  return build


def _oracle(
  paths: paths_lib.NetworkPaths, *, task: str, clips: held_out.Clips
) -> interface.Metric:
  del paths
  return oracle.Oracle(task, clips)


_BUILDERS: Mapping[str, _Builder] = {
  'fvd': _distance(
    distances.Frechet, 'fvd', lambda paths: torchscript.i3d(paths.i3d)
  ),
  'kvd': _distance(
    distances.KernelDistance, 'kvd', lambda paths: torchscript.i3d(paths.i3d)
  ),
  'fid': _distance(
    distances.Frechet,
    'fid',
    lambda paths: inception.inception_v3(paths.inception_v3),
  ),
  'kid': _distance(
    distances.KernelDistance,
    'kid',
    lambda paths: inception.inception_v3(paths.inception_v3),
  ),
  'fad': _fad,
  'is': _inception_score,
  'clipsim': _clipsim,
  'lpips': _lpips,
  'psnr': _plain(pixels.PSNR),
  'ssim': _plain(pixels.SSIM),
  'si_sdr': _plain(sound.SISDR),
  'mel_distance': _plain(sound.MelDistance),
  'perplexity_visual': _plain(tokens.Perplexity, modality='visual'),
  'perplexity_audio': _plain(tokens.Perplexity, modality='audio'),
  'perplexity_text': _plain(tokens.Perplexity, modality='text'),
  'oracle': _oracle,
  'frechet_efficientnet_lite0': _distance(
    distances.Frechet,
    'frechet_efficientnet_lite0',
    lambda paths: stand_ins.EfficientNetLite0(),
  ),
  'frechet_transnetv2': _distance(
    distances.Frechet,
    'frechet_transnetv2',
    lambda paths: stand_ins.TransNetV2(),
  ),
  'kernel_transnetv2': _distance(
    distances.KernelDistance,
    'kernel_transnetv2',
    lambda paths: stand_ins.TransNetV2(),
  ),
  'dnsmos': _dnsmos,
}
NAMES = tuple(_BUILDERS)


def make(
  name: str,
  paths: paths_lib.NetworkPaths | None = None,
  **settings: Any,
) -> interface.Metric:
  """A metric by its name.

  Args:
    name: one of `NAMES`.
    paths: where the weights of published networks are.
    **settings: fields of the metric; `sampling_rate` of those of sound, `task`
      and `clips` of 'oracle'.

  Returns:
    The metric; its network's weights are found now and loaded when used.

  Raises:
    ConfigError: no such metric or setting, or its weights are not there.
  """
  if name not in _BUILDERS:
    raise errors.ConfigError(
      f'no metric is called {name!r}{errors.near_names(name, NAMES)}.'
    )
  build = functools.partial(_BUILDERS[name], paths or paths_lib.NetworkPaths())
  try:
    return build(**settings)
  except TypeError as error:
    raise errors.ConfigError(
      f'metric {name!r} has no such setting, or lacks one: {error}'
    ) from error
