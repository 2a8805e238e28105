"""Turns media files into a data set of clips."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import time
from typing import TYPE_CHECKING, Any

from videopoet_jax import __version__
from videopoet_jax.core import errors
from videopoet_jax.core import progress
from videopoet_jax.core import storage
from videopoet_jax.media import containers
from videopoet_jax.media import cuts
from videopoet_jax.media import video
from videopoet_jax.preparation import hosts as hosts_lib

if TYPE_CHECKING:
  from videopoet_jax.data import shard_writer
  from videopoet_jax.data.ingest import captions as captions_lib
  from videopoet_jax.data.ingest import clips as clips_lib
  from videopoet_jax.data.ingest import writer as writer_lib

_SKIPPED_STATUS = 1


@dataclasses.dataclass(frozen=True)
class Summary:
  """What was written.

  Attributes:
    directory: the data set's folder.
    clips: number of clips by split.
    left_out: clips between training and validation that belong to neither.
    skipped: reason by source, for files that were left out.
    silent: sources without a sound track.
    seconds: the time it took.
  """

  directory: str
  clips: dict[str, int]
  left_out: int
  skipped: dict[str, str]
  silent: tuple[str, ...]
  seconds: float


def prepare(
  inputs: storage.Path | Sequence[storage.Path],
  output: storage.Path,
  *,
  captions: storage.Path | None = None,
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
  meter: progress.Meters = progress.Meter,
  skipping: Callable[[str], None] | None = None,
  hosts: hosts_lib.Hosts | None = None,
) -> Summary:
  """Writes a data set of clips.

  Args:
    inputs: a file or a folder to search, or several.
    output: the data set's folder.
    captions: a file of captions, see `data/ingest/captions.py`.
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
    meter: makes what shows the progress; nothing by default.
    skipping: told why each file that cannot be used is left out, at once.
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
  from videopoet_jax.data.ingest import captions as captions_lib
  from videopoet_jax.data.ingest import clips as clips_lib
  from videopoet_jax.data.ingest import splits as splits_lib
  from videopoet_jax.data.ingest import writer as writer_lib

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
  given = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
  files = clips_lib.find_files(
    [_local_path(one) for one in given],
    # Sets of single frames are those of text-to-image.
    with_pictures=num_frames == 1,
  )
  texts = captions_lib.Captions()
  if captions is not None:
    texts = captions_lib.read_captions(
      storage.path(captions), list(files), numbers
    )

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
  hosts = hosts or hosts_lib.Hosts()
  with hosts_lib.making(hosts, output, settings, overwrite) as pieces:
    skip = _Skip(strict, skipping)
    probed = _probe(hosts, pieces, files, skip, meter)
    writer = writer_lib.DatasetWriter(pieces, features, metadata)
    usable = {
      name: found for name, found in probed.items() if 'seconds' in found
    }
    if captions is not None:
      most = {
        name: config.most_clips(found['seconds'], found['frame_rate'])
        for name, found in usable.items()
      }
      captions_lib.check_indices(storage.path(captions), texts, most)
    spills = writer_lib.plan_spills(
      {name: found['seconds'] for name, found in usable.items()}
    )
    work = _Work(hosts, pieces, writer, files, config, texts, max_clips, skip)
    work.spill(spills, meter)
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
    directory=os.fspath(output),
    clips={m: marks.count(m) for m in sorted({m for m in marks if m})},
    left_out=marks.count(None),
    skipped=skipped,
    silent=tuple(
      s for s in counts if config.has_sound and not probed[s]['has_audio']
    ),
    seconds=time.monotonic() - started,
  )


def _local_path(name: storage.Path) -> pathlib.Path:
  if storage.is_remote(name):
    raise errors.ConfigError(
      f'--input {name}: videos are decoded from local files only; copy them to '
      'a disk (gcloud storage cp --recursive), or mount the bucket (gcsfuse)'
    )
  return pathlib.Path(name)


def _digest(value: Any) -> str:
  text = json.dumps(value, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def _probe(
  hosts: hosts_lib.Hosts,
  pieces: 'shard_writer.ShardWriter',
  files: Mapping[str, pathlib.Path],
  skip: Callable[[str, Exception], str],
  meter: progress.Meters,
) -> dict[str, dict[str, Any]]:
  """What each file holds, or why it cannot be used; read once by one host."""
  found: dict[str, dict[str, Any]] = {}
  known = pieces.kept('probed')
  if known is None:
    mine = hosts.balanced(list(files), lambda name: files[name].stat().st_size)
    shown = meter(len(mine), hosts.unit('files looked at'))
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
  log: Callable[[str], None] | None

  def __call__(self, source: str, error: Exception) -> str:
    if self.strict:
      raise error
    if self.log is not None:
      self.log(f'\nskipped: {error}')
    return str(error)


@dataclasses.dataclass(frozen=True)
class _Work:
  """Decodes files into spills."""

  hosts: hosts_lib.Hosts
  pieces: 'shard_writer.ShardWriter'
  writer: 'writer_lib.DatasetWriter'
  files: Mapping[str, pathlib.Path]
  config: 'clips_lib.ClipConfig'
  texts: 'captions_lib.Captions'
  max_clips: int | None
  skip: _Skip

  def spill(
    self, spills: Sequence['writer_lib.Spill'], meters: progress.Meters
  ) -> None:
    """Decodes this host's share of what is not finished."""
    left = [s for s in spills if s.name not in self.pieces.finished]
    mine = {
      s.name for s in self.hosts.balanced(left, lambda spill: spill.seconds)
    }
    total = sum(spill.seconds for spill in left if spill.name in mine)
    meter = meters(total, self.hosts.unit('s of video'))
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
    from videopoet_jax.data.ingest import clips as clips_lib
    from videopoet_jax.data.ingest import writer as writer_lib

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
