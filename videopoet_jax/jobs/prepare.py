"""`videopoet prepare`: turns video files into a data set of clips.

  videopoet prepare --input CLIPS --output DIR [--captions FILE]

Each file is decoded at a constant frame rate, cropped to the centre, resized
and cut into consecutive clips with their sound. A file that cannot be used is
named with the reason and left out; `--strict` stops at it. Exit status: 0 if
all files were used, 1 if the data set was written without some, 2 if it was
not written.
"""

import argparse
from collections.abc import Sequence
import dataclasses
import itertools
import pathlib
import sys
import time

from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.jobs import cli
from videopoet_jax.jobs import progress

_SKIPPED_STATUS = 1


@dataclasses.dataclass(frozen=True)
class Summary:
  """What was written.

  Attributes:
    clips: number of clips by split.
    left_out: clips between training and validation that belong to neither.
    skipped: reason by source, for files that were left out.
    silent: sources without a sound track.
    seconds: the time it took.
  """

  clips: dict[str, int]
  left_out: int
  skipped: dict[str, str]
  silent: tuple[str, ...]
  seconds: float


def prepare(
  *,
  inputs: Sequence[pathlib.Path],
  output: pathlib.Path,
  captions: pathlib.Path | None = None,
  num_frames: int = 17,
  frame_rate: float = 8.0,
  height: int = 128,
  width: int = 128,
  sampling_rate: int = 16_000,
  validation_share: float = 0.05,
  max_clips: int | None = None,
  strict: bool = False,
  overwrite: bool = False,
) -> Summary:
  """Writes a data set of clips.

  Args:
    inputs: files, and folders to search.
    output: the data set's folder.
    captions: a file of captions, see `data/media/captions.py`.
    num_frames: frames of a clip; 1 + 4k suits the tokenizer.
    frame_rate: frames a second.
    height: in pixels.
    width: in pixels.
    sampling_rate: of the sound, in samples a second.
    validation_share: share of the clips held out, from 0 to 0.5.
    max_clips: stop after so many clips.
    strict: stop at the first file that cannot be used.
    overwrite: replace a data set at `output`.

  Returns:
    What was written.

  Raises:
    ConfigError: a size or the share is impossible.
    DataError: there is nothing to write, it cannot be written, the captions
      name missing files, or a file cannot be used and `strict` is set.
  """
  # These import TensorFlow, which takes seconds: after the flags are read.
  from videopoet_jax.data.media import captions as captions_lib
  from videopoet_jax.data.media import clips as clips_lib
  from videopoet_jax.data.media import decode
  from videopoet_jax.data.media import splits as splits_lib
  from videopoet_jax.data.media import writer as writer_lib

  started = time.monotonic()
  config = clips_lib.ClipConfig(
    num_frames=num_frames,
    frame_rate=frame_rate,
    height=height,
    width=width,
    sampling_rate=sampling_rate,
  )
  if not 0 <= validation_share <= 0.5:
    raise errors.ConfigError(
      f'--validation_share is {validation_share:g}; it is from 0 to 0.5'
    )
  if max_clips is not None and max_clips < 1:
    raise errors.ConfigError(f'--max_clips is {max_clips}; at least 1')
  files = clips_lib.find_files(inputs)
  texts = captions_lib.Captions()
  if captions is not None:
    texts = captions_lib.read_captions(captions, list(files))

  counts: dict[str, int] = {}
  skipped: dict[str, str] = {}
  silent: list[str] = []
  metadata = {
    'frame_rate': frame_rate,
    'sampling_rate': sampling_rate,
    'num_frames': num_frames,
  }
  writer = writer_lib.DatasetWriter(
    output, writer_lib.features(config), metadata, overwrite
  )
  with writer:
    infos = {}
    for source, path in files.items():
      try:
        infos[source] = decode.probe(path)
      except decode.UnusableFileError as error:
        _skip(source, error, skipped, strict)
    meter = progress.Meter(
      sum(info.duration for info in infos.values()), 's of video'
    )
    for source, info in infos.items():
      room = None if max_clips is None else max_clips - sum(counts.values())
      if room == 0:
        break

      at = meter.done
      clips = itertools.islice(
        clips_lib.cut(files[source], source, config), room
      )
      try:
        counts[source] = writer.add(
          source,
          (
            writer_lib.example(clip, texts.of(clip))
            for clip in meter.watch(clips, config.seconds, source)
          ),
        )
      except decode.UnusableFileError as error:
        _skip(source, error, skipped, strict)
      else:
        if not info.has_audio:
          silent.append(source)
      meter.advance(at + info.duration - meter.done)
    if not counts:
      raise errors.DataError(
        f'none of the {len(files)} files could be used; nothing was written'
      )
    splits = splits_lib.assign_splits(counts, validation_share)
    writer.finish(splits)
    meter.finish()
  marks = [mark for column in splits.values() for mark in column]
  return Summary(
    clips={m: marks.count(m) for m in sorted({m for m in marks if m})},
    left_out=marks.count(None),
    skipped=skipped,
    silent=tuple(silent),
    seconds=time.monotonic() - started,
  )


def _skip(
  source: str, error: Exception, skipped: dict[str, str], strict: bool
) -> None:
  if strict:
    raise error
  skipped[source] = str(error)
  print(f'\nskipped: {error}', file=sys.stderr)


def _local_path(name: str) -> pathlib.Path:
  if storage.is_remote(name):
    raise errors.ConfigError(
      f'--input {name}: videos are decoded from local files only; copy them to '
      'a disk (gcloud storage cp --recursive), or mount the bucket (gcsfuse)'
    )
  return pathlib.Path(name)


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='videopoet prepare',
    description='Turns video files into a data set of clips.',
  )
  add = parser.add_argument
  add(
    '--input',
    nargs='+',
    required=True,
    type=_local_path,
    help='video files, and folders to search for them',
  )
  add('--output', required=True, type=storage.path, help='data set folder')
  add(
    '--captions',
    type=storage.path,
    help='.csv (clip,caption), .json (an object) or .txt (clip, tab, caption); '
    'a clip is a file name, or file#00012 for one of its clips',
  )
  add('--frames', type=int, default=17, help='frames of a clip (17)')
  add('--frame_rate', type=float, default=8.0, help='frames a second (8)')
  add('--height', type=int, default=128, help='in pixels (128)')
  add('--width', type=int, default=128, help='in pixels (128)')
  add('--sampling_rate', type=int, default=16_000, help='of the sound (16000)')
  add('--validation_share', type=float, default=0.05, help='held out (0.05)')
  add('--max_clips', type=int, help='stop after so many clips')
  add('--strict', action='store_true', help='stop at the first bad file')
  add('--overwrite', action='store_true', help='replace a data set there')
  return parser


def main(argv: Sequence[str]) -> int:
  """Reads the flags, prepares, and prints a summary."""
  flags = _parser().parse_args(list(argv))
  summary = prepare(
    inputs=flags.input,
    output=flags.output,
    captions=flags.captions,
    num_frames=flags.frames,
    frame_rate=flags.frame_rate,
    height=flags.height,
    width=flags.width,
    sampling_rate=flags.sampling_rate,
    validation_share=flags.validation_share,
    max_clips=flags.max_clips,
    strict=flags.strict,
    overwrite=flags.overwrite,
  )
  shares = ', '.join(f'{count} {name}' for name, count in summary.clips.items())
  print(f'{flags.output}: {shares} clips in {summary.seconds:.0f} s')
  if summary.left_out:
    print(f'{summary.left_out} clips beside validation ones were left out')
  if summary.silent:
    print(f'{len(summary.silent)} files have no sound track')
  if not summary.skipped:
    return 0
  print(f'{len(summary.skipped)} files were skipped:')
  for reason in summary.skipped.values():
    print(f'  {reason}')
  return _SKIPPED_STATUS


if __name__ == '__main__':
  sys.exit(cli.run(main, sys.argv[1:]))
