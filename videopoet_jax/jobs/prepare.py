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
was killed goes on where it was when it is started again.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
import dataclasses
import hashlib
import itertools
import json
import pathlib
import sys
import time
from typing import TYPE_CHECKING, Any

from videopoet_jax import __version__
from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.jobs import cli
from videopoet_jax.jobs import data_hosts
from videopoet_jax.jobs import progress
from videopoet_jax.media import containers
from videopoet_jax.media import cuts
from videopoet_jax.media import video

if TYPE_CHECKING:
  from videopoet_jax.data import pieces as pieces_lib
  from videopoet_jax.data.media import captions as captions_lib
  from videopoet_jax.data.media import clips as clips_lib
  from videopoet_jax.data.media import writer as writer_lib

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
  numbers: Sequence[str] = (),
  num_frames: int = 17,
  frame_rate: float | None = 8.0,
  height: int = 128,
  width: int = 128,
  sampling_rate: int = 16_000,
  cut: str = cuts.CONSECUTIVE,
  validation_share: float = 0.05,
  max_clips: int | None = None,
  strict: bool = False,
  overwrite: bool = False,
  hosts: data_hosts.Hosts | None = None,
) -> Summary:
  """Writes a data set of clips.

  Args:
    inputs: files, and folders to search.
    output: the data set's folder.
    captions: a file of captions, see `data/media/captions.py`.
    numbers: further columns of it that go with the clips.
    num_frames: frames of a clip; 1 + 4k suits the tokenizer.
    frame_rate: frames a second; None takes the frames of each file, without
      sound.
    height: in pixels.
    width: in pixels.
    sampling_rate: of the sound, in samples a second.
    cut: 'consecutive' takes all clips of a video, 'first' and 'central' one.
    validation_share: share of the clips held out, from 0 to 0.5.
    max_clips: stop after so many clips.
    strict: stop at the first file that cannot be used.
    overwrite: replace a data set at `output`.
    hosts: this one among those that make the data set; alone unless given.

  Returns:
    What was written.

  Raises:
    ConfigError: a size or the share is impossible, or numbers are asked of no
      captions file or by the name of another feature.
    DataError: there is nothing to write, it cannot be written, the captions
      name missing files or lack a number, or a file cannot be used and
      `strict` is set.
  """
  # These import TensorFlow, which takes seconds: after the flags are read.
  from videopoet_jax.data.media import captions as captions_lib
  from videopoet_jax.data.media import clips as clips_lib
  from videopoet_jax.data.media import splits as splits_lib
  from videopoet_jax.data.media import writer as writer_lib

  started = time.monotonic()
  config = clips_lib.ClipConfig(
    num_frames=num_frames,
    frame_rate=frame_rate,
    height=height,
    width=width,
    sampling_rate=sampling_rate,
    cut=cut,
  )
  if not 0 <= validation_share <= 0.5:
    raise errors.ConfigError(
      f'--validation_share is {validation_share:g}; it is from 0 to 0.5'
    )
  if max_clips is not None and max_clips < 1:
    raise errors.ConfigError(f'--max_clips is {max_clips}; at least 1')
  features = writer_lib.features(config, numbers)
  if numbers and captions is None:
    raise errors.ConfigError('--numbers names columns of --captions; give it')
  # Sets of single frames are those of text-to-image.
  files = clips_lib.find_files(inputs, with_pictures=num_frames == 1)
  texts = captions_lib.Captions()
  if captions is not None:
    texts = captions_lib.read_captions(captions, list(files), numbers)

  metadata = {
    **config.description.metadata(),
    'sampling_rate': sampling_rate,
  }
  settings = {
    'job': 'prepare',
    'version': __version__,
    'clips': dataclasses.asdict(config),
    'files': _digest({name: p.stat().st_size for name, p in files.items()}),
    'captions': _digest(dataclasses.asdict(texts)),
    'validation_share': validation_share,
    'max_clips': max_clips,
  }
  hosts = hosts or data_hosts.Hosts()
  with data_hosts.making(hosts, output, settings, overwrite) as pieces:
    skip = _Skip(strict)
    probed = _probe(hosts, pieces, files, skip)
    writer = writer_lib.DatasetWriter(pieces, features, metadata)
    usable = {
      name: found for name, found in probed.items() if 'seconds' in found
    }
    if captions is not None:
      most = {
        name: config.most_clips(found['seconds'], found['frame_rate'])
        for name, found in usable.items()
      }
      captions_lib.check_indices(captions, texts, most)
    spills = writer_lib.plan_spills(
      {name: found['seconds'] for name, found in usable.items()}
    )
    work = _Work(hosts, pieces, writer, files, config, texts, max_clips, skip)
    work.spill(spills)
    pieces.gather('spills')
    counts, kept, skipped = _count(spills, pieces.finished, max_clips)
    skipped = {
      name: found['skipped']
      for name, found in probed.items()
      if 'skipped' in found
    } | skipped
    if not counts:
      raise errors.DataError(
        f'none of the {len(files)} files could be used; nothing was written'
      )
    splits = splits_lib.assign_splits(counts, validation_share)
    shards = writer.plan_shards(kept, splits)
    for shard in hosts.share(shards):
      writer.write_shard(shard)
    pieces.gather('shards', last=True)
    if hosts.is_first:
      writer.finish(shards)
  marks = [mark for column in splits.values() for mark in column]
  return Summary(
    clips={m: marks.count(m) for m in sorted({m for m in marks if m})},
    left_out=marks.count(None),
    skipped=skipped,
    silent=tuple(
      s for s in counts if config.has_sound and not probed[s]['has_audio']
    ),
    seconds=time.monotonic() - started,
  )


def _digest(value: Any) -> str:
  text = json.dumps(value, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def _probe(
  hosts: data_hosts.Hosts,
  pieces: 'pieces_lib.Pieces',
  files: Mapping[str, pathlib.Path],
  skip: Callable[[str, Exception], str],
) -> dict[str, dict[str, Any]]:
  """What each file holds, or why it cannot be used; read once by one host."""
  found: dict[str, dict[str, Any]] = {}
  known = pieces.kept('probed')
  if known is None:
    mine = hosts.balanced(list(files), lambda name: files[name].stat().st_size)
    shown = progress.Meter(len(mine), hosts.unit('files looked at'))
    for source in shown.watch(mine, 1):
      try:
        info = video.probe(files[source])
      except containers.UnusableFileError as error:
        found[source] = {'skipped': skip(source, error)}
      else:
        found[source] = {
          'seconds': info.duration,
          'has_audio': info.has_audio,
          'frame_rate': info.frame_rate,
        }
    known = {}
    for told in pieces.exchange('probed', found):
      known |= told
    if hosts.is_first:
      pieces.keep('probed', known)
  return {source: known[source] for source in files}


@dataclasses.dataclass(frozen=True)
class _Skip:
  """Names a file that cannot be used, and stops at it where that is asked."""

  strict: bool

  def __call__(self, source: str, error: Exception) -> str:
    if self.strict:
      raise error
    print(f'\nskipped: {error}', file=sys.stderr)
    return str(error)


@dataclasses.dataclass(frozen=True)
class _Work:
  """Decodes files into spills."""

  hosts: data_hosts.Hosts
  pieces: 'pieces_lib.Pieces'
  writer: 'writer_lib.DatasetWriter'
  files: Mapping[str, pathlib.Path]
  config: 'clips_lib.ClipConfig'
  texts: 'captions_lib.Captions'
  max_clips: int | None
  skip: _Skip

  def spill(self, spills: Sequence['writer_lib.Spill']) -> None:
    """Decodes this host's share of what is not finished."""
    left = [s for s in spills if s.name not in self.pieces.finished]
    mine = {
      s.name for s in self.hosts.balanced(left, lambda spill: spill.seconds)
    }
    total = sum(spill.seconds for spill in left if spill.name in mine)
    meter = progress.Meter(total, self.hosts.unit('s of video'))
    before = 0
    for spill in spills:
      # Clips beyond the limit count for nothing, wherever the others are.
      if self.max_clips is not None and before >= self.max_clips:
        break
      if spill.name in mine:
        room = None if self.max_clips is None else self.max_clips - before
        at = meter.done
        self._spill(spill, room, meter)
        meter.advance(at + spill.seconds - meter.done)
      info = self.pieces.finished.get(spill.name)
      before += sum(n for _, n in info['kept'].values()) if info else 0
    meter.finish()

  def _spill(
    self, spill: 'writer_lib.Spill', room: int | None, meter: progress.Meter
  ) -> None:
    from videopoet_jax.data.media import clips as clips_lib
    from videopoet_jax.data.media import writer as writer_lib

    skipped: dict[str, str] = {}
    with self.writer.spill(spill, {'skipped': skipped}) as spilled:
      for source in spill.sources:
        left = None if room is None else room - spilled.count
        if left == 0:
          break
        clips = itertools.islice(
          clips_lib.cut(self.files[source], source, self.config), left
        )
        one = self.config.frame_rate and self.config.seconds
        watched = meter.watch(clips, one or 0.0, source)
        try:
          spilled.add(
            source,
            (
              writer_lib.example(
                clip, self.texts.of(clip), self.texts.numbers_of(clip)
              )
              for clip in watched
            ),
          )
        except containers.UnusableFileError as error:
          skipped[source] = self.skip(source, error)


def _count(
  spills: Sequence['writer_lib.Spill'],
  finished: Mapping[str, Any],
  max_clips: int | None,
) -> tuple[dict[str, int], list['writer_lib.Spill'], dict[str, str]]:
  """The first clips of all, in order of the files.

  Returns:
    Clips by source, the spills that hold them, and reasons by source for files
    that were left out.
  """
  counts: dict[str, int] = {}
  kept = []
  skipped: dict[str, str] = {}
  total = 0
  for spill in spills:
    if max_clips is not None and total >= max_clips:
      break
    info = finished[spill.name]
    kept.append(spill)
    for source in spill.sources:
      if max_clips is not None and total >= max_clips:
        break
      if source in info['skipped']:
        skipped[source] = info['skipped'][source]
      elif source in info['kept']:
        count = info['kept'][source][1]
        if max_clips is not None:
          count = min(count, max_clips - total)
        counts[source] = count
        total += count
  return counts, kept, skipped


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
  return data_hosts.run(lambda hosts: _run(flags, hosts))


def _run(flags: argparse.Namespace, hosts: data_hosts.Hosts) -> int:
  summary = prepare(
    inputs=flags.input,
    output=flags.output,
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
    hosts=hosts,
  )
  shares = ', '.join(f'{count} {name}' for name, count in summary.clips.items())
  hosts.say(f'{flags.output}: {shares} clips in {summary.seconds:.0f} s')
  if summary.left_out:
    hosts.say(f'{summary.left_out} clips beside validation ones were left out')
  if summary.silent:
    hosts.say(f'{len(summary.silent)} files have no sound track')
  if not summary.skipped:
    return 0
  hosts.say(f'{len(summary.skipped)} files were skipped:')
  for reason in summary.skipped.values():
    hosts.say(f'  {reason}')
  return _SKIPPED_STATUS if hosts.count == 1 else 0


if __name__ == '__main__':
  sys.exit(cli.run(main, sys.argv[1:]))
