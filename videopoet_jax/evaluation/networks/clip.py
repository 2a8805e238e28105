"""CLIP by transformers, from a local folder."""

from collections.abc import Sequence
import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np
from PIL import Image

from videopoet_jax.core import errors
from videopoet_jax.evaluation.networks import interface
from videopoet_jax.evaluation.networks import paths
from videopoet_jax.evaluation.networks import pytorch

# Mean and deviation of OpenAI's preprocessing.
_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
_DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def clip(folder: str) -> 'CLIP':
  """Returns CLIP ViT-B/16, CLIPSIM's network in the paper."""
  return CLIP(
    paths.weights(
      folder,
      what='CLIP',
      published='openai/clip-vit-base-patch16 on the Hugging Face hub (the '
      'whole folder)',
      field='clip',
    )
  )


@dataclasses.dataclass(frozen=True)
class CLIP:
  """Embeddings of frames and captions.

  A frame's shorter side is resized to the network's size (bicubic with
  antialiasing, on uint8), the centre is cut out, levels are scaled to [0, 1]
  and normalised by OpenAI's mean and deviation. Captions are cut at the
  network's 77 tokens.

  Attributes:
    folder: folder with `config.json`, weights and the tokenizer's files.
    chunk: frames or captions a call.
    name: name of the network.
  """

  folder: pathlib.Path
  chunk: int = 16
  name: str = 'clip_vit_b16'

  @functools.cached_property
  def fingerprint(self) -> str:
    """Hash of all files of the folder."""
    return interface.fingerprint(self.folder, self.name)

  @functools.cached_property
  def _parts(self) -> tuple[Any, Any]:
    """The model and the tokenizer, loaded when first used."""
    transformers = pytorch.imported('transformers', 'transformers')
    try:
      model = transformers.CLIPModel.from_pretrained(
        self.folder, local_files_only=True
      )
      tokenizer = transformers.CLIPTokenizer.from_pretrained(
        self.folder, local_files_only=True
      )
    except (OSError, ValueError, KeyError, TypeError) as error:
      raise errors.ConfigError(
        f'{self.folder} holds no CLIP that transformers can read '
        f'({str(error).splitlines()[0][:200]}); give the whole folder as it is '
        'published.'
      ) from error
    return model.eval().to(pytorch.device()), tokenizer

  def frames(self, frames_NHWC: np.ndarray) -> np.ndarray:
    """Projected embeddings of uint8 frames, float32 (N, D)."""
    model, _ = self._parts
    size = model.config.vision_config.image_size
    pixels = np.stack([preprocess(frame, size) for frame in frames_NHWC])

    def embed(pixels_NCHW: Any) -> Any:
      return _pooled(model.get_image_features(pixel_values=pixels_NCHW))

    return pytorch.in_chunks(embed, (pixels,), self.chunk)

  def text(self, captions: Sequence[str]) -> np.ndarray:
    """Projected embeddings of captions, float32 (N, D)."""
    model, tokenizer = self._parts
    tokens = tokenizer(
      list(captions),
      padding='max_length',
      truncation=True,
      max_length=model.config.text_config.max_position_embeddings,
      return_tensors='np',
    )

    def embed(ids: Any, mask: Any) -> Any:
      return _pooled(
        model.get_text_features(input_ids=ids, attention_mask=mask)
      )

    return pytorch.in_chunks(
      embed, (tokens['input_ids'], tokens['attention_mask']), self.chunk
    )


def preprocess(frame_HWC: np.ndarray, size: int) -> np.ndarray:
  """Applies OpenAI's preprocessing to one frame.

  Args:
    frame_HWC: uint8 frame.
    size: height and width of the network's input.

  Returns:
    float32 (3, size, size).
  """
  height, width = frame_HWC.shape[:2]
  scale = size / min(height, width)
  tall, wide = max(size, int(height * scale)), max(size, int(width * scale))
  image = Image.fromarray(frame_HWC).resize(
    (wide, tall), Image.Resampling.BICUBIC
  )
  top, left = round((tall - size) / 2), round((wide - size) / 2)
  levels = np.asarray(image)[top : top + size, left : left + size]
  scaled = levels.astype(np.float32) / 255
  return ((scaled - _MEAN) / _DEVIATION).transpose(2, 0, 1)


def _pooled(output: Any) -> Any:
  """Returns the embeddings, which only transformers 5 wraps in an object."""
  return getattr(output, 'pooler_output', output)
