"""CLIP from a folder that transformers wrote."""

import numpy as np
from PIL import Image
import pytest

from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import perceptual
from videopoet_jax.evaluation.networks import clip

pytestmark = pytest.mark.parity

torch = pytest.importorskip('torch', reason='needs torch (parity extra)')
transformers = pytest.importorskip(
  'transformers', reason='needs transformers (parity extra)'
)
pil_processing = pytest.importorskip(
  'transformers.models.clip.image_processing_pil_clip',
  reason='needs transformers 5',
)

from tests.evaluation.networks import published  # noqa: E402

_CAPTIONS = ('red dot', 'a blue square that moves to the left', 'x')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('clip')
  published.clip_folder(folder)
  return folder


def _theirs(folder, frames):
  """Logits by transformers alone, its own preprocessing included."""
  model = transformers.CLIPModel.from_pretrained(folder).eval()
  tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
  processor = pil_processing.CLIPImageProcessorPil.from_pretrained(folder)
  pixels = processor(
    [Image.fromarray(frame) for frame in frames], return_tensors='pt'
  )
  tokens = tokenizer(
    list(_CAPTIONS),
    padding=True,
    truncation=True,
    max_length=12,
    return_tensors='pt',
  )
  with torch.inference_mode():
    output = model(**tokens, **pixels)
  return output.logits_per_image.numpy() / model.logit_scale.exp().item()


@pytest.mark.parametrize('shape', [(24, 24), (40, 56), (64, 36)])
def test_equals_transformers(folder, shape):
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (3, *shape, 3), np.uint8)
  network = clip.clip(folder)
  images, texts = network.frames(frames), network.text(_CAPTIONS)
  images /= np.linalg.norm(images, axis=1, keepdims=True)
  texts /= np.linalg.norm(texts, axis=1, keepdims=True)
  np.testing.assert_allclose(
    images @ texts.T, _theirs(folder, frames), atol=1e-5
  )


def test_clipsim(folder):
  video = published.videos(3, 2)
  metric = perceptual.CLIPSIM(clip.clip(folder))
  batch = {'generated': video, 'text': np.array(_CAPTIONS)}
  values = metric.measure(batch)['value']
  flat = _theirs(folder, video.reshape(-1, 24, 24, 3))
  expected = [flat[2 * i : 2 * i + 2, i].mean() for i in range(3)]
  np.testing.assert_allclose(values, expected, atol=1e-5)
  alone = metric.measure({k: v[1:2] for k, v in batch.items()})['value']
  assert alone[0] == values[1]


def test_a_folder_without_clip(tmp_path):
  with pytest.raises(errors.ConfigError, match='no CLIP that transformers'):
    clip.clip(tmp_path).text(['a'])
