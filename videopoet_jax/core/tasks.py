"""Task templates, and the layouts they become at a given clip size.

A template lists the parts of the prefix and of the target; a `LayoutSpace`
(vocabulary, tokenizer grids, text slots) turns a template and a clip size into
a `SequenceLayout`. Layout names are `task/frames x height x width` with the
template's options behind a further slash:

  text_to_video/17x128x128
  future_prediction/17x128x128/condition=3
  image_to_video/17x128x128/text=0

The tasks and their token order are VideoPoet's (Kondratyuk et al., 2024,
sections 3.2 to 3.4 and table 4).
"""

from collections.abc import Iterable, Mapping
import dataclasses
import re

from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import specs
from videopoet_jax.core import types
from videopoet_jax.core import vocabulary as vocabulary_lib

Modality = types.Modality
Role = types.Role

# Modality of the features that token data sets hold. Another feature's part
# states it: `visual:my_tokens[:1]`.
FEATURES: Mapping[str, Modality] = {
  'text': Modality.TEXT,
  'video_tokens': Modality.VISUAL,
  'inpainting_tokens': Modality.VISUAL,
  'outpainting_tokens': Modality.VISUAL,
  'structure_tokens': Modality.VISUAL,
  'audio_tokens': Modality.AUDIO,
}

_PART = re.compile(
  r'^(?:(?P<modality>\w+):)?(?P<feature>\w+)'
  r'(?:\[(?P<start>\w*):(?P<stop>\w*)\])?$'
)
_LAYOUT_NAME = re.compile(
  r'^(?P<task>\w+)/(?P<frames>\d+)x(?P<height>\d+)x(?P<width>\d+)'
  r'(?:/(?P<options>[\w=,]+))?$'
)


def clip_of(name: str) -> tuple[int, int, int]:
  """Frames, height and width in the name of a layout.

  Raises:
    LayoutError: it is not the name of a layout.
  """
  match = _LAYOUT_NAME.match(name)
  if not match:
    raise errors.LayoutError(
      f'{name!r} is no layout name; expected task/FRAMESxHEIGHTxWIDTH, '
      'for example text_to_video/17x128x128 or '
      'future_prediction/17x128x128/condition=3.'
    )
  return int(match['frames']), int(match['height']), int(match['width'])


def clip_text(clip: tuple[int, int, int]) -> str:
  """`17x128x128`: a size of clips as names of layouts hold it."""
  return 'x'.join(map(str, clip))


@dataclasses.dataclass(frozen=True)
class TaskTemplate:
  """A task, before any clip size is chosen.

  Parts are written `feature`, `feature[start:stop]` or
  `modality:feature[start:stop]`. Bounds count *visual latent frames* for audio
  too (its share of the same time), and may be an option's name.

  Attributes:
    name: the task's name; also the first part of its layouts' names.
    task_token: kind of output, one of `vocabulary.TASK_TOKENS` or a user's own
      name listed in `Vocabulary.extra_special` as `<task:name>`.
    prefix: the conditions, in order.
    target: what is predicted, in order.
    options: default of each option; an option with the value 0 named like a
      feature (`text`) leaves that part out.
    frames: frames of the output if the task fixes it (1 for images).
    closed: whether the target ends in `<eov_o>` (`<eoa_o>`) and `<eos>`;
      text-to-image leaves them out, so that a model may continue.
  """

  name: str
  task_token: str
  prefix: tuple[str, ...] = ()
  target: tuple[str, ...] = ('video_tokens',)
  options: tuple[tuple[str, int], ...] = ()
  frames: int | None = None
  closed: bool = True

  @property
  def features(self) -> tuple[str, ...]:
    """Features of prefix and target, each once."""
    parts = [_PART.match(part) for part in (*self.prefix, *self.target)]
    return tuple(dict.fromkeys(part['feature'] for part in parts if part))

  @property
  def conditions(self) -> tuple[str, ...]:
    """Features of the prefix, each once."""
    parts = [_PART.match(part) for part in self.prefix]
    return tuple(dict.fromkeys(part['feature'] for part in parts if part))


TEMPLATES: tuple[TaskTemplate, ...] = (
  TaskTemplate('unconditional', 'video'),
  TaskTemplate('text_to_video', 'video', prefix=('text',)),
  TaskTemplate(
    'text_to_image', 'video', prefix=('text',), frames=1, closed=False
  ),
  TaskTemplate(
    'future_prediction',
    'continuation',
    prefix=('text', 'video_tokens[:condition]'),
    target=('video_tokens[condition:]',),
    options=(('condition', 3), ('text', 0)),
  ),
  TaskTemplate(
    'image_to_video',
    'video',
    prefix=('text', 'video_tokens[:1]'),
    target=('video_tokens[first:]',),
    options=(('first', 1), ('text', 1)),
  ),
  TaskTemplate('inpainting', 'inpainting', prefix=('inpainting_tokens',)),
  TaskTemplate('outpainting', 'outpainting', prefix=('outpainting_tokens',)),
  TaskTemplate(
    'stylization',
    'stylization',
    prefix=('text', 'structure_tokens', 'video_tokens[:image]'),
    options=(('image', 0),),
  ),
  TaskTemplate('audio_to_video', 'audio_to_video', prefix=('audio_tokens',)),
  TaskTemplate(
    'video_to_audio',
    'audio',
    prefix=('video_tokens',),
    target=('audio_tokens',),
  ),
  TaskTemplate(
    'audio_video_continuation',
    'video_and_audio',
    prefix=('video_tokens[:condition]', 'audio_tokens[:condition]'),
    target=('video_tokens[condition:]', 'audio_tokens[condition:]'),
    options=(('condition', 1),),
  ),
)


@dataclasses.dataclass(frozen=True)
class LayoutSpace:
  """Everything but the task and the clip size that decides a layout.

  Attributes:
    vocabulary: the unified vocabulary.
    visual: grid of the visual tokenizer.
    audio: grid of the audio tokenizer.
    text_slots: positions reserved for text (64 in the paper).
    templates: the tasks that names may refer to.
    features: what segments may hold, in the order of their identities. Those
      of the templates that are not given are added at the end, so the default
      begins with `FEATURES` in every space.
  """

  vocabulary: vocabulary_lib.Vocabulary = vocabulary_lib.Vocabulary()
  visual: specs.VisualSpec = specs.VisualSpec()
  audio: specs.AudioSpec = specs.AudioSpec()
  text_slots: int = 64
  templates: tuple[TaskTemplate, ...] = TEMPLATES
  features: tuple[str, ...] = tuple(FEATURES)

  def __post_init__(self) -> None:
    held = [feature for t in self.templates for feature in t.features]
    table = tuple(dict.fromkeys([*self.features, *held]))
    object.__setattr__(self, 'features', table)
    names = [t.name for t in self.templates]
    for name in names:
      if names.count(name) > 1:
        raise errors.LayoutError(f'task {name!r} is registered twice.')
    if self.visual.codebook_size != self.vocabulary.visual_size:
      raise errors.LayoutError(
        f'the visual tokenizer has {self.visual.codebook_size} codes, the '
        f'vocabulary {self.vocabulary.visual_size}; make them equal.'
      )
    if (self.audio.levels, self.audio.codes) != (
      self.vocabulary.audio_levels,
      self.vocabulary.audio_codes,
    ):
      raise errors.LayoutError(
        f'the audio tokenizer has {self.audio.levels} x {self.audio.codes} '
        f'codes, the vocabulary {self.vocabulary.audio_levels} x '
        f'{self.vocabulary.audio_codes}; make them equal.'
      )

  def template(self, task: str) -> TaskTemplate:
    for template in self.templates:
      if template.name == task:
        return template
    hint = errors.near_names(task, [t.name for t in self.templates])
    raise errors.LayoutError(f'no task {task!r}{hint}.')

  def audio_frames(self, latent_frames: int, frames: int) -> int:
    """Audio latent frames that go with the first visual latent frames.

    Args:
      latent_frames: number of visual latent frames from the clip's start.
      frames: frames of the whole clip.

    Returns:
      Whole audio latent frames in the same time, at least one where
      `latent_frames` is positive.
    """
    shown = min(self.visual.frames(latent_frames), frames)
    count = self.audio.latent_frames(shown / self.visual.frame_rate)
    return max(count, 1) if latent_frames else 0

  def layout(self, name: str) -> layout_lib.SequenceLayout:
    """Returns the layout of a name; raises LayoutError if it is not one."""
    size = clip_of(name)
    match = _LAYOUT_NAME.match(name)
    assert match is not None
    template = self.template(match['task'])
    options = dict(template.options)
    for item in filter(None, (match['options'] or '').split(',')):
      key, _, value = item.partition('=')
      if key not in options or not value.isdigit():
        hint = errors.near_names(key, options)
        raise errors.LayoutError(f'{name}: no option {item!r}{hint}.')
      options[key] = int(value)
    return _Builder(self, template, name, size, options).build()

  def layouts(
    self, names: Iterable[str]
  ) -> tuple[layout_lib.SequenceLayout, ...]:
    return tuple(self.layout(name) for name in names)

  def standard_names(self, frames: int, height: int, width: int) -> list[str]:
    """Names of every variant of every task at one clip size.

    Future prediction gets each condition from one latent frame to all but
    one; image-to-video comes with and without text, stylization with and
    without its first frame.
    """
    latents = self.visual.latent_frames(frames)
    names = []
    for template in self.templates:
      base = f'{template.name}/{template.frames or frames}x{height}x{width}'
      if template.name == 'future_prediction':
        names += [f'{base}/condition={k}' for k in range(1, latents)]
      elif template.name == 'image_to_video':
        names += [base, f'{base}/text=0']
      elif template.name == 'stylization':
        names += [base, f'{base}/image=1']
      else:
        names.append(base)
    return names


class _Builder:
  """Builds one layout: the order of tokens is written here and only here."""

  def __init__(
    self,
    space: LayoutSpace,
    template: TaskTemplate,
    name: str,
    size: tuple[int, ...],
    options: dict[str, int],
  ) -> None:
    self._space = space
    self._template = template
    self._name = name
    self._frames, self._height, self._width = size
    self._options = options
    self._segments: list[layout_lib.Segment] = []
    if template.frames not in (None, self._frames):
      raise errors.LayoutError(
        f'{name}: {template.name} has {template.frames} frame(s), so its '
        f'layout is {template.name}/{template.frames}x{self._height}x'
        f'{self._width}.'
      )
    self._latent = space.visual.latent_shape(*size)

  def _special(self, token: str, role: Role) -> None:
    taken = sum(s.token == token for s in self._segments)
    name = token.strip('<>') + (f'_{taken}' if taken else '')
    self._segments.append(
      layout_lib.Segment(name, Modality.SPECIAL, role, (1,), token=token)
    )

  def _bound(self, text: str, default: int) -> int:
    if not text:
      return default
    value = self._options.get(text)
    if value is None:
      if not text.isdigit():
        raise errors.LayoutError(
          f'task {self._template.name!r}: bound {text!r} is neither a number '
          f'nor one of its options {sorted(self._options)}.'
        )
      value = int(text)
    if value > self._latent[0]:
      raise errors.LayoutError(
        f"{self._name}: {text}={value} exceeds the clip's {self._latent[0]} "
        'latent frames.'
      )
    return value

  def _shape(
    self, modality: Modality, start: int, stop: int
  ) -> tuple[tuple[int, ...], int]:
    """Shape of a part and its first latent frame."""
    if modality is Modality.TEXT:
      return (self._space.text_slots,), 0
    if modality is Modality.VISUAL:
      return (stop - start, *self._latent[1:]), start
    first = self._space.audio_frames(start, self._frames)
    if stop == self._latent[0]:
      seconds = self._frames / self._space.visual.frame_rate
      last = self._space.audio.latent_frames(seconds)
    else:
      last = self._space.audio_frames(stop, self._frames)
    return (self._space.audio.levels, last - first), first

  def _ends(
    self, modality: Modality, shape: tuple[int, ...], first: int
  ) -> tuple[float, ...]:
    """Ends of the latent frames, in seconds; () for text."""
    space = self._space
    if modality is Modality.VISUAL:
      rate = space.visual.frame_rate
      stops = range(first + 1, first + shape[0] + 1)
      return tuple(space.visual.frames(stop) / rate for stop in stops)
    if modality is Modality.AUDIO:
      seconds = space.audio.hop / space.audio.sampling_rate
      return tuple((first + i + 1) * seconds for i in range(shape[1]))
    return ()

  def _part(self, part: str, role: Role) -> None:
    match = _PART.match(part)
    if not match:
      raise errors.LayoutError(
        f'task {self._template.name!r}: part {part!r} is not of the form '
        'feature, feature[start:stop] or modality:feature[start:stop].'
      )
    feature = match['feature']
    if self._options.get(feature) == 0:
      return
    try:
      modality = Modality(match['modality'] or FEATURES[feature])
    except (KeyError, ValueError):
      raise errors.LayoutError(
        f'task {self._template.name!r}: the modality of {part!r} is not '
        f'known; write visual:{feature} or audio:{feature}.'
      ) from None
    start = self._bound(match['start'] or '', 0)
    stop = self._bound(match['stop'] or '', self._latent[0])
    if stop == start == 0 and match['stop']:
      return  # `[:image]` with image=0 leaves the part out.
    shape, first = self._shape(modality, start, stop)
    letter = {Modality.TEXT: 't', Modality.VISUAL: 'v', Modality.AUDIO: 'a'}
    side = 'i' if role is Role.PREFIX else 'o'
    delimiter = f'{letter[modality]}_{side}'
    # The delimiter that opens the first target is the last token given: the
    # model begins after it.
    is_first_target = role is Role.TARGET and all(
      s.role is Role.PREFIX for s in self._segments
    )
    opening = Role.PREFIX if is_first_target else role
    self._special(f'<bo{delimiter}>', opening)
    self._segments.append(
      layout_lib.Segment(
        f'{feature}_{side}',
        modality,
        role,
        shape,
        feature,
        first,
        ends=self._ends(modality, shape, first),
        identity=self._space.features.index(feature),
      )
    )
    if role is Role.PREFIX or self._template.closed:
      self._special(f'<eo{delimiter}>', role)

  def _check_covered(self) -> None:
    """Checks that a target and its condition cover a whole feature.

    If a feature is predicted and partly given, every latent frame is given or
    predicted, once: a target may repeat what is given only by predicting the
    feature from its first latent frame to its last
    (`image_to_video/.../first=0`, a stylization's first frame).

    Raises:
      LayoutError: a latent frame is missing or there twice, or nothing is
        predicted.
    """
    filled = [s for s in self._segments if s.feature]
    if all(s.role is Role.PREFIX for s in filled):
      raise errors.LayoutError(
        f'{self._name}: the target of task {self._template.name!r} is left '
        'out, so nothing is predicted.'
      )
    for feature in dict.fromkeys(s.feature for s in filled):
      segments = [s for s in filled if s.feature == feature]
      given, predicted = (
        [
          range(s.start, s.start + s.shape[s.time_axis])
          for s in segments
          if s.role is role
        ]
        for role in (Role.PREFIX, Role.TARGET)
      )
      if not given or not predicted:
        continue
      shape, _ = self._shape(segments[0].modality, 0, self._latent[0])
      whole = shape[segments[0].time_axis]
      parts = given + predicted
      if predicted == [range(whole)]:
        parts = predicted
      for at in range(whole):
        times = sum(at in part for part in parts)
        if times != 1:
          what = 'more than once' if times else 'neither given nor predicted'
          raise errors.LayoutError(
            f'{self._name}: latent frame {at} of {feature} is {what}; the '
            f'prefix and the target of task {self._template.name!r} must make '
            f'up latent frames 0 to {whole - 1}, each once, or the target all '
            'of them.'
          )

  def build(self) -> layout_lib.SequenceLayout:
    self._special('<bos>', Role.PREFIX)
    self._special(f'<task:{self._template.task_token}>', Role.PREFIX)
    if self._frames in vocabulary_lib.DURATIONS:
      self._special(f'<duration:{self._frames}>', Role.PREFIX)
    if self._height != self._width:
      way = 'portrait' if self._height > self._width else 'landscape'
      self._special(f'<res:{way}>', Role.PREFIX)
    for part in self._template.prefix:
      self._part(part, Role.PREFIX)
    self._special('<source>', Role.PREFIX)
    for part in self._template.target:
      self._part(part, Role.TARGET)
    if self._template.closed:
      self._special('<eos>', Role.TARGET)
    self._check_covered()
    return layout_lib.SequenceLayout(
      self._name, tuple(self._segments), self._space.vocabulary
    )
