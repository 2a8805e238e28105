"""A checkpoint folder opened for generation from conditions."""

from collections.abc import Callable, Collection, Mapping
import dataclasses
import os
import pathlib
from typing import Any

import jax
import numpy as np

from videopoet_jax.checkpoints import folders
from videopoet_jax.checkpoints import opened as opened_lib
from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import storage
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.core import types
from videopoet_jax.inference import conditions as conditions_lib
from videopoet_jax.inference import decode
from videopoet_jax.inference import draws
from videopoet_jax.inference import sampling
from videopoet_jax.inference import settings
from videopoet_jax.inference import text_encoder as text_encoder_lib
from videopoet_jax.models.prefix_lm import description
from videopoet_jax.models.prefix_lm import model as model_lib
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers import text as text_lib
from videopoet_jax.tokenizers.magvit2 import bundle as visual_bundle
from videopoet_jax.tokenizers.soundstream import bundle as audio_bundle

_FOLDERS = {'visual': folders.VISUAL, 'audio': folders.AUDIO}


@dataclasses.dataclass(frozen=True)
class Generated:
  """Samples of one layout.

  Attributes:
    layout: layout that was generated.
    tokens_BL: int32 global ids.
    ids: local ids by feature, a continuation's condition included.
    video_BTHWC: uint8 frames, or None.
    audio_BT: int16 samples, or None.
  """

  layout: layout_lib.SequenceLayout
  tokens_BL: np.ndarray
  ids: dict[str, np.ndarray]
  video_BTHWC: np.ndarray | None
  audio_BT: np.ndarray | None


def _rows(given: Mapping[str, Any]) -> int:
  """Number of conditions; raises LayoutError if signals disagree."""
  numbers = {name: len(value) for name, value in given.items()}
  if len(set(numbers.values())) > 1:
    raise errors.LayoutError(
      f'conditions differ in number: {numbers}; give as many of each.'
    )
  return next(iter(numbers.values()), 1)


@dataclasses.dataclass(frozen=True)
class Generator:
  """A language model with its tokenizers.

  Attributes:
    model: the network.
    params: parameters, unboxed.
    space: vocabulary, grids and tasks.
    layout_names: layouts that the model was trained on.
    tokenizers: tokenizers of its signals.
    visual_fingerprint: fingerprint of the tokenizer whose ids it generates.
    place: function that puts an array of rows on several devices; None uses
      one.
    drop: share of training examples without a condition, by task and condition;
      None for checkpoints that do not record it.
    recommended: fields of `SamplingConfig` that the checkpoint recommends, by
      task; None for checkpoints without recommendations.
  """

  model: model_lib.PrefixLM
  params: Any
  space: tasks_lib.LayoutSpace
  layout_names: tuple[str, ...]
  tokenizers: conditions_lib.Tokenizers
  visual_fingerprint: str = ''
  place: Callable[[Any], Any] | None = None
  drop: Mapping[str, Mapping[str, float]] | None = None
  recommended: Mapping[str, Mapping[str, Any]] | None = None

  @classmethod
  def load(
    cls,
    directory: str | os.PathLike[str],
    embed_text: conditions_lib.EmbedText | None = None,
    text_encoder: str | os.PathLike[str] = '',
    step: int | None = None,
  ) -> 'Generator':
    """Opens a checkpoint folder; nothing else is needed.

    Args:
      directory: folder of a run or an export, with its tokenizers.
      embed_text: for models that take text embeddings, replaces the
        checkpoint's own text encoder; see `conditions.Tokenizers`.
      text_encoder: folder of the text encoder for such models, if it is not
        inside the checkpoint.
      step: step of a run's folder; the newest unless given.

    Raises:
      CheckpointError: it is missing, empty, half written or of another kind.
    """
    folder = storage.absolute(directory)
    opened = opened_lib.open_folder(folder, description.KIND)
    encoder = storage.given(text_encoder)
    return cls.from_opened(opened, embed_text, encoder, step)

  @classmethod
  def from_opened(
    cls,
    opened: opened_lib.Opened,
    embed_text: conditions_lib.EmbedText | None = None,
    text_encoder: pathlib.Path | None = None,
    step: int | None = None,
  ) -> 'Generator':
    """Does the same as `load` with an open checkpoint."""
    directory = opened.directory
    described, params = opened.read_params(step)
    config, space, names = description.read(described)
    found: dict[str, Any] = {
      role: interface.open_folder(directory / folder, folder)
      for role, folder in _FOLDERS.items()
      if (directory / folder).is_dir()
    }
    fingerprints = described.get('fingerprints') or {}
    for role, tokenizer in found.items():
      wanted = fingerprints.get(role)
      if wanted and tokenizer.fingerprint != wanted:
        raise errors.CheckpointError(
          f'{directory / _FOLDERS[role]} has fingerprint '
          f'{tokenizer.fingerprint}; the model was trained on tokens of '
          f'{wanted}. Copy the tokenizer it was trained with.'
        )
    if config.text == 'embeddings' and embed_text is None:
      embed_text = text_encoder_lib.beside(directory, described, text_encoder)
    if (directory / folders.TEXT).is_dir():
      found['text'] = text_lib.load(directory / folders.TEXT)
    return cls(
      model_lib.PrefixLM(config, space.vocabulary),
      jax.device_put(params),
      space,
      names,
      conditions_lib.Tokenizers(**found, embed_text=embed_text),
      found['visual'].fingerprint
      if 'visual' in found
      else fingerprints.get('visual', ''),
      drop=described.get('drop'),
      recommended=described.get('sampling'),
    )

  def layout(self, name: str) -> layout_lib.SequenceLayout:
    """Returns a layout by name.

    Raises:
      LayoutError: the model was not trained on it.
      ConfigError: two of its segments look the same to the model, which is from
        before features had identities.
    """
    if name not in self.layout_names:
      hint = errors.near_names(name, self.layout_names)
      raise errors.LayoutError(f'the model knows no layout {name!r}{hint}.')
    layout = self.space.layout(name)
    self.model.config.check(self.space.vocabulary, (layout,))
    return layout

  def choose_layout(self, task: str, given: Collection[str]) -> str:
    """Chooses the task's layout that uses most of the given conditions.

    Args:
      task: name of a task.
      given: names of signals or features.

    Raises:
      LayoutError: the model was not trained on the task.
      DataError: every layout of the task needs a condition that is missing.
    """
    layouts = [
      self.space.layout(name)
      for name in self.layout_names
      if name.split('/')[0] == task
    ]
    if not layouts:
      tasks = sorted({name.split('/')[0] for name in self.layout_names})
      hint = errors.near_names(task, tasks)
      raise errors.LayoutError(f'the model knows no task {task!r}{hint}.')
    fitting = [x for x in layouts if not conditions_lib.missing(x, given)]
    if not fitting:
      fewest = min(layouts, key=lambda x: len(conditions_lib.missing(x, given)))
      conditions_lib.check_given(fewest, given)
    return max(fitting, key=lambda x: x.prefix_length).name

  def check_settings(
    self,
    layout_name: str,
    config: sampling.SamplingConfig,
    negative_text: str = '',
  ) -> tuple[str, ...]:
    """Checks settings for a layout of the model, see `settings.check`."""
    layout = self.layout(layout_name)
    drop = None
    if self.drop is not None:
      drop = self.drop.get(layout.task, {})
    return settings.check(layout, config, negative_text, drop)

  def generate(
    self,
    layout_name: str,
    given: Mapping[str, Any] | None = None,
    *,
    num_samples: int = 1,
    seed: int = 0,
    path: draws.Path = (),
    config: sampling.SamplingConfig = sampling.DEFAULT,
    negative_text: str = '',
    batch_size: int = 64,
    decode_signals: bool = True,
    sample_numbers: np.ndarray | None = None,
  ) -> Generated:
    """Generates samples of one layout.

    Args:
      layout_name: name of the layout, one of `layout_names`.
      given: conditions with a leading axis of rows; see `conditions.encode`.
      num_samples: number of samples a row, adjacent in the result.
      seed: seed of the draws.
      path: path of the draws within the seed; see `draws.root`.
      config: settings of sampling.
      negative_text: negative prompt for guidance; '' stands for no text at all.
      batch_size: most sequences of one compiled call.
      decode_signals: whether ids are decoded to pixels and sound.
      sample_numbers: int, one a sample, on which its draws depend besides the
        seed; 0, 1, 2 ... unless given.

    Raises:
      LayoutError: the layout is not known, or shapes do not match it.
      DataError: a condition is missing.
      ConfigError: a setting cannot act, see `settings.check`.
    """
    self.check_settings(layout_name, config, negative_text)
    layout, given = self.layout(layout_name), dict(given or {})
    features = conditions_lib.encode(
      layout, given, self.tokenizers, self.space.text_slots
    )
    number = _rows(features) * num_samples
    features = {
      name: np.repeat(ids, num_samples, axis=0)
      for name, ids in features.items()
    }
    text = self.take_embeddings(layout, features)
    tokens_BL, visible_BL = self.fill(layout, features, number)
    against = None
    if negative_text:
      negative = conditions_lib.encode(
        layout,
        {**features, 'text': [negative_text]},
        self.tokenizers,
        self.space.text_slots,
      )
      # One text for all rows: encoded once.
      for name in ('text', conditions_lib.TEXT_EMBEDDINGS):
        if name in negative:
          negative[name] = np.repeat(negative[name], number, axis=0)
      against_text = self.take_embeddings(layout, negative)
      others = [name for name in config.guide_on if name != 'text']
      told_BL, seen_BL = self.fill(layout, negative, number)
      against = told_BL, decode.hide(layout, seen_BL, others), against_text
    if sample_numbers is None:
      sample_numbers = np.arange(number)
    filled = []
    size = min(batch_size, number)
    for start in range(0, number, size):
      # The last batch is filled up, so that one program serves all.
      rows = np.arange(start, start + size) % number

      def take(array: np.ndarray | None, rows: np.ndarray = rows) -> Any:
        return None if array is None else array[rows]

      filled.append(
        decode.generate(
          self.model,
          self.params,
          layout,
          tokens_BL[rows],
          visible_BL[rows],
          config=config,
          seed=seed,
          path=path,
          sample_numbers=sample_numbers[rows],
          text_embeddings_BSE=take(text),
          against=None if against is None else tuple(map(take, against)),
          place=self.place,
        )
      )
    return self.decode(layout, np.concatenate(filled)[:number], decode_signals)

  def fill(
    self,
    layout: layout_lib.SequenceLayout,
    features: Mapping[str, np.ndarray],
    number: int,
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns tokens int32 (B, L) and visibility bool (B, L) of conditions."""
    whole = {}
    for name, ids in features.items():
      # The target may continue a condition: zeros stand for the rest.
      segments = [s for s in layout.filled() if s.feature == name]
      axis = segments[0].time_axis - len(segments[0].shape)
      stop = max(s.start + s.shape[s.time_axis] for s in segments)
      room = [(0, 0)] * ids.ndim
      room[axis] = (0, max(0, stop - ids.shape[axis]))
      whole[name] = np.pad(ids, room)
    tokens_BL = np.broadcast_to(layout.encode(whole), (number, layout.length))
    visible_BL = np.ones((number, layout.length), bool)
    for segment in layout.filled(types.Role.PREFIX):
      if segment.modality is types.Modality.TEXT:
        visible_BL[:, layout.slices[segment.name]] = (
          features[segment.feature] != text_lib.PAD_ID
        )
    return tokens_BL, visible_BL

  def take_embeddings(
    self,
    layout: layout_lib.SequenceLayout,
    features: dict[str, np.ndarray],
  ) -> np.ndarray | None:
    """Takes the text embeddings out of the features, for models with any.

    Raises:
      CheckpointError: the model takes some, and there are none.
    """
    found = features.pop(conditions_lib.TEXT_EMBEDDINGS, None)
    takes_text = 'text' in conditions_lib.prefix_features(layout)
    if self.model.config.text != 'embeddings' or not takes_text:
      return None
    if found is None:
      raise errors.CheckpointError(
        'the model takes text embeddings, and was given ids or has no text '
        'encoder; open it with Generator.load(directory, text_encoder=FOLDER).'
      )
    return np.asarray(found, np.float32)

  def decode(
    self,
    layout: layout_lib.SequenceLayout,
    tokens_BL: np.ndarray,
    decode_signals: bool = True,
  ) -> Generated:
    """Decodes sequences to ids and signals."""
    joined = layout.parse_features(tokens_BL)
    prefix = conditions_lib.prefix_features(layout)
    ids = layout.parse_features(tokens_BL, types.Role.TARGET)
    for segment in layout.filled(types.Role.TARGET):
      # A continuation's condition is part of the clip; a frame that is only a
      # hint is
      # not, since the target begins with its own first frame.
      if segment.start and segment.feature in prefix:
        ids[segment.feature] = joined[segment.feature]
    video = audio = None
    if decode_signals and 'video_tokens' in ids and self.tokenizers.visual:
      video = visual_bundle.to_pixels(
        self.tokenizers.visual.decode(ids['video_tokens'])
      )
    if decode_signals and 'audio_tokens' in ids and self.tokenizers.audio:
      audio = audio_bundle.to_samples(
        self.tokenizers.audio.decode(ids['audio_tokens'])
      )
    return Generated(layout, tokens_BL, ids, video, audio)
