"""Divides clips between training and validation without a leak."""

from collections.abc import Mapping
import zlib

# A validation block inside a long file has about this many clips, so that it
# shows several scenes of one film.
_BLOCK_CLIPS = 5
# Shorter files lose no clips to a gap beside validation blocks.
_MIN_CLIPS_FOR_GAPS = 20


def assign_splits(
  counts: Mapping[str, int], validation_share: float
) -> dict[str, list[str | None]]:
  """Divides the clips of each file between `train` and `validation`.

  Clips next to each other look alike, so single ones are never drawn. Whole
  files are held out while that fits; the rest of the share is taken from the
  longest file as blocks of consecutive clips, and one clip on either side of
  a block belongs to no split if the file is long enough to spare them.

  Args:
    counts: clips by source.
    validation_share: share of all clips, from 0 to below 1.

  Returns:
    A split, or None, for each clip of each source, in order.
  """
  splits: dict[str, list[str | None]] = {
    source: ['train'] * count for source, count in counts.items()
  }
  total = sum(counts.values())
  if validation_share == 0 or total < 2:
    return splits
  wanted = min(max(1, round(validation_share * total)), total - 1)
  # The order of a hash is effectively random, and the same on every run.
  for source in sorted(counts, key=lambda name: zlib.crc32(name.encode())):
    if counts[source] <= wanted:
      splits[source] = ['validation'] * counts[source]
      wanted -= counts[source]
  kept = [source for source in counts if splits[source][0] == 'train']
  if wanted and kept:
    longest = max(kept, key=lambda source: counts[source])
    splits[longest] = _blocks(counts[longest], wanted)
  return splits


def _blocks(count: int, wanted: int) -> list[str | None]:
  """Marks `wanted` of `count` clips as evenly spread validation blocks."""
  marks: list[str | None] = ['train'] * count
  # As many as leave a clip between them, and one more for rounding.
  num_blocks = max(1, min(round(wanted / _BLOCK_CLIPS), (count - wanted) // 2))
  gap = 1 if count >= _MIN_CLIPS_FOR_GAPS else 0
  for block in range(num_blocks):
    # The sizes differ by at most one and sum to `wanted`.
    size = wanted * (block + 1) // num_blocks - wanted * block // num_blocks
    middle = count * (2 * block + 1) // (2 * num_blocks)
    first = min(max(0, middle - size // 2), count - size)
    for index in range(max(0, first - gap), min(count, first + size + gap)):
      inside = first <= index < first + size
      marks[index] = 'validation' if inside else None
  return marks
