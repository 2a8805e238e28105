"""`videopoet layouts`: the sequence layout of every task, as text or JSON.

  videopoet layouts
  videopoet layouts --frames 41 --height 224 --json

Starts without JAX and without TensorFlow unless a task file is given.
"""

import argparse
from collections.abc import Sequence
import json
import sys

from videopoet_jax.core import entry
from videopoet_jax.core import errors
from videopoet_jax.core import layout_table
from videopoet_jax.jobs import unused_flags


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='videopoet layouts',
    description='Prints the sequence layout of every task.',
  )
  add = parser.add_argument
  add('--frames', type=int, help='of a clip (17, or 41 in long video)')
  add('--height', type=int, help='of a clip, in pixels')
  add('--width', type=int, help='of a clip, in pixels')
  add(
    '--space',
    choices=tuple(layout_table.spaces()),
    default='paper',
    help='sizes',
  )
  add(
    '--task_file',
    action='append',
    default=[],
    help='gin file of a task of your own; may be repeated',
  )
  add('--layout', action='append', help='only this one; may be repeated')
  add('--json', action='store_true', help='JSON instead of text')
  return parser


def main(argv: Sequence[str]) -> int:
  """Prints; see `--help`."""
  parser = _parser()
  flags = parser.parse_args(argv)
  sizes = ('frames', 'height', 'width')
  for name in sizes:
    if getattr(flags, name) is not None:
      errors.check_positive(f'--{name}', getattr(flags, name))
  if flags.layout:
    reason = 'with --layout, whose name holds the size'
    unused_flags.refuse(parser, flags, sizes, reason)
  space = layout_table.spaces()[flags.space]
  side = 32 if flags.space == 'tiny' else 128
  size = (flags.frames or 17, flags.height or side, flags.width or side)
  names: list[str] = []
  if flags.task_file:
    # Task files name their preprocessors, which live beside TensorFlow.
    from videopoet_jax.data import registry

    tasks = registry.load_tasks(flags.task_file)
    space = registry.space_for(tasks, space)
    names = list(registry.layout_names(tasks, space, *size))
  names = flags.layout or names or space.standard_names(*size)
  layouts = space.layouts(names)
  if flags.json:
    print(json.dumps(layout_table.table(layouts), indent=2))
  else:
    print(layout_table.text(layouts))
  return 0


if __name__ == '__main__':
  sys.exit(entry.run(main, sys.argv[1:]))
