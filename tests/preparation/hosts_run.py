"""A data job of nothing but pieces, in a process of its own.

python -m tests.preparation.hosts_run OUTPUT OPTIONS
"""

import json
import sys
import time

from videopoet_jax.core import errors
from videopoet_jax.data import shard_writer
from videopoet_jax.preparation import hosts as hosts_lib

PIECES = tuple(f'piece-{index:02d}' for index in range(8))


def main() -> int:
  """Makes pieces slowly, and fails where it is told to."""
  output, options = sys.argv[1], json.loads(sys.argv[2])

  def body(hosts: hosts_lib.Hosts) -> int:
    if options.get('missing') == hosts.index:
      raise errors.DataError('a disk is missing')
    place = output
    if options.get('elsewhere') == hosts.index:
      place += '-elsewhere'
    settings = {'flag': options.get('flags', {}).get(str(hosts.index))}
    overwrite = options.get('overwrite', False)
    with hosts_lib.making(hosts, place, settings, overwrite) as pieces:
      left = [name for name in PIECES if name not in pieces.finished]
      for name in hosts.share(left):
        print(f'host {hosts.index} makes {name}', flush=True)
        time.sleep(options.get('seconds', 0.0))
        if options.get('fails') == name:
          raise errors.DataError(f'{name} cannot be made')
        with pieces.piece(name, 'group_size:1', {}) as records:
          records.write(name.encode())
      pieces.gather('pieces', last=True)
      if hosts.is_first:
        assert set(pieces.finished) == set(PIECES)
        with shard_writer.description(list(PIECES)) as folder:
          (folder / 'dataset_info.json').write_text('{}')
          pieces.publish(folder, list(PIECES))
    hosts.log('all pieces are made')
    return 0

  return hosts_lib.run(body)


if __name__ == '__main__':
  sys.exit(main())
