"""The arithmetic of metrics against torchmetrics, scikit-image and others."""

import numpy as np
import pytest

from videopoet_jax.evaluation.metrics import gaussian
from videopoet_jax.evaluation.metrics import inception_score
from videopoet_jax.evaluation.metrics import kernel
from videopoet_jax.evaluation.metrics import pixels
from videopoet_jax.evaluation.metrics import sound

pytestmark = pytest.mark.parity

torch = pytest.importorskip('torch', reason='needs torch (parity extra)')
pytest.importorskip('torchmetrics', reason='needs torchmetrics (parity extra)')

from torchmetrics import audio  # noqa: E402
from torchmetrics import functional  # noqa: E402
from torchmetrics import image  # noqa: E402
from torchmetrics.image import fid  # noqa: E402
from torchmetrics.image import inception  # noqa: E402
from torchmetrics.image import kid  # noqa: E402

# Samples and features of the three sizes.
_SIZES = [(100, 16), (600, 128), (1500, 400)]


def _features(count, width, seed):
  """Correlated, positive, and of uneven spread: like those of a network."""
  rng = np.random.default_rng(seed)
  mixing = rng.normal(size=(width, width)) / np.sqrt(width)
  scale = np.geomspace(1, 0.01, width)
  hidden = rng.normal(size=(count, width)) @ mixing * scale
  return np.log1p(np.exp(hidden + 0.1 * seed)).astype(np.float32)


def _streamed(features, block=64):
  return gaussian.merge(
    [
      gaussian.of(features[i : i + block])
      for i in range(0, len(features), block)
    ]
  )


@pytest.mark.parametrize(('count', 'width'), _SIZES)
def test_frechet_distance(count, width):
  one, other = _features(count, width, 0), _features(count + 50, width, 1)
  ours = gaussian.frechet_distance(_streamed(one), _streamed(other))
  moments = []
  for features in (one, other):
    double = torch.from_numpy(features.astype(np.float64))
    moments += [double.mean(0), torch.cov(double.T)]
  theirs = fid._compute_fid(*moments).item()
  assert ours == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize(('count', 'width'), _SIZES)
def test_kernel_distance(count, width):
  one, other = _features(count, width, 0), _features(count, width, 1)
  theirs = kid.poly_mmd(
    torch.from_numpy(one.astype(np.float64)),
    torch.from_numpy(other.astype(np.float64)),
  ).item()
  assert kernel.squared_discrepancy(one, other) == pytest.approx(
    theirs, rel=1e-6
  )


def test_inception_score():
  logits = np.random.default_rng(0).normal(size=(300, 101)) * 3
  metric = inception.InceptionScore(feature=torch.nn.Identity(), splits=1)
  metric.set_dtype(torch.float64)
  metric.features.append(torch.from_numpy(logits))
  theirs = metric.compute()[0].item()
  powers = np.exp(logits)
  probabilities = powers / powers.sum(1, keepdims=True)

  class Network:
    name, width, stand_in, takes = 'logits', 101, False, 'video'

  ours = inception_score.InceptionScore(Network())
  state = ours.merge(
    [
      ours.add(ours.empty(), {'probabilities': probabilities[i : i + 64]})
      for i in range(0, 300, 64)
    ]
  )
  assert ours.compute(state) == pytest.approx(theirs, rel=1e-6)


def _videos():
  rng = np.random.default_rng(0)
  real = rng.integers(0, 256, (2, 3, 6, 6, 3)).repeat(5, 2).repeat(6, 3)
  noise = rng.integers(-40, 41, real.shape)
  generated = np.clip(real + noise, 0, 255)
  return {
    'generated': generated.astype(np.uint8),
    'real': real.astype(np.uint8),
  }


def _tensors(batch):
  return [
    torch.from_numpy(batch[side].astype(np.float64)).permute(0, 1, 4, 2, 3)
    for side in ('generated', 'real')
  ]


def test_psnr_and_ssim():
  batch = _videos()
  ours = pixels.SSIM().measure(batch)['value']
  psnr = pixels.PSNR().measure(batch)['value']
  for index, (generated, real) in enumerate(zip(*_tensors(batch))):
    # It also counts a border of five pixels, whose windows reach over the edge.
    _, theirs = functional.structural_similarity_index_measure(
      generated, real, data_range=255.0, return_full_image=True
    )
    theirs = theirs[..., 5:-5, 5:-5].mean()
    assert ours[index] == pytest.approx(theirs.item(), rel=1e-6)
    theirs = image.PeakSignalNoiseRatio(
      data_range=255.0, dim=(1, 2, 3), reduction='elementwise_mean'
    )(generated, real)
    assert psnr[index] == pytest.approx(theirs.item(), rel=1e-6)


def test_ssim_of_scikit_image():
  metrics = pytest.importorskip('skimage.metrics')
  batch = _videos()
  frame, truth = batch['generated'][0, 0], batch['real'][0, 0]
  theirs = metrics.structural_similarity(
    frame.astype(np.float64),
    truth.astype(np.float64),
    data_range=255,
    channel_axis=-1,
    gaussian_weights=True,
    sigma=1.5,
    use_sample_covariance=False,
  )
  ours = pixels.similarity_map(frame[None], truth[None]).mean()
  assert ours == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize('zero_mean', [False, True])
def test_si_sdr(zero_mean):
  rng = np.random.default_rng(0)
  real = rng.normal(size=(4, 4000)) * 0.2 + 0.01
  generated = 0.7 * real + rng.normal(size=real.shape) * 0.05
  theirs = audio.ScaleInvariantSignalDistortionRatio(zero_mean=zero_mean)
  batch = {
    'generated_audio': generated.astype(np.float32),
    'real_audio': real.astype(np.float32),
  }
  ours = sound.SISDR(zero_mean=zero_mean).measure(batch)['value']
  expected = theirs(
    *(torch.from_numpy(array.astype(np.float64)) for array in batch.values())
  )
  assert ours.mean() == pytest.approx(expected.item(), rel=1e-6)


def test_log_mel():
  audio_utils = pytest.importorskip('transformers.audio_utils')
  sounds = np.random.default_rng(0).normal(size=(1, 6000)) * 0.1
  filters = audio_utils.mel_filter_bank(
    257, 80, 0.0, 8000.0, 16000, norm='slaney', mel_scale='slaney'
  )
  theirs = audio_utils.spectrogram(
    sounds[0],
    audio_utils.window_function(512, 'hann'),
    frame_length=512,
    hop_length=128,
    power=1.0,
    center=False,
    mel_filters=filters,
    mel_floor=1e-5,
    log_mel='log10',
    dtype=np.float64,
  )
  ours = sound.MelDistance().log_mel(sounds, 512, 80)[0]
  np.testing.assert_allclose(ours, theirs.T, atol=2e-5)
