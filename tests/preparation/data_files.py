"""Data sets as what their files hold."""

import pathlib


def read(directory: pathlib.Path) -> dict[str, bytes]:
  """Every file by its name; there are no folders in a data set."""
  return {path.name: path.read_bytes() for path in directory.iterdir()}
