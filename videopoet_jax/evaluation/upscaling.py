"""Scores super-resolution against bicubic upscaling and the truth."""

from collections.abc import Callable, Sequence
import dataclasses
import json
import pathlib
import time
from typing import Any

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.evaluation import edges
from videopoet_jax.inference import conditions as conditions_lib
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.inference import sampling
from videopoet_jax.inference.super_resolution import cascade as cascade_lib
from videopoet_jax.inference.super_resolution import config as config_lib
from videopoet_jax.inference.super_resolution import upscaler as upscaler_lib
from videopoet_jax.media import resizing
from videopoet_jax.tokenizers.magvit2 import bundle as visual_bundle

REPORT = 'upscaling.json'
PICTURE = 'upscaling.png'
_LOW_TOKENS = 'low_tokens'
_CONFIG = config_lib.UpscaleConfig()


@dataclasses.dataclass(frozen=True)
class Condition:
  """The clips that are upscaled.

  Attributes:
    pixels_BTHWC: uint8 frames, as the tokenizer decodes the ids.
    ids_BTHW: int32 local ids of the first stage's condition.
    text: one caption a clip, or None.
  """

  pixels_BTHWC: np.ndarray
  ids_BTHW: np.ndarray
  text: tuple[str, ...] | None


def read_truth(media: str, split: str, clips: int, reduce: int) -> Any:
  """Reads the first clips of a split at the target size, with labels.

  Args:
    media: directory of a media data set.
    split: split of the data set.
    clips: largest number of clips.
    reduce: number that height and width are divided by.

  Returns:
    An `evaluation.upscaled.Truth`.

  Raises:
    DataError: the data set or the split is missing.
    LayoutError: reduce does not divide the size.
  """
  from videopoet_jax.data import records as records_lib
  from videopoet_jax.evaluation import upscaled
  from videopoet_jax.shapes import config as shapes_config

  records = records_lib.open_records(media)
  names = ['video', 'caption', *upscaled.ATTRIBUTES]
  found = records.examples(split, [n for n in names if n in records.features])
  examples = list(found.take(clips).as_numpy_iterator())
  video = resizing.reduce_pixels(
    np.stack([e['video'] for e in examples]), reduce
  )
  captions = tuple(
    bytes(e.get('caption', b'')).decode('utf-8', 'replace') for e in examples
  )
  stored = records.metadata.get('shapes_config')
  if stored is None:
    return upscaled.Truth(video, captions)
  height, width = video.shape[2:4]
  config = shapes_config.ShapesConfig(**stored)
  labels = {n: np.array([e[n] for e in examples]) for n in upscaled.ATTRIBUTES}
  return upscaled.Truth(
    video,
    captions,
    labels,
    dataclasses.replace(config, height=height, width=width),
  )


def make_condition(
  truth: Any,
  first: upscaler_lib.Upscaler,
  scale: int,
  *,
  with_text: bool,
  grey: bool,
  noise: float,
  seed: int,
) -> Condition:
  """Encodes the truth at low resolution, disturbed if requested.

  Args:
    truth: see `read_truth`.
    first: the cascade's first stage, whose tokenizer encodes.
    scale: scale of the whole cascade.
    with_text: whether captions are given.
    grey: whether colour is removed from the pixels.
    noise: share of the ids that are drawn anew.
    seed: seed of these draws.
  """
  pixels = resizing.reduce_pixels(truth.video_BTHWC, scale)
  if grey:
    luma = pixels.astype(np.float32) @ edges.LUMA_3
    pixels = np.repeat(luma[..., None], 3, -1).round().astype(np.uint8)
  ids_BTHW = first.encode_low(pixels)
  if noise:
    drawn = np.random.default_rng(seed)
    other = drawn.integers(
      0, first.described.low_visual.codebook_size, ids_BTHW.shape, np.int32
    )
    ids_BTHW = np.where(drawn.random(ids_BTHW.shape) < noise, other, ids_BTHW)
  shown = visual_bundle.to_pixels(first.low.decode(ids_BTHW))
  return Condition(shown, ids_BTHW, truth.captions if with_text else None)


def open_in_order(
  directory: str, text_encoder: str = ''
) -> generator_lib.Generator:
  """Opens a prefix language model that upscales id by id, to compare with.

  Args:
    directory: its checkpoint; its one task has the prefix `low_tokens`, each
      id repeated over the cells that it covers (`tasks/upscaling.gin`).
    text_encoder: see `Generator.load`.

  Raises:
    CheckpointError: it cannot be read, or was trained on other tasks.
  """
  found = generator_lib.Generator.load(directory, text_encoder=text_encoder)
  names = found.layout_names
  if len(names) != 1 or _LOW_TOKENS not in conditions_lib.prefix_features(
    found.layout(names[0])
  ):
    raise errors.CheckpointError(
      f'--autoregressive: {directory} knows {", ".join(names)}; expected the '
      'one layout of a model trained on tasks/upscaling.gin alone '
      '(gin/runs/shapes_upscaling_in_order.gin).'
    )
  return found


def upscale_in_order(
  generator: generator_lib.Generator,
  condition: Condition,
  scale: int,
  *,
  temperature: float,
  seed: int,
  batch_size: int,
) -> tuple[np.ndarray, int]:
  """Upscales by a prefix language model that writes id after id.

  Args:
    generator: see `open_in_order`.
    condition: clips to upscale.
    scale: height and width of the result relative to the condition's.
    temperature: temperature of the draws.
    seed: seed of the draws.
    batch_size: number of clips a call.

  Returns:
    uint8 (B, T, H, W, 3), and the number of steps, the ids of a clip.
  """
  (layout,) = generator.layout_names
  low = condition.ids_BTHW.repeat(scale, axis=2).repeat(scale, axis=3)
  given: dict[str, Any] = {_LOW_TOKENS: low}
  if condition.text is not None:
    given['text'] = list(condition.text)
  made = generator.generate(
    layout,
    given,
    seed=seed,
    config=sampling.SamplingConfig(temperature=temperature),
    batch_size=batch_size,
  )
  assert made.video_BTHWC is not None
  return made.video_BTHWC, int(np.prod(low.shape[1:]))


def _refuse(name: str, reason: str) -> None:
  raise errors.ConfigError(f'--{name} cannot act {reason}; leave it out.')


def score(
  *,
  checkpoint: Sequence[str],
  media: str,
  out: str,
  split: str = 'validation',
  clips: int = 64,
  reduce: int = 1,
  steps: Sequence[int] = (24,),
  config: config_lib.UpscaleConfig = _CONFIG,
  text: bool = True,
  grey: bool = False,
  noise: float = 0.0,
  decoder: str = '',
  autoregressive: str = '',
  autoregressive_temperature: float = 1.0,
  text_encoder: str = '',
  seed: int = 0,
  batch_size: int = 32,
  log: Callable[[str], None] = lambda line: None,
) -> dict[str, dict[str, float]]:
  """Scores a cascade at several numbers of steps.

  Args:
    checkpoint: folders of the stages, in order.
    media: directory of a media data set.
    out: folder for the report and a picture.
    split: split of the data set.
    clips: largest number of clips.
    reduce: number that height and width of the clips are divided by first.
    steps: numbers of decoding steps, each scored.
    config: settings of sampling, except for the number of steps.
    text: whether captions are given.
    grey: whether the condition's colour is removed.
    noise: share of the condition's ids that are drawn anew.
    decoder: decoder of the last stage, see `Upscaler.with_decoder`.
    autoregressive: checkpoint of a language model to compare with.
    autoregressive_temperature: temperature of its draws.
    text_encoder: see `Upscaler.load`.
    seed: seed of the draws.
    batch_size: number of clips a call.
    log: receives lines of progress; without it nothing is printed.

  Returns:
    For each method (`truth`, `tokenizer`, `bicubic`, `<n> steps`) the result of
    `evaluation.upscaled.metrics`, and `seconds` a clip if ids were drawn,
    compilation included.

  Raises:
    UserError: something is missing or does not match.
  """
  from videopoet_jax.evaluation import upscaled

  for name, value in (
    ('clips', clips),
    ('reduce', reduce),
    ('batch_size', batch_size),
    ('steps', min(steps)),
  ):
    errors.check_positive(f'--{name}', value)
  if not 0 <= noise <= 1:
    raise errors.ConfigError(f'--noise is {noise:g}; expected 0 to 1.')
  errors.check_not_negative('--seed', seed)
  if not autoregressive and autoregressive_temperature != 1:
    _refuse('autoregressive_temperature', 'without --autoregressive')
  if not text and config.text_guidance != 1:
    _refuse('text_guidance', 'with --no_text')
  if max(steps) == 1:
    for name in ('schedule', 'confidence_temperature'):
      if getattr(config, name) != getattr(_CONFIG, name):
        _refuse(name, 'with --steps 1, which decides all ids at once')
  # Opened first, so that mismatches are reported before anything is generated.
  cascade = cascade_lib.Cascade.load(checkpoint, text_encoder)
  if decoder:
    cascade = cascade.with_decoder(decoder)
  in_order = (
    open_in_order(autoregressive, text_encoder) if autoregressive else None
  )
  encoded = [stage.described.config.text for stage in cascade.stages]
  if in_order:
    encoded.append(in_order.model.config.text)
  if text_encoder and 'embeddings' not in encoded:
    _refuse('text_encoder', 'since no model here takes text embeddings')
  first, last = cascade.stages[0], cascade.stages[-1]
  truth = read_truth(media, split, clips, reduce)
  scale = cascade.scale
  condition = make_condition(
    truth, first, scale, with_text=text, grey=grey, noise=noise, seed=seed
  )
  start = cascade_lib.Clips(
    condition.ids_BTHW, first.described.fingerprints['low']
  )
  height, width = truth.video_BTHWC.shape[2:4]
  bicubic = resizing.resize_pixels(condition.pixels_BTHWC, height, width)
  last.check_decodes()
  tokenizer = last.visual
  tokenizer.batch_size = batch_size
  kept = tokenizer.encode(truth.video_BTHWC)
  found: dict[str, dict[str, float]] = {}

  def add(name: str, video: np.ndarray, seconds: float = 0.0) -> None:
    found[name] = upscaled.metrics(video, truth)
    if seconds:
      found[name]['seconds'] = seconds / len(video)
    values = '  '.join(f'{k} {v:.4g}' for k, v in found[name].items())
    log(f'{name:>14}: {values}')

  add('truth', truth.video_BTHWC)
  add('tokenizer', visual_bundle.to_pixels(tokenizer.decode(kept)))
  add('bicubic', bicubic)
  shown = {'condition': condition.pixels_BTHWC, 'bicubic': bicubic}
  for number in steps:
    chosen = dataclasses.replace(config, num_steps=number)
    started = time.monotonic()
    video = cascade.run(
      start,
      condition.text,
      configs=[chosen] * len(cascade.stages),
      seed=seed,
      batch_size=batch_size,
      log=log,
    ).video_BTHWC
    assert video is not None
    add(f'{number} steps', video, time.monotonic() - started)
    if number == steps[-1]:
      shown['upscaled'] = video
  if in_order:
    started = time.monotonic()
    video, count = upscale_in_order(
      in_order,
      condition,
      scale,
      temperature=autoregressive_temperature,
      seed=seed,
      batch_size=batch_size,
    )
    add(f'in order, {count}', video, time.monotonic() - started)
    shown['in_order'] = video
  shown['truth'] = truth.video_BTHWC
  folder = pathlib.Path(out)
  folder.mkdir(parents=True, exist_ok=True)
  drawn = dataclasses.asdict(config) | {'num_steps': list(steps)}
  report = {
    'checkpoint': [str(one) for one in checkpoint],
    'decoder': decoder,
    'autoregressive': autoregressive,
    'autoregressive_temperature': autoregressive_temperature,
    'media': media,
    'split': split,
    'reduce': reduce,
    'clips': len(truth.video_BTHWC),
    'config': drawn,
    'text': text,
    'grey': grey,
    'noise': noise,
    'seed': seed,
    'metrics': found,
  }
  (folder / REPORT).write_text(json.dumps(report, indent=2) + '\n')
  upscaled.write_comparison(folder / PICTURE, shown, clips=min(4, len(bicubic)))
  return found
