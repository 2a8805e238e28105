"""`videopoet generate`: samples of a task from a checkpoint folder.

For example, four videos of one prompt:

  videopoet generate --checkpoint demo --task text_to_video --num_samples 4 \
    --text 'a red circle moves right quickly' --out samples

and the same four times as high and wide, by two super-resolution models:

  ... --upscale 4x --super_resolution stage_1 stage_2
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
import os
import sys
from typing import Any

from videopoet_jax.core import entry
from videopoet_jax.core import errors
from videopoet_jax.inference import conditions
from videopoet_jax.inference import pipeline
from videopoet_jax.inference import presets
from videopoet_jax.inference.super_resolution import request as request_lib
from videopoet_jax.jobs import upscale_flags
from videopoet_jax.media import files as media

Path = str | os.PathLike[str]

# Flags that change how ids are drawn: fields of `SamplingConfig`.
_DRAWN = (
  'temperature',
  'first_temperature',
  'top_k',
  'top_p',
  'guidance',
  'guide_on',
)


def generate(
  *,
  checkpoint: Path,
  out: Path,
  task: str = '',
  text_encoder: Path = '',
  upscale: request_lib.Request | None = None,
  log: Callable[[str], None] = print,
  **options: Any,
) -> list[str]:
  """Generates and writes samples.

  Args:
    checkpoint: folder of a language model.
    out: folder to write.
    task: name of a task, unless a layout is named.
    text_encoder: folder of the frozen text encoder, for models that take text
      embeddings and do not have it beside them.
    upscale: models that upscale the samples, if they are to be.
    log: receives a line for each request that cannot be met.
    **options: options of `pipeline.Model.prepare`.

  Returns:
    Names of the files written.

  Raises:
    UserError: the checkpoint, a condition or the folder cannot be used, or a
      setting cannot act.
  """
  # Opened first: what does not fit is said before anything is sampled.
  upscaling = None
  if upscale:
    upscaling = pipeline.open_upscaling(upscale, text_encoder)
  model = pipeline.load(checkpoint, text_encoder=text_encoder)
  _check_text_encoder(text_encoder, model, upscaling)
  prepared = model.prepare(task, upscaling=upscaling, **options)
  for note in prepared.notes:
    log(note)
  media.check_folder(out)
  return prepared.run().save(out)


def _check_text_encoder(
  text_encoder: Path,
  model: pipeline.Model,
  upscaling: pipeline.Upscaling | None,
) -> None:
  """Raises ConfigError where a text encoder is given that no model takes."""
  configs: list[Any] = [model.generator.model.config]
  if upscaling:
    configs += [s.described.config for s in upscaling.cascade.stages]
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
  add(
    '--guidance',
    type=float,
    help='1 is none; this and how ids are drawn follow what the checkpoint '
    'recommends for the task, unless given',
  )
  add(
    '--guide_on',
    nargs='+',
    metavar='CONDITION',
    help='conditions that guidance acts on, such as audio_tokens (text)',
  )
  add(
    '--preset',
    default='',
    help=f'fixed negative text and suffix: {", ".join(presets.NAMES)}',
  )
  add('--temperature', type=float, help='0 takes the likeliest')
  add(
    '--first_temperature',
    type=float,
    help="of a video's first latent frame, if it is to be another one",
  )
  add('--top_k', type=int, help='0 is all')
  add('--top_p', type=float, help='1 is all')
  add('--negative_text', default='', help='with guidance')
  add(
    '--seconds',
    type=float,
    default=0.0,
    help='length of a long video, in seconds',
  )
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
  given: Mapping[str, Any] = {
    name: getattr(flags, name) for name in (*conditions.FLAGS, *_DRAWN)
  }
  written = generate(
    checkpoint=flags.checkpoint,
    out=flags.out,
    task=flags.task,
    layout=flags.layout,
    num_samples=flags.num_samples,
    batch_size=flags.batch_size,
    seed=flags.seed,
    preset=flags.preset,
    negative_text=flags.negative_text,
    seconds=flags.seconds,
    text_encoder=flags.text_encoder,
    upscale=upscale_flags.read(flags),
    **given,
  )
  print(f'{len(written)} files in {flags.out}: {", ".join(written)}')
  return 0


if __name__ == '__main__':
  sys.exit(entry.run(main, sys.argv[1:]))
