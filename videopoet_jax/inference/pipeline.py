"""A checkpoint to generate with: conditions in, clips out.

  model = pipeline.load('demo')
  clip, = model.generate('text_to_video', text='a red circle moves right')
  clip.save('a.mp4')

The command `videopoet generate` and `videopoet_jax.load` use this module.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import os
from typing import Any

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.core import types
from videopoet_jax.inference import chain
from videopoet_jax.inference import clips as clips_lib
from videopoet_jax.inference import conditions
from videopoet_jax.inference import continuation as continuation_lib
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.inference import long_video
from videopoet_jax.inference import presets
from videopoet_jax.inference import sampling
from videopoet_jax.inference import settings
from videopoet_jax.inference import signals
from videopoet_jax.inference.super_resolution import cascade as cascade_lib
from videopoet_jax.inference.super_resolution import request as request_lib

Path = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class Upscaling:
  """Super-resolution of generated clips.

  Attributes:
    cascade: the models, opened.
    configs: settings of each stage.
    record: function from whether there is a text to JSON values for the record.
    check: function of the texts and the size (frames, height, width), called
      before sampling; raises if a setting cannot act.
  """

  cascade: cascade_lib.Cascade
  configs: tuple[Any, ...] = ()
  record: Callable[[bool], Mapping[str, Any]] = lambda has_text: {}
  check: Callable[[list[str], tuple[int, int, int]], None] | None = None


@dataclasses.dataclass(frozen=True, repr=False)
class Model:
  """A language model with its tokenizers, opened from a folder.

  Attributes:
    generator: model that draws the ids.
    directory: folder that it was opened from.
  """

  generator: generator_lib.Generator
  directory: str = ''

  def __repr__(self) -> str:
    return f'Model({self.directory!r}, tasks: {", ".join(self.tasks)})'

  @property
  def tasks(self) -> tuple[str, ...]:
    """Names of the tasks that it was trained on."""
    names = (name.split('/')[0] for name in self.generator.layout_names)
    return tuple(dict.fromkeys(names))

  @property
  def layouts(self) -> tuple[str, ...]:
    """Names of the layouts that it was trained on."""
    return self.generator.layout_names

  def recommended(self, layout: str) -> sampling.SamplingConfig:
    """Default settings of sampling for a layout.

    These are the checkpoint's recommendations for the task
    (`prefix_lm.sampling` of its training), without settings that cannot act on
    the layout.
    """
    return settings.recommended(
      self.generator.recommended, self.generator.layout(layout)
    )

  def generate(self, task: str = '', **options: Any) -> clips_lib.Clips:
    """Generates samples.

    Args:
      task: name of a task, such as 'text_to_video'.
      **options: options of `prepare`.

    Returns:
      The samples; those of one text are adjacent.

    Raises:
      UserError: a condition cannot be used, or a setting cannot act.
    """
    return self.prepare(task, **options).run()

  def prepare(
    self,
    task: str = '',
    *,
    layout: str = '',
    text: str | Sequence[str] | None = None,
    image: Any = None,
    video: Any = None,
    audio: Any = None,
    structure: Any = None,
    num_samples: int = 1,
    batch_size: int = 64,
    seed: int = 0,
    negative_text: str = '',
    seconds: float = 0.0,
    preset: str = '',
    upscaling: Upscaling | None = None,
    **drawn: Any,
  ) -> 'Prepared':
    """Reads the conditions and checks everything before anything is sampled.

    Args:
      task: name of a task, unless a layout is named.
      layout: name of a layout that the model was trained on.
      text: a prompt or several, one a row.
      image: the first frame, for all rows; see `signals.read`.
      video: frames of the condition.
      audio: sound of the condition.
      structure: flow and depth of the condition.
      num_samples: number of samples of each text.
      batch_size: most samples that are drawn together.
      seed: seed of the draws.
      negative_text: negative prompt for guidance.
      seconds: length of a long video; 0 keeps the layout's.
      preset: name of texts that are added to the prompt, see `presets`.
      upscaling: models that upscale the samples.
      **drawn: fields of `SamplingConfig` that override `recommended`:
        temperature, top_k, top_p, guidance, first_temperature, guide_on.

    Raises:
      UserError: a condition cannot be used, or a setting cannot act.
    """
    given = {
      name: signal
      for name, signal in (
        ('text', text),
        ('image', image),
        ('video', video),
        ('audio', audio),
        ('structure', structure),
      )
      if signal is not None
    }
    texts = signals.texts(text)
    chosen = self._choose(task, layout, list(given))
    config = settings.changed(self.recommended(chosen.name), drawn)
    suffix = ''
    if preset:
      suffix, negative_text = presets.apply(
        preset, texts, negative_text, config
      )
    # Models that upscale take the text even if the task does not.
    conditions.check_used(
      chosen, [name for name in given if not (upscaling and name == 'text')]
    )
    targets = {s.feature for s in chosen.filled(types.Role.TARGET)}
    for name, wanted in (('super_resolution', upscaling), ('seconds', seconds)):
      if wanted and 'video_tokens' not in targets:
        raise errors.ConfigError(
          f'--{name}: {chosen.task} makes no video; leave it out, or choose '
          'another task.'
        )
    continuation, notes = self._check(
      chosen, texts, config, negative_text, num_samples, seconds
    )
    if upscaling:
      self._check_upscaling(chosen, texts, seconds, upscaling)
    read = signals.read(
      chosen,
      self.generator.space,
      text=text,
      image=image,
      video=video,
      audio=audio,
      structure=structure,
    )
    if 'text' not in read and len(texts) > 1:
      raise errors.DataError(f'{chosen.name} takes no text: give one at most.')
    if suffix:
      texts = [text + suffix for text in texts]
      read['text'] = texts
    record = {
      'checkpoint': self.directory,
      'task': chosen.task,
      'targets': sorted(targets),
      'conditions': {name: _named(signal) for name, signal in given.items()},
      'negative_text': negative_text,
      'num_samples': num_samples,
      'seed': seed,
      'seconds': seconds,
      **_acted(config),
      **({'preset': preset, 'text_suffix': suffix} if preset else {}),
    }
    return Prepared(
      self, chosen, read, tuple(texts), config, negative_text, num_samples,
      batch_size, seed, seconds, continuation, upscaling, notes, record,
    )  # fmt: skip

  def _choose(
    self, task: str, layout: str, given: Sequence[str]
  ) -> layout_lib.SequenceLayout:
    name = layout or self.generator.choose_layout(task, given)
    chosen = self.generator.layout(name)
    if task and task != chosen.task:
      raise errors.ConfigError(
        f'--task {task} and --layout {layout} differ; give one of them.'
      )
    return chosen

  def _check(
    self,
    chosen: layout_lib.SequenceLayout,
    texts: Sequence[str],
    config: sampling.SamplingConfig,
    negative_text: str,
    num_samples: int,
    seconds: float,
  ) -> tuple[continuation_lib.Continuation | None, tuple[str, ...]]:
    """Returns the continuation of clips, if any, and lines for the user.

    Raises:
      UserError: a setting cannot act, or clips cannot be continued.
    """
    notes = self.generator.check_settings(chosen.name, config, negative_text)
    if num_samples > 1 and config.temperature == 0:
      raise errors.ConfigError(
        f'--num_samples {num_samples} with --temperature 0 makes the same '
        f'sample {num_samples} times; leave one out.'
      )
    if not seconds:
      return None, notes
    features = {s.feature for s in chosen.filled()}
    has_sound = 'audio_tokens' in features
    continuation = continuation_lib.check(
      self.generator,
      chosen,
      seconds,
      has_text='text' in features and bool(texts),
      has_sound=has_sound and self.generator.tokenizers.audio is not None,
      config=config,
      negative_text=negative_text,
    )
    return continuation, (*notes, *continuation.notes)

  def _check_upscaling(
    self,
    chosen: layout_lib.SequenceLayout,
    texts: list[str],
    seconds: float,
    upscaling: Upscaling,
  ) -> None:
    """Raises UserError if the clips cannot be upscaled as requested."""
    frames, height, width = tasks_lib.clip_of(chosen.name)
    if seconds:
      frames = long_video.frames_of(self.generator.space.visual, seconds)
    cascade, size = upscaling.cascade, (frames, height, width)
    cascade.check_clip(*size, upscaling.configs, long=bool(seconds))
    if not seconds:
      cascade.check_source(
        self.generator.visual_fingerprint,
        self.generator.tokenizers.visual is not None,
      )
    cascade.check_text(texts)
    if upscaling.check:
      upscaling.check(texts, size)


@dataclasses.dataclass(frozen=True)
class Prepared:
  """A call whose conditions are read and whose settings can act.

  Attributes:
    model: model that generates.
    layout: layout that is generated.
    given: signals, each with a leading axis of rows.
    texts: prompts, the preset's suffix included.
    config: settings of sampling.
    negative_text: negative prompt for guidance.
    num_samples: number of samples of each text.
    batch_size: most samples that are drawn together.
    seed: seed of the draws.
    seconds: length of a long video, 0 for the layout's.
    continuation: how the clips are continued, or None.
    upscaling: super-resolution of the samples, or None.
    notes: lines for the user about requests that cannot be met.
    record: JSON values of the call.
  """

  model: Model
  layout: layout_lib.SequenceLayout
  given: Mapping[str, Any]
  texts: tuple[str, ...]
  config: sampling.SamplingConfig
  negative_text: str
  num_samples: int
  batch_size: int
  seed: int
  seconds: float
  continuation: continuation_lib.Continuation | None
  upscaling: Upscaling | None
  notes: tuple[str, ...]
  record: Mapping[str, Any]

  def run(self) -> clips_lib.Clips:
    """Samples."""
    generator = self.model.generator
    made = generator.generate(
      self.layout.name,
      self.given,
      num_samples=self.num_samples,
      batch_size=self.batch_size,
      seed=self.seed,
      config=self.config,
      negative_text=self.negative_text,
    )
    heard_BT = made.audio_BT
    if heard_BT is None and 'audio' in self.given:
      heard_BT = np.repeat(self.given['audio'], self.num_samples, axis=0)
    text = [text for text in self.texts for _ in range(self.num_samples)]
    pieces: tuple[Any, ...] = ()
    has_own_sound = made.audio_BT is not None
    if self.continuation and made.video_BTHWC is not None:
      longer = long_video.extend(
        generator,
        made.video_BTHWC,
        self.seconds,
        continuation=self.continuation,
        text=text or None,
        audio_BT=heard_BT,
        seed=self.seed,
        batch_size=self.batch_size,
      )
      heard_BT, pieces = longer.audio_BT, longer.pieces
      made = dataclasses.replace(made, video_BTHWC=longer.video_BTHWC)
    record = dict(self.record)
    if self.seconds:
      record['pieces'] = list(pieces)
    larger = None
    if self.upscaling:
      larger = self._upscale(generator, made, text or None)
      record |= self.upscaling.record(bool(self.texts))
    return self._clips(made, heard_BT, text, larger, has_own_sound, record)

  def _upscale(
    self,
    generator: generator_lib.Generator,
    made: generator_lib.Generated,
    text: list[str] | None,
  ) -> np.ndarray | None:
    assert self.upscaling is not None
    cascade, configs = self.upscaling.cascade, self.upscaling.configs
    if self.seconds and made.video_BTHWC is not None:
      return cascade.run_long(
        made.video_BTHWC, text, configs=configs, seed=self.seed
      )
    clips = chain.clips_of(generator, made)
    return cascade.run(clips, text, configs=configs, seed=self.seed).video_BTHWC

  def _clips(
    self,
    made: generator_lib.Generated,
    heard_BT: np.ndarray | None,
    text: list[str],
    larger: np.ndarray | None,
    has_own_sound: bool,
    record: Mapping[str, Any],
  ) -> clips_lib.Clips:
    space = self.model.generator.space
    video = made.video_BTHWC
    number = len(made.tokens_BL)

    def row(array: np.ndarray | None, index: int) -> Any:
      return None if array is None else array[index]

    samples = tuple(
      clips_lib.Clip(
        row(video, index),
        row(heard_BT, index),
        space.visual.frame_rate,
        space.audio.sampling_rate,
        text[index] if text else '',
      )
      for index in range(number)
    )
    return clips_lib.Clips(
      samples, made.layout.name, record, larger, has_own_sound
    )


def load(directory: Path, *, text_encoder: Path = '') -> Model:
  """Opens a checkpoint folder; nothing else is needed.

  Args:
    directory: folder of a run, a demo or an export.
    text_encoder: folder of the frozen text encoder, for models that take text
      embeddings and do not contain it.

  Raises:
    CheckpointError: it is missing, empty, half written or of another kind.
  """
  return Model(
    generator_lib.Generator.load(directory, text_encoder=text_encoder),
    str(directory),
  )


def load_upscaling(
  *folders: Path,
  scale: int = 0,
  decoder: Path = '',
  text_encoder: Path = '',
  **settings: Any,
) -> Upscaling:
  """Opens super-resolution models, for `upscaling` of `Model.generate`.

  Args:
    *folders: checkpoints, one a stage, in the order they run.
    scale: scale that all of them together must have; 0 for any.
    decoder: tokenizer of the last stage's encoder with a better decoder.
    text_encoder: folder of the frozen text encoder, see `load`.
    **settings: fields of `UpscaleConfig`: a value for all stages, or a tuple
      of one a stage.

  Raises:
    UserError: one cannot be used, or they do not match.
  """
  known = [field for field, *_ in request_lib.SETTINGS.values()]
  for name in settings:
    if name not in known:
      hint = errors.near_names(name, known)
      raise errors.ConfigError(f'upscaling has no setting {name!r}{hint}.')
  several = {
    name: value if isinstance(value, tuple) else (value,)
    for name, value in settings.items()
  }
  return open_upscaling(
    request_lib.Request(folders, scale, several, decoder), text_encoder
  )


def open_upscaling(
  request: request_lib.Request, text_encoder: Path = ''
) -> Upscaling:
  """Opens the models that a request names; see `load_upscaling`."""
  cascade = request.open(text_encoder)

  def check(texts: list[str], size: tuple[int, int, int]) -> None:
    request_lib.check_acting(request, cascade, texts, size)

  return Upscaling(cascade, request.configs(), request.record, check)


def _named(signal: Any) -> Any:
  """Name of a condition in the record."""
  if isinstance(signal, (str, os.PathLike)):
    return str(signal)
  if isinstance(signal, clips_lib.Clip):
    return f'clip {signal.text!r}' if signal.text else 'clip'
  if isinstance(signal, np.ndarray):
    return f'array {signal.dtype} {signal.shape}'
  return list(signal)


def _acted(config: sampling.SamplingConfig) -> dict[str, Any]:
  """The settings that had an effect, as JSON values."""
  acted = dataclasses.asdict(config)
  acted['guide_on'] = list(config.guide_on) if config.is_guided else []
  return acted
