"""Runs that train the prefix language model on a token data set."""

from collections.abc import Mapping, Sequence
import dataclasses
import math
from typing import Any

import gin
import jax
import numpy as np

from videopoet_jax.checkpoints import folders as folders_lib
from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.data import agd
from videopoet_jax.data import batches as data_batches
from videopoet_jax.data import registry
from videopoet_jax.data import sets as sets_lib
from videopoet_jax.data import tokens as tokens_lib
from videopoet_jax.experiments import experiment
from videopoet_jax.inference import sampling as sampling_lib
from videopoet_jax.inference import settings
from videopoet_jax.inference import text_encoder as text_encoder_lib
from videopoet_jax.models.prefix_lm import config as config_lib
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers import text as text_lib
from videopoet_jax.training import prefix_lm as prefix_lm_lib

# Key of recommended sampling for all other tasks.
_ALL_OTHERS = 'default'


class LanguageBatches:
  """`data.batches.TokenBatches` with the shapes to compile for."""

  def __init__(
    self,
    batches: data_batches.TokenBatches,
    trainable: prefix_lm_lib.PrefixLMTrainable,
  ) -> None:
    """Wraps batches.

    Args:
      batches: batches of tokens.
      trainable: trainable that they are for.
    """
    self._batches = batches
    self._trainable = trainable

  def units(self) -> tuple[str, ...]:
    return self._batches.units()

  def unit_at(self, step: int) -> str:
    return self._batches.unit_at(step)

  def batch(self, step: int) -> Mapping[str, np.ndarray]:
    return self._batches.batch(step)

  def read_part(self, index: int, count: int) -> None:
    self._batches.read_part(index, count)

  def divide(self, parts: int) -> None:
    self._batches.divide(parts)

  def batch_sizes(self) -> dict[str, int]:
    return self._batches.batch_sizes()

  def state(self) -> dict[str, Any]:
    return self._batches.state()

  def restore(self, state: Mapping[str, Any]) -> None:
    self._batches.restore(state)

  def shapes(self, unit: str) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of this host's part of a batch of a layout."""
    return self._trainable.batch_shapes(unit, self._batches.rows(unit))


@gin.configurable
def prefix_lm(
  *,
  config: config_lib.PrefixLMConfig = gin.REQUIRED,
  tokens: str | Sequence[str] = gin.REQUIRED,
  visual_tokenizer: str = '',
  audio_tokenizer: str = '',
  text: str = 'bytes',
  text_slots: int | None = 64,
  text_size: int | None = None,
  text_embeddings: bool = False,
  text_encoder: str = '',
  clip: tuple[int, int, int] | None = None,
  layouts: Sequence[str] = (),
  task_files: Sequence[str] = (),
  minimum: Mapping[str, float] | None = None,
  tokens_per_batch: int = gin.REQUIRED,
  batch_multiple: int = 1,
  mixture: agd.MixtureSchedule = gin.REQUIRED,
  weights: Mapping[str, float] | None = None,
  context_noise: float = 0.0,
  sampling: Mapping[str, Mapping[str, Any]] | None = None,
  seed: int = 0,
  validation_batch_size: int = 16,
  validation_batches: int = 1,
) -> experiment.Parts:
  """Returns the prefix language model with the tokens of the run's tasks.

  Args:
    config: the model's sizes and choices.
    tokens: directory of a token data set, or a list of several, each of one
      clip size: a layout is filled from the sets of its size, images from
      the sets of one-frame clips (see `data.sets`).
    visual_tokenizer: folder of the tokenizer that made them, or of a checkpoint
      that holds it; it is copied beside the new checkpoint, so that generation
      needs nothing else.
    audio_tokenizer: the same for the audio tokenizer.
    text: the text tokenizer: 'bytes', the path of a SentencePiece model, or a
      folder for `tokenizers.text.find`, such as a checkpoint's.
    text_slots: positions reserved for text (64 in the paper); None takes those
      of the text embeddings.
    text_size: ids that the vocabulary reserves for text (32,128 in the paper,
      for T5's SentencePiece model); None takes those of the text tokenizer.
    text_embeddings: whether the tokens come with embeddings of their text by a
      frozen encoder (`videopoet embed_text`); `config.text` is then
      'embeddings', and their width that of the data.
    text_encoder: with text embeddings, folder of that encoder, which is also
      copied beside the checkpoint.
    clip: frames, height and width of the layouts; those of the data sets
      unless given.
    layouts: names of the layouts to train; all of the tasks unless given.
    task_files: tasks in addition to those that `load_tasks.tasks` lists;
      `--task_file` adds them.
    minimum: least values of scalar features for every task, in addition to its
      own `Task.minimum`: the quality filter of an adaptation.
    tokens_per_batch: positions of a global batch, the same for all layouts.
    batch_multiple: number that batch sizes are a multiple of, besides the
      number of devices: the most devices that the run may resume with.
    mixture: schedule of images and videos during the run.
    weights: weights by task, layout or clip size, which replace the tasks'
      rates; see `data.batches.layout_weights`.
    context_noise: see `PrefixLMTrainable`.
    sampling: fields of `SamplingConfig` by task that the checkpoint recommends,
      `default` for all other tasks; `generate` uses them by default.
    seed: seed of the data order.
    validation_batch_size: examples of a global validation batch.
    validation_batches: batches of each layout in a validation; 0 for none.

  Raises:
    UserError: parts do not match.
  """
  experiment.check_numbers(
    'prefix_lm',
    tokens_per_batch=(tokens_per_batch, 1),
    batch_multiple=(batch_multiple, 1),
    validation_batch_size=(validation_batch_size, 1),
    validation_batches=(validation_batches, 0),
    seed=(seed, 0),
    text_slots=(text_slots, 1),
    text_size=(text_size, 1),
    clip=(clip, 1),
    weights=(tuple((weights or {}).values()), 0),
  )
  run_tasks = registry.at_least(registry.load_tasks(task_files), minimum or {})
  recommended = _recommended(sampling or {}, [t.name for t in run_tasks])
  sets = sets_lib.open_sets(tokens)
  info = sets.joint_info()
  embedded = None
  if text_embeddings or config.text == 'embeddings':
    embedded = _embedded(config, run_tasks, sets, text_slots, text_embeddings)
    text_slots = embedded.text_slots
    config = dataclasses.replace(config, text_embedding_dim=embedded.text_width)
  if text_slots is None:
    raise errors.ConfigError(
      'prefix_lm.text_slots is None, which takes the number of the text '
      'embeddings, and there are none; bind a number, 64 in the paper'
    )
  text = text_lib.find(text)
  text_tokenizer = text_lib.open_named(text)
  space = sets_lib.make_space(
    info,
    run_tasks,
    text_size=_text_size(text_size, text_tokenizer),
    text_slots=text_slots,
  )
  folders, fingerprints = _tokenizers(visual_tokenizer, audio_tokenizer)
  sets_lib.check(run_tasks, space, sets, fingerprints)
  # The conditions that guidance may compare with.
  drop = {task.name: dict(task.drop) for task in run_tasks}
  origin: dict[str, Any] = {'text_tokenizer': text_tokenizer.fingerprint}
  if embedded is None:
    folders[folders_lib.TEXT] = text_tokenizer
  else:
    # The encoder has a tokenizer of its own.
    origin = {'text_encoder': embedded.text_fingerprint}
    if text_encoder:
      folders[folders_lib.TEXT_ENCODER] = open_text_encoder(
        text_encoder, embedded, 'prefix_lm.text_encoder'
      )
  names = tuple(layouts) or sets.layout_names(run_tasks, space, clip)
  built = space.layouts(names)
  shared: dict[str, Any] = {
    'text': text,
    'text_embeddings': text_embeddings,
  }
  batches = data_batches.TokenBatches(
    run_tasks,
    built,
    sets,
    tokens_per_batch=tokens_per_batch,
    schedule=mixture,
    seed=seed,
    weights=weights,
    multiple=math.lcm(jax.device_count(), batch_multiple),
    **shared,
  )
  validation: data_batches.ValidationBatches | None = None
  notes: tuple[str, ...] = ()
  if validation_batches:
    validation, notes = _validation(
      run_tasks,
      built,
      tokens,
      batch_size=validation_batch_size,
      batches=validation_batches,
      **shared,
    )
  model = prefix_lm_lib.PrefixLMTrainable(config, space, names, context_noise)
  trainable = LanguageTrainable(
    model,
    {
      **origin,
      'drop': drop,
      **({'sampling': recommended} if recommended else {}),
      'fingerprints': fingerprints
      or {'visual': info.visual_fingerprint, 'audio': info.audio_fingerprint},
    },
  )
  return experiment.Parts(
    trainable,
    LanguageBatches(batches, model),
    validation,
    folders,
    notes,
  )


def _recommended(
  by_task: Mapping[str, Mapping[str, Any]], names: Sequence[str]
) -> dict[str, Any]:
  """The checkpoint's recommendations for the tasks of a run.

  Recommendations for other shipped tasks are left out, since a run of some
  tasks may include the file of a run of all tasks.

  Args:
    by_task: fields of `SamplingConfig` by task.
    names: names of the run's tasks.

  Raises:
    ConfigError: one is for no task, or is invalid.
  """
  known = (_ALL_OTHERS, *names, *(t.name for t in tasks_lib.TEMPLATES))
  for task, fields in by_task.items():
    if task not in known:
      hint = errors.near_names(task, known)
      raise errors.ConfigError(
        f'prefix_lm.sampling names {task!r}, which is no task{hint}.'
      )
    try:
      settings.changed(sampling_lib.DEFAULT, fields)
    except errors.ConfigError as error:
      raise errors.ConfigError(f'prefix_lm.sampling: {task}: {error}') from None
  kept = (_ALL_OTHERS, *names)
  return {task: dict(by_task[task]) for task in by_task if task in kept}


def _validation(
  *args: Any, **options: Any
) -> tuple[data_batches.ValidationBatches | None, tuple[str, ...]]:
  """Returns the validation data, and what is left out for lack of examples."""
  try:
    found = data_batches.ValidationBatches(*args, **options)
  except errors.NoExamplesError as error:
    return None, (f'no validation: {error}',)
  notes = tuple(
    f'no validation of {name}: no held-out example has what it needs'
    for name in found.left_out
  )
  return (found if found.units() else None), notes


@dataclasses.dataclass(frozen=True)
class LanguageTrainable:
  """The language model with a description of what made its tokens.

  Attributes:
    inner: the model.
    origin: JSON values: fingerprints of the tokenizers of text and tokens.
  """

  inner: prefix_lm_lib.PrefixLMTrainable
  origin: Mapping[str, Any]

  @property
  def name(self) -> str:
    """Name in runs and checkpoints."""
    return self.inner.name

  def describe(self) -> dict[str, Any]:
    """Returns JSON for the checkpoint."""
    return {**self.inner.describe(), **self.origin}

  def init(self, rng: jax.Array, batch: Any) -> Any:
    """See `Trainable`."""
    return self.inner.init(rng, batch)

  def loss(self, *args: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
    """See `Trainable`."""
    return self.inner.loss(*args)

  def validation_loss(
    self, *args: Any
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """See `Trainable`."""
    return self.inner.validation_loss(*args)


def _text_size(asked: int | None, tokenizer: text_lib.TextTokenizer) -> int:
  """Number of text ids; raises ConfigError if the tokenizer has more."""
  if asked is None:
    return tokenizer.vocab_size
  if asked < tokenizer.vocab_size:
    raise errors.ConfigError(
      f'prefix_lm.text_size is {asked}, and the text tokenizer has '
      f'{tokenizer.vocab_size} ids; bind it to at least that, or leave it out.'
    )
  return asked


def _embedded(
  config: config_lib.PrefixLMConfig,
  run_tasks: Sequence[registry.Task],
  sets: sets_lib.TokenSets,
  text_slots: int | None,
  text_embeddings: bool,
) -> tokens_lib.TokenInfo:
  """Information on the data sets' text embeddings, equal in all."""
  if config.text != 'embeddings' or not text_embeddings:
    raise errors.ConfigError(
      f'prefix_lm.text_embeddings is {text_embeddings} and PrefixLMConfig.text '
      f'{config.text!r}; for a frozen encoder bind True and '
      "'embeddings' (gin/models/text_embeddings.gin does)"
    )
  own = [task.directory for task in run_tasks if task.directory]
  shared = sets.directories if not own or len(own) < len(run_tasks) else ()
  found = {
    path: tokens_lib.check_embeddings(path)
    for path in dict.fromkeys((*shared, *own))
  }
  first = next(iter(found.values()))
  for path, info in found.items():
    if info.text_fingerprint != first.text_fingerprint:
      raise errors.DataError(
        f'{path} has text embeddings of another encoder than '
        f'{next(iter(found))}; embed both with the same one.'
      )
    wanted = first.text_slots if text_slots is None else text_slots
    if info.text_slots != wanted:
      raise errors.ConfigError(
        f'the text embeddings of {path} have {info.text_slots} slots, the run '
        f'{wanted}; bind prefix_lm.text_slots = {info.text_slots}, or embed '
        f'again with --slots {wanted}'
      )
  return first


def open_text_encoder(
  folder: str, info: tokens_lib.TokenInfo, binding: str
) -> text_encoder_lib.TextEncoder:
  """Opens the encoder in a folder, if it made the embeddings.

  Args:
    folder: see `text_encoder.open_encoder`.
    info: info of the data set with the embeddings.
    binding: gin's name of the folder's binding, for the message.

  Raises:
    CheckpointError: it is another encoder.
  """
  encoder = text_encoder_lib.open_encoder(folder)
  if encoder.fingerprint != info.text_fingerprint:
    raise errors.CheckpointError(
      f'the text encoder in {folder} has fingerprint {encoder.fingerprint}, '
      f'the embeddings are of {info.text_fingerprint}; bind {binding} to the '
      'folder that `videopoet embed_text --save_encoder` wrote with them.'
    )
  return encoder


def _tokenizers(
  visual: str, audio: str
) -> tuple[dict[str, Any], dict[str, str]]:
  """Folders to copy, and the tokenizers' fingerprints."""
  folders: dict[str, Any] = {}
  fingerprints = {}
  for name, folder, kind in (
    ('visual', visual, folders_lib.VISUAL),
    ('audio', audio, folders_lib.AUDIO),
  ):
    if folder:
      folders[kind] = folders_lib.within(storage.path(folder), kind)
      fingerprints[name] = interface.load(folders[kind], kind).fingerprint
  return folders, fingerprints
