"""One interface for visual and audio tokenizers.

A tokenizer is a bundle of a module's settings and its parameters that encodes
signals to local ids and decodes ids to signals. It lives in a folder that
describes itself, so `load(directory)` needs no other argument:

    directory/checkpoint.json   kind, config, fingerprint
    directory/params/           the parameters

A kind of tokenizer joins by `register(kind, module)`: the module is imported
when a folder of that kind is opened, and registers a builder from its config.
"""

from collections.abc import Callable, Mapping
import hashlib
import importlib
import json
import os
import pathlib
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import folders
from videopoet_jax.checkpoints import tree
from videopoet_jax.core import descriptions
from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.core import storage

PARAMS_FOLDER = 'params'


class Tokenizer(Protocol):
  """Methods and attributes of every tokenizer.

  Attributes:
    spec: shape of the grid of ids.
    fingerprint: hash of config and weights; token data sets store it.
  """

  @property
  def spec(self) -> specs.VisualSpec | specs.AudioSpec: ...

  @property
  def fingerprint(self) -> str: ...

  def encode(self, signal: Any) -> np.ndarray:
    """Encodes video_BTHWC to ids_BTHW or audio_BT to ids_BKF; int32, local."""

  def decode(self, ids: Any) -> np.ndarray:
    """Decodes ids to the signal, float32 in [-1, 1]."""


def fingerprint_of(config: Any, params: Any) -> str:
  """Hashes a config and its weights to 16 hexadecimal digits.

  Args:
    config: a dataclass of JSON values; `descriptions.later` fields count only
      where they are not at their default.
    params: nested dicts of arrays, unboxed.

  Returns:
    The same digits if config and weights are the same, bit for bit.
  """
  digest = hashlib.sha256(
    json.dumps(descriptions.values(config), sort_keys=True).encode()
  )
  leaves, _ = jax.tree_util.tree_flatten_with_path(params)
  for path, leaf in leaves:
    array = np.ascontiguousarray(jax.device_get(leaf))
    digest.update(jax.tree_util.keystr(path).encode())
    digest.update(f'{array.dtype}{array.shape}'.encode())
    digest.update(array.tobytes())
  return digest.hexdigest()[:16]


class TokenizerBundle:
  """Settings and parameters of one tokenizer, ready to run in batches.

  A subclass names its `kind` and `spec`, and gives the two pure functions
  that are compiled here, once for each shape of a whole batch.

  Attributes:
    kind: name in `checkpoint.json`.
    config: the module's frozen dataclass.
    params: its parameters, unboxed.
    batch_size: most examples that one compiled call takes.
  """

  kind = ''

  def __init__(self, config: Any, params: Any, batch_size: int = 32) -> None:
    self.config = config
    self.params = params
    self.batch_size = batch_size
    self._fingerprint = ''
    # Puts a batch on the devices; set to shard it over several.
    self.place: Callable[[Any], Any] = lambda batch: batch
    self._encode = jax.jit(self.encode_batch)
    self._decode = jax.jit(self.decode_batch)

  def __repr__(self) -> str:
    return f'{type(self).__name__}({self.spec}, {self.fingerprint})'

  @property
  def spec(self) -> Any:
    """Shape of the grid of ids."""
    raise NotImplementedError

  def encode_batch(self, params: Any, signal: jax.Array) -> jax.Array:
    """Maps float32 signals to int32 ids; pure, may be called inside a jit."""
    raise NotImplementedError

  def decode_batch(self, params: Any, ids: jax.Array) -> jax.Array:
    """Maps int32 ids to float32 signals; pure, may be called inside a jit."""
    raise NotImplementedError

  def prepare(self, signal: np.ndarray) -> np.ndarray:
    """Checks a signal and converts it to the model's range and lengths."""
    return np.asarray(signal, np.float32)

  @property
  def fingerprint(self) -> str:
    """Hash of config and weights, 16 hexadecimal digits."""
    if not self._fingerprint:
      self._fingerprint = fingerprint_of(self.config, self.params)
    return self._fingerprint

  def encode(self, signal: Any) -> np.ndarray:
    """Encodes any number of signals, a compiled batch at a time."""
    signal = np.asarray(signal)
    return self._in_batches(
      lambda part: self._encode(self.params, self.place(self.prepare(part))),
      signal,
    )

  def decode(self, ids: Any) -> np.ndarray:
    """Decodes any number of grids of ids, a compiled batch at a time."""
    ids = np.asarray(ids, np.int32)
    return self._in_batches(
      lambda part: self._decode(self.params, self.place(part)), ids
    )

  def _in_batches(
    self,
    function: Callable[[np.ndarray], jax.Array | np.ndarray],
    examples: np.ndarray,
  ) -> np.ndarray:
    total = examples.shape[0]
    if not total:
      raise errors.LayoutError('a tokenizer was given an empty batch.')
    parts = []
    for start in range(0, total, self.batch_size):
      part = examples[start : start + self.batch_size]
      kept = part.shape[0]
      if start and kept < self.batch_size:
        # Filled up, so that a remainder does not compile a second program.
        filler = np.repeat(part[-1:], self.batch_size - kept, axis=0)
        part = np.concatenate((part, filler))
      parts.append(np.asarray(function(part))[:kept])
    return np.concatenate(parts) if len(parts) > 1 else parts[0]

  def save(self, directory: str | os.PathLike[str]) -> None:
    """Writes a folder that `load` reads.

    Raises:
      CheckpointError: if the folder cannot be written.
    """
    directory = storage.path(directory)
    describe.begin(directory)
    tree.save_tree(directory / PARAMS_FOLDER, self.params)
    describe.write_description(
      directory,
      {
        'kind': self.kind,
        'config': descriptions.values(self.config),
        'fingerprint': self.fingerprint,
      },
    )


# A kind's builder: makes a bundle from the config's description and parameters.
Builder = Callable[[Mapping[str, Any], Any], TokenizerBundle]

_MODULES = {
  'visual_tokenizer': 'videopoet_jax.tokenizers.magvit2.bundle',
  'audio_tokenizer': 'videopoet_jax.tokenizers.soundstream.bundle',
  'cosmos': 'videopoet_jax.tokenizers.cosmos.bundle',
  'open_magvit2': 'videopoet_jax.tokenizers.open_magvit2.bundle',
  'vidtok': 'videopoet_jax.tokenizers.vidtok.bundle',
}
# Kinds of tokenizers that serve where another kind is asked for.
_SERVES_AS = dict.fromkeys(
  ('cosmos', 'open_magvit2', 'vidtok'), 'visual_tokenizer'
)
_BUILDERS: dict[str, Builder] = {}


def register(kind: str, builder: Builder) -> None:
  """Registers a kind of tokenizer for `load`.

  Args:
    kind: name in `checkpoint.json`.
    builder: makes a bundle from the config's description and the parameters.

  Raises:
    ValueError: if the kind has another builder.
  """
  if _BUILDERS.setdefault(kind, builder) is not builder:
    raise ValueError(f'a tokenizer of kind {kind!r} is registered already')


def builder_of(kind: str, directory: Any) -> Builder:
  """Returns the builder of a kind, whose module is imported if need be.

  Args:
    kind: name in a description.
    directory: the folder of that description, for the message.

  Raises:
    CheckpointError: it is not a kind of tokenizer.
  """
  if kind not in _BUILDERS:
    if kind not in _MODULES:
      raise errors.CheckpointError(
        f'{directory} holds a {kind!r}, which is not a tokenizer; give the'
        f' folder of one of {sorted({*_MODULES, *_BUILDERS})}.'
      )
    importlib.import_module(_MODULES[kind])
  return _BUILDERS[kind]


def load(
  directory: str | os.PathLike[str], kind: str | None = None
) -> TokenizerBundle:
  """Opens a tokenizer folder.

  Args:
    directory: a folder that `TokenizerBundle.save` wrote, or a checkpoint's
      with such a folder named after the kind.
    kind: required kind, or None for any tokenizer. An imported tokenizer
      serves as a 'visual_tokenizer'.

  Returns:
    The tokenizer.

  Raises:
    CheckpointError: if the folder is missing, empty, half written, of another
      kind, or its weights are not those that it was written with.
  """
  folder = storage.absolute(directory)
  return open_folder(folders.within(folder, *((kind,) if kind else ())), kind)


def open_folder(
  directory: pathlib.Path, kind: str | None = None
) -> TokenizerBundle:
  """Does the same as `load` with the absolute path of a tokenizer's folder."""
  description = describe.read_description(directory)
  found = description['kind']
  if kind is not None and _SERVES_AS.get(found) != kind:
    describe.read_description(directory, kind)  # Raises unless it is the kind.
  builder = builder_of(found, directory)
  params = tree.restore_tree(directory / PARAMS_FOLDER)
  params = jax.tree.map(jnp.asarray, params)
  bundle = builder(description['config'], params)
  if bundle.fingerprint != description['fingerprint']:
    raise errors.CheckpointError(
      f'the weights in {directory} are not those it was written with'
      f' (fingerprint {bundle.fingerprint}, described as'
      f' {description["fingerprint"]}); copy or write the folder again.'
    )
  return bundle
