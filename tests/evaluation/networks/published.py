"""Random weights in the formats in which the networks' own are published."""

import json

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='needs torch (parity extra)')

CLIP_SIZE = 32


def video_script(path, width, softmax=False):
  """A TorchScript module that is called as I3D's and C3D's files are."""

  class Network(torch.nn.Module):
    def __init__(self):
      super().__init__()
      self.conv = torch.nn.Conv3d(3, 8, 3, stride=2)
      self.head = torch.nn.Linear(8, width)

    def forward(
      self,
      x: torch.Tensor,
      rescale: bool = False,
      resize: bool = False,
      return_features: bool = False,
    ) -> torch.Tensor:
      if resize:
        b, c, t, h, w = x.shape
        x = x.permute(0, 2, 1, 3, 4).reshape(b * t, c, h, w)
        x = torch.nn.functional.interpolate(
          x, size=[16, 16], mode='bilinear', align_corners=False
        )
        x = x.reshape(b, t, c, 16, 16).permute(0, 2, 1, 3, 4)
      if rescale:
        x = 2 * x / 255 - 1
      x = self.head(torch.relu(self.conv(x)).mean((2, 3, 4)))
      return x if return_features else torch.softmax(x, 1)

  torch.manual_seed(0)
  torch.jit.script(Network().eval()).save(str(path))


def clip_folder(folder):
  """A tiny CLIP with a tokenizer of letters; returns the model."""
  import transformers

  torch.manual_seed(0)
  small = {
    'hidden_size': 16,
    'intermediate_size': 32,
    'num_hidden_layers': 2,
    'num_attention_heads': 2,
  }
  letters = [chr(code) for code in range(97, 123)]
  tokens = [*letters, *(letter + '</w>' for letter in letters)]
  tokens += ['<|startoftext|>', '<|endoftext|>']
  model = transformers.CLIPModel(
    transformers.CLIPConfig(
      text_config={
        **small,
        'vocab_size': len(tokens),
        'max_position_embeddings': 12,
        'bos_token_id': len(tokens) - 2,
        'eos_token_id': len(tokens) - 1,
        'pad_token_id': len(tokens) - 1,
      },
      vision_config={**small, 'image_size': CLIP_SIZE, 'patch_size': 8},
      projection_dim=8,
    )
  ).eval()
  model.save_pretrained(folder)
  vocabulary = {token: index for index, token in enumerate(tokens)}
  (folder / 'vocab.json').write_text(json.dumps(vocabulary))
  (folder / 'merges.txt').write_text('#version: 0.2\n')
  (folder / 'preprocessor_config.json').write_text(
    json.dumps(
      {
        'image_processor_type': 'CLIPImageProcessor',
        'size': {'shortest_edge': CLIP_SIZE},
        'crop_size': {'height': CLIP_SIZE, 'width': CLIP_SIZE},
        'do_resize': True,
        'do_center_crop': True,
        'do_normalize': True,
        'do_convert_rgb': True,
        'resample': 3,
        'image_mean': [0.48145466, 0.4578275, 0.40821073],
        'image_std': [0.26862954, 0.26130258, 0.27577711],
      }
    )
  )
  return model


def videos(batch, frames, size=24, seed=0):
  """Smooth random uint8 videos."""
  rng = np.random.default_rng(seed)
  coarse = rng.integers(0, 256, (batch, frames, 4, 4, 3))
  fine = coarse.repeat(size // 4, 2).repeat(size // 4, 3)
  return fine.astype(np.uint8)
