"""`videopoet prepare`: turns video files into a data set of clips.

  videopoet prepare --input CLIPS --output DIR [--captions FILE]

Each file is decoded at a constant frame rate, cropped to the centre, resized
and cut into consecutive clips with their sound; `--cut central` (or `first`)
takes one clip of each, `--frame_rate native` the frames as they are. A file
that cannot be used is named with the reason and left out; `--strict` stops at
it. Exit status: 0 if all files were used, 1 if the data set was written without
some, 2 if it was not written.

Several hosts that are started together, like those of `train`, share the files
by their length; all have to see the same --input and --output. The data set is
the one that a single host writes, byte for byte. (They end with status 0 where
one would with 1, since launchers start again what ends otherwise.) A job that
was killed resumes when it is started again.
"""

import argparse
from collections.abc import Sequence
import sys

from videopoet_jax.core import entry
from videopoet_jax.core import progress
from videopoet_jax.core import storage
from videopoet_jax.media import cuts
from videopoet_jax.preparation import clips as clips_lib
from videopoet_jax.preparation import hosts as hosts_lib

_SKIPPED_STATUS = 1


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
    help='video files, and folders to search for them; with --frames 1 '
    'folders are searched for pictures too',
  )
  add('--output', required=True, type=storage.path, help='data set folder')
  add(
    '--captions',
    type=storage.path,
    help='.csv (clip,caption), .json (an object) or .txt (clip, tab, caption); '
    'a clip is a file name, or file#00012 for one of its clips',
  )
  add(
    '--numbers',
    nargs='+',
    default=(),
    metavar='COLUMN',
    help='columns of the captions file that hold a number of each clip, such '
    'as a quality, by which Task.minimum chooses examples',
  )
  add('--frames', type=int, default=17, help='frames of a clip (17)')
  add(
    '--frame_rate',
    default='8',
    help="frames a second (8); 'native' keeps the frames of each file, "
    'without sound',
  )
  add(
    '--cut',
    default=cuts.CONSECUTIVE,
    help='consecutive: all clips of a video; first or central: one (default: '
    'consecutive)',
  )
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
  return hosts_lib.run(lambda hosts: _run(flags, hosts))


def _run(flags: argparse.Namespace, hosts: hosts_lib.Hosts) -> int:
  summary = clips_lib.prepare(
    flags.input,
    flags.output,
    captions=flags.captions,
    numbers=flags.numbers,
    num_frames=flags.frames,
    frame_rate=cuts.parse_rate(flags.frame_rate, '--frame_rate'),
    height=flags.height,
    width=flags.width,
    sampling_rate=flags.sampling_rate,
    cut=flags.cut,
    validation_share=flags.validation_share,
    max_clips=flags.max_clips,
    strict=flags.strict,
    overwrite=flags.overwrite,
    meter=progress.shown,
    skipping=lambda line: print(line, file=sys.stderr),
    hosts=hosts,
  )
  shares = ', '.join(f'{count} {name}' for name, count in summary.clips.items())
  hosts.log(f'{flags.output}: {shares} clips in {summary.seconds:.0f} s')
  if summary.left_out:
    hosts.log(f'{summary.left_out} clips beside validation ones were left out')
  if summary.silent:
    hosts.log(f'{len(summary.silent)} files have no sound track')
  if not summary.skipped:
    return 0
  hosts.log(f'{len(summary.skipped)} files were skipped:')
  for reason in summary.skipped.values():
    hosts.log(f'  {reason}')
  return _SKIPPED_STATUS if hosts.count == 1 else 0


if __name__ == '__main__':
  sys.exit(entry.run(main, sys.argv[1:]))
