"""`videopoet generate`: samples of a task from a checkpoint folder.

For example, four videos of one prompt:

  videopoet generate --checkpoint demo --task text_to_video --num_samples 4 \
    --text 'a red circle moves right quickly' --out samples

and the same four times as high and wide, by two super-resolution models:

  ... --upscale 4x --super_resolution stage_1 stage_2
"""

import argparse
from collections.abc import Callable, Sequence
import dataclasses
import json
import os
import pathlib
from typing import Any

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import masking
from videopoet_jax.core import storage
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.core import types
from videopoet_jax.inference import cascade as cascade_lib
from videopoet_jax.inference import chain
from videopoet_jax.inference import conditions
from videopoet_jax.inference import continuation as continuation_lib
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.inference import long_video
from videopoet_jax.inference import presets
from videopoet_jax.inference import sampling
from videopoet_jax.jobs import cli
from videopoet_jax.jobs import upscale_flags
from videopoet_jax.media import files as media
from videopoet_jax.media import pictures
from videopoet_jax.media import sound
from videopoet_jax.media import video

UPSCALED_FOLDER = 'upscaled'

Path = str | os.PathLike[str]


def _clip_size(layout: layout_lib.SequenceLayout) -> tuple[int, int, int]:
  frames, height, width = layout.name.split('/')[1].split('x')
  return int(frames), int(height), int(width)


def _read_structure(
  path: Path, count: int, size: tuple[int, int], frame_rate: float
) -> np.ndarray:
  """Flow and depth: `.npz` with both, or a video of the three channels."""
  if pathlib.Path(path).suffix != '.npz':
    return video.first_frames(path, count, frame_rate, *size)
  try:
    with np.load(path) as arrays:
      flow, depth = arrays['flow'], arrays['depth']
  except (OSError, ValueError, KeyError) as error:
    raise errors.DataError(
      f'{path} does not hold the arrays flow and depth ({error}).'
    ) from error
  wanted = (count, *size)
  if flow.shape[:3] != wanted:
    raise errors.DataError(
      f'{path}: flow has shape {flow.shape}; {wanted} + (2,) is needed.'
    )
  return masking.structure_from(flow, depth)


def read_conditions(
  layout: layout_lib.SequenceLayout,
  space: tasks_lib.LayoutSpace,
  files: dict[str, Any],
) -> dict[str, Any]:
  """Signals from files, as much of each as the layout takes: a row a text.

  Args:
    layout: to be conditioned.
    space: grids of the tokenizers.
    files: `text` as it is, or several in a list; paths of `image`, `video`,
      `audio`, `structure`, each for all rows.

  Raises:
    DataError: a file cannot be used, or a condition is missing.
  """
  frames, *size = _clip_size(layout)
  rate = space.visual.frame_rate
  given: dict[str, Any] = {}
  names = conditions.prefix_features(layout)
  conditions.check_given(layout, files)
  if 'text' in files and 'text' in names:
    given['text'] = _texts(files)
  visual = [n for n in names if n not in ('text', 'audio_tokens')]
  video_features = [n for n in visual if n != 'structure_tokens']
  if video_features and 'video' in files:
    latents = max(
      conditions.needed_frames(layout, n) or 0 for n in video_features
    )
    count = space.visual.frames(latents)
    given['video'] = video.first_frames(files['video'], count, rate, *size)[
      None
    ]
  elif video_features and 'image' in files:
    given['image'] = pictures.read(files['image'], *size)[None]
  if 'structure_tokens' in names:
    given['structure'] = _read_structure(
      files['structure'], frames, tuple(size), rate
    )[None]
  if 'audio_tokens' in names:
    spec = space.audio
    latents = conditions.needed_frames(layout, 'audio_tokens') or 0
    given['audio'] = sound.read_start(
      files['audio'], spec.sampling_rate, latents * spec.hop, rate
    )[None]
  rows = len(given.get('text', ('',)))
  return {
    name: signal if name == 'text' else np.repeat(signal, rows, axis=0)
    for name, signal in given.items()
  }


def _texts(files: dict[str, Any]) -> list[str]:
  """The prompts, of which there may be none."""
  text = files.get('text', [])
  return [text] if isinstance(text, str) else list(text)


def _write_videos(
  folder: Any,
  video_BTHWC: np.ndarray,
  audio_BT: np.ndarray | None,
  space: tasks_lib.LayoutSpace,
) -> list[str]:
  """Writes every clip or picture and a contact sheet; returns their names."""
  rate, sampling_rate = space.visual.frame_rate, space.audio.sampling_rate
  files = []
  for index, video_THWC in enumerate(video_BTHWC):
    audio_T = None if audio_BT is None else audio_BT[index]
    if len(video_THWC) == 1:
      files.append(f'sample_{index:03d}.png')
      media.write_picture(folder / files[-1], video_THWC[0])
      continue
    files.append(f'sample_{index:03d}.mp4')
    media.write_mp4(
      folder / files[-1], video_THWC, rate, audio_T, sampling_rate
    )
    files.append(f'sample_{index:03d}.gif')
    media.write_gif(folder / files[-1], video_THWC, rate)
  files.append('contact_sheet.png')
  media.write_contact_sheet(folder / files[-1], video_BTHWC)
  return files


def write_samples(
  out: Path,
  made: generator_lib.Generated,
  space: tasks_lib.LayoutSpace,
  record: dict[str, Any],
  heard_BT: np.ndarray | None = None,
  upscaled_BTHWC: np.ndarray | None = None,
) -> list[str]:
  """Writes every sample, a contact sheet and `generation.json`.

  Args:
    out: folder.
    made: samples.
    space: for frame and sampling rate.
    record: JSON values to keep beside the samples.
    heard_BT: int16, sound to be heard with the video, made or given.
    upscaled_BTHWC: the samples' larger frames, for a folder `upscaled`.

  Returns:
    Names of the files.

  Raises:
    DataError: the folder cannot be written.
  """
  folder = storage.path(out)
  files = []
  sounds = () if made.audio_BT is None else made.audio_BT
  for index, audio_T in enumerate(sounds):
    files.append(f'sample_{index:03d}.wav')
    media.write_wav(folder / files[-1], audio_T, space.audio.sampling_rate)
  for name, video_BTHWC in (
    ('', made.video_BTHWC),
    (UPSCALED_FOLDER, upscaled_BTHWC),
  ):
    if video_BTHWC is not None:
      written = _write_videos(folder / name, video_BTHWC, heard_BT, space)
      files += [f'{name}/{file}' if name else file for file in written]
  record = record | {'layout': made.layout.name, 'files': files}
  with media.writing(folder / 'generation.json') as path:
    path.write_text(json.dumps(record, indent=2) + '\n', encoding='utf-8')
  return files


def generate(
  *,
  checkpoint: Path,
  out: Path,
  task: str = '',
  layout: str = '',
  files: dict[str, Any] | None = None,
  num_samples: int = 1,
  batch_size: int = 64,
  seed: int = 0,
  config: sampling.SamplingConfig = sampling.DEFAULT,
  negative_text: str = '',
  seconds: float = 0.0,
  text_encoder: Path = '',
  upscale: upscale_flags.Request | None = None,
  preset: str = '',
  say: Callable[[str], None] = print,
) -> list[str]:
  """Generates and writes samples.

  Args:
    checkpoint: folder of a language model.
    out: folder to write.
    task: name of a task, unless a layout is named.
    layout: name of a layout the model was trained on.
    files: see `read_conditions`.
    num_samples: how many of each text, next to each other.
    batch_size: most of them that are sampled at one time.
    seed: of the draws.
    config: how ids are drawn.
    negative_text: with guidance, what to move away from.
    seconds: length of a long video; 0 keeps the layout's.
    text_encoder: folder of the frozen text encoder, for models that take text
      embeddings and do not have it beside them.
    upscale: models that make the samples larger, if they are to be.
    preset: name of settings for the text, see `presets`; '' for none.
    say: told what was asked for and is not done.

  Returns:
    Names of the files written.

  Raises:
    UserError: the checkpoint, a condition or the folder cannot be used, or a
      setting cannot act.
  """
  files = dict(files or {})
  suffix = ''
  if preset:
    suffix, negative_text = presets.apply(
      preset, _texts(files), negative_text, config
    )
  # Opened first: what does not fit is said before anything is sampled.
  cascade = upscale.open(text_encoder) if upscale else None
  generator = generator_lib.Generator.load(
    checkpoint, text_encoder=text_encoder
  )
  name = layout or generator.choose_layout(task, files)
  chosen = generator.layout(name)
  if task and task != chosen.task:
    raise errors.ConfigError(
      f'--task {task} and --layout {layout} differ; give one of them.'
    )
  # Models that enlarge take the text, whatever the task does.
  conditions.check_used(
    chosen, [name for name in files if not (cascade and name == 'text')]
  )
  targets = {s.feature for s in chosen.filled(types.Role.TARGET)}
  for flag, wanted in (('super_resolution', cascade), ('seconds', seconds)):
    if wanted and 'video_tokens' not in targets:
      raise errors.ConfigError(
        f'--{flag}: {chosen.task} makes no video; leave it out, or choose '
        'another task.'
      )
  texts = _texts(files)
  configs = upscale.configs() if upscale else ()
  continuation, notes = _check(
    generator,
    chosen,
    texts,
    config=config,
    negative_text=negative_text,
    num_samples=num_samples,
    seconds=seconds,
  )
  if upscale and cascade:
    size = _upscaled_size(chosen, generator, seconds)
    cascade.check_clip(*size, configs, long=bool(seconds))
    if not seconds:
      cascade.check_source(
        generator.visual_fingerprint, generator.tokenizers.visual is not None
      )
    cascade.check_text(texts)
    upscale_flags.check_acting(upscale, cascade, texts, size)
  _check_text_encoder(text_encoder, generator, cascade)
  given = read_conditions(chosen, generator.space, files)
  if 'text' not in given and len(texts) > 1:
    raise errors.DataError(f'{chosen.name} takes no text: give one at most.')
  if suffix:
    texts = [text + suffix for text in texts]
    given['text'] = texts
  for note in notes:
    say(note)
  media.check_folder(out)
  made = generator.generate(
    name,
    given,
    num_samples=num_samples,
    batch_size=batch_size,
    seed=seed,
    config=config,
    negative_text=negative_text,
  )
  heard_BT = made.audio_BT
  if heard_BT is None and 'audio' in given:
    heard_BT = np.repeat(given['audio'], num_samples, axis=0)
  text = [text for text in texts for _ in range(num_samples)] or None
  pieces: tuple[Any, ...] = ()
  if continuation and made.video_BTHWC is not None:
    longer = long_video.extend(
      generator,
      made.video_BTHWC,
      seconds,
      continuation=continuation,
      text=text,
      audio_BT=heard_BT,
      seed=seed,
      batch_size=batch_size,
    )
    heard_BT, pieces = longer.audio_BT, longer.pieces
    made = dataclasses.replace(
      made,
      video_BTHWC=longer.video_BTHWC,
      audio_BT=None if made.audio_BT is None else heard_BT,
    )
  larger = None
  if cascade:
    if seconds and made.video_BTHWC is not None:
      larger = cascade.run_long(
        made.video_BTHWC, text, configs=configs, seed=seed
      )
    else:
      larger = cascade.run(
        chain.clips_of(generator, made), text, configs=configs, seed=seed
      ).video_BTHWC
  return write_samples(
    out,
    made,
    generator.space,
    {
      'checkpoint': str(checkpoint),
      'task': chosen.task,
      'targets': sorted(targets),
      'conditions': {
        key: value if isinstance(value, list) else str(value)
        for key, value in files.items()
      },
      'negative_text': negative_text,
      'num_samples': num_samples,
      'seed': seed,
      'seconds': seconds,
      **_drawn(config),
      **({'preset': preset, 'text_suffix': suffix} if preset else {}),
      **({'pieces': list(pieces)} if seconds else {}),
      **(upscale.record(bool(texts)) if upscale else {}),
    },
    heard_BT,
    larger,
  )


def _check(
  generator: generator_lib.Generator,
  chosen: layout_lib.SequenceLayout,
  texts: Sequence[str],
  *,
  config: sampling.SamplingConfig,
  negative_text: str,
  num_samples: int,
  seconds: float,
) -> tuple[continuation_lib.Continuation | None, tuple[str, ...]]:
  """Checks that settings of sampling can act.

  Returns:
    What continues the clips, if they are to be; and lines for the user.

  Raises:
    UserError: a setting cannot act, or clips cannot be continued.
  """
  notes = generator.check_settings(chosen.name, config, negative_text)
  if num_samples > 1 and config.temperature == 0:
    raise errors.ConfigError(
      f'--num_samples {num_samples} with --temperature 0 makes the same sample '
      f'{num_samples} times; leave one out.'
    )
  if not seconds:
    return None, notes
  features = {s.feature for s in chosen.filled()}
  has_sound = 'audio_tokens' in features
  continuation = continuation_lib.check(
    generator,
    chosen,
    seconds,
    has_text='text' in features and bool(texts),
    has_sound=has_sound and generator.tokenizers.audio is not None,
    config=config,
    negative_text=negative_text,
  )
  return continuation, (*notes, *continuation.notes)


def _drawn(config: sampling.SamplingConfig) -> dict[str, Any]:
  """The settings as they acted, as JSON values."""
  acted = dataclasses.asdict(config)
  acted['guide_on'] = list(config.guide_on) if config.is_guided else []
  return acted


def _upscaled_size(
  layout: layout_lib.SequenceLayout,
  generator: generator_lib.Generator,
  seconds: float,
) -> tuple[int, int, int]:
  """Frames, height and width of what is upscaled."""
  frames, height, width = _clip_size(layout)
  if seconds:
    frames = long_video.frames_of(generator.space.visual, seconds)
  return frames, height, width


def _check_text_encoder(
  text_encoder: Path,
  generator: generator_lib.Generator,
  cascade: cascade_lib.Cascade | None,
) -> None:
  """Raises ConfigError where a text encoder is given that no model takes."""
  configs = [generator.model.config]
  if cascade:
    configs += [stage.described.config for stage in cascade.stages]
  if text_encoder and all(c.text != 'embeddings' for c in configs):
    raise errors.ConfigError(
      f'--text_encoder {text_encoder}: no model of this run takes text '
      'embeddings; leave it out.'
    )


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='videopoet generate',
    description='Generates video and sound from a checkpoint.',
  )
  add = parser.add_argument
  add('--checkpoint', required=True, help='folder of a trained model')
  add('--out', required=True, help='folder to write')
  add('--task', default='', help='for example text_to_video')
  add('--layout', default='', help='in place of --task, one layout by name')
  add('--text', action='append', help='prompt; may be repeated, a row each')
  add('--image', help='picture: the first frame')
  add('--video', help='video file')
  add('--audio', help='sound file, or a video file with sound')
  add('--structure', help='flow and depth: .npz, or a video of 3 channels')
  add('--num_samples', type=int, default=1, help='of each prompt')
  add('--batch_size', type=int, default=64, help='sampled at one time (64)')
  add('--guidance', type=float, default=1.0, help='1 is none')
  add(
    '--guide_on',
    nargs='+',
    default=list(sampling.DEFAULT.guide_on),
    metavar='CONDITION',
    help='conditions that guidance acts on, such as audio_tokens (text)',
  )
  add(
    '--preset',
    default='',
    help=f'fixed negative text and suffix: {", ".join(presets.NAMES)}',
  )
  add('--temperature', type=float, default=1.0, help='0 takes the likeliest')
  add(
    '--first_temperature',
    type=float,
    help="of a video's first latent frame, if it is to be another one",
  )
  add('--top_k', type=int, default=0, help='0 is all')
  add('--top_p', type=float, default=1.0)
  add('--negative_text', default='', help='with guidance')
  add('--seconds', type=float, default=0.0, help='go on to this length')
  add('--seed', type=int, default=0)
  add(
    '--text_encoder',
    default='',
    help='folder, if the model takes text embeddings and has none beside it',
  )
  upscale_flags.add(parser)
  return parser


def main(argv: Sequence[str]) -> int:
  """Generates; see `--help`."""
  flags = _parser().parse_args(argv)
  if not flags.task and not flags.layout:
    raise errors.ConfigError('give --task (text_to_video, ...) or --layout.')
  for name in ('num_samples', 'batch_size'):
    errors.check_positive(f'--{name}', getattr(flags, name))
  if not 0 <= flags.seconds < float('inf'):
    raise errors.ConfigError(
      f'--seconds is {flags.seconds:g}; it must be above 0.'
    )
  errors.check_not_negative('--seed', flags.seed)
  files = {
    name: getattr(flags, name)
    for name in conditions.FLAGS
    if getattr(flags, name) is not None
  }
  written = generate(
    checkpoint=flags.checkpoint,
    out=flags.out,
    task=flags.task,
    layout=flags.layout,
    files=files,
    num_samples=flags.num_samples,
    batch_size=flags.batch_size,
    seed=flags.seed,
    config=sampling.SamplingConfig(
      flags.temperature,
      flags.top_k,
      flags.top_p,
      flags.guidance,
      flags.first_temperature,
      tuple(flags.guide_on),
    ),
    preset=flags.preset,
    negative_text=flags.negative_text,
    seconds=flags.seconds,
    text_encoder=flags.text_encoder,
    upscale=upscale_flags.read(flags),
  )
  print(f'{len(written)} files in {flags.out}: {", ".join(written)}')
  return 0


if __name__ == '__main__':
  import sys

  sys.exit(cli.run(main, sys.argv[1:]))
