"""Runs the launchers as a user does, on a PATH without the cloud's programs."""

from collections.abc import Sequence
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = tuple(sorted((ROOT / 'launch').glob('*.sh')))
GOLDEN = ROOT / 'tests' / 'golden' / 'launch'

IMAGE = 'us-docker.pkg.dev/my-project/videopoet/videopoet:1'
TRAIN = (
  'videopoet', 'train', '--gin_file', 'gin/runs/paper_prefix_lm.gin',
  '--gin_file', 'gin/models/8b.gin', "--gin.TOKENS='gs://my-bucket/tokens'",
  '--run_dir', 'gs://my-bucket/lm',
)  # fmt: skip
SLICES = ('--gin_file', 'gin/partitioning/several_slices.gin', '--gin.SLICES=2')


def path_without(folder: pathlib.Path, *programs: str) -> str:
  """A PATH with the standard programs but for some.

  Args:
    folder: an empty one, which becomes the PATH.
    *programs: names that are not to be found.
  """
  for place in ('/bin', '/usr/bin'):
    for program in pathlib.Path(place).iterdir():
      link = folder / program.name
      if program.name not in programs and not link.is_symlink():
        link.symlink_to(program)
  return str(folder)


def run(
  script: str, *arguments: str, path: str | None = None
) -> subprocess.CompletedProcess[str]:
  """Runs `launch/<script>` from the root."""
  return subprocess.run(
    [f'launch/{script}', *arguments],
    cwd=ROOT,
    env={**os.environ, 'PATH': path or os.environ['PATH']},
    capture_output=True,
    text=True,
    timeout=60,
  )


def dry_run(script: str, *arguments: str) -> str:
  """What a launcher would send; it must succeed."""
  end = arguments.index('--') if '--' in arguments else len(arguments)
  done = run(script, *arguments[:end], '--dry_run', *arguments[end:])
  assert done.returncode == 0, done.stderr
  return done.stdout


def check_golden(name: str, printed: str) -> None:
  """Compares with a file, which UPDATE_GOLDEN=1 writes anew."""
  path = GOLDEN / name
  if os.environ.get('UPDATE_GOLDEN'):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(printed)
  assert printed == path.read_text(), f'{path} differs; UPDATE_GOLDEN=1 writes'


def refused(script: str, arguments: Sequence[str], words: str) -> None:
  """The launcher ends with status 2 and one line that has these words."""
  done = run(script, *arguments)
  assert done.returncode == 2, done.stdout + done.stderr
  assert words in done.stderr
  assert len(done.stderr.strip().splitlines()) == 1
  assert not done.stdout
