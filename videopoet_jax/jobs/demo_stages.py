"""The stages of the demo: from drawn clips to samples of every task."""

from collections.abc import Callable, Sequence
import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

from videopoet_jax.core import config as config_lib
from videopoet_jax.data.shapes import config as shapes_config
from videopoet_jax.evaluation import generation
from videopoet_jax.evaluation import held_out
from videopoet_jax.evaluation import measures
from videopoet_jax.evaluation import scoreboard
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.jobs import chain
from videopoet_jax.jobs import demo_profile
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers import text as text_lib
from videopoet_jax.tokenizers.magvit2 import bundle as visual_bundle
from videopoet_jax.tokenizers.soundstream import bundle as audio_bundle

SHAPES = 'data/shapes'
TOKENS = 'data/tokens'
VISUAL = 'visual_tokenizer'
AUDIO = 'audio_tokenizer'
TEXT = 'text'
SAMPLES = 'samples'
RECONSTRUCTIONS = f'{SAMPLES}/tokenizers.npz'
TOKENIZER_SCORES = 'tokenizers.json'
METRICS = 'metrics.json'
PASSED = f'{SAMPLES}/passed.npz'
_RUN_FILES = ('checkpoint.json', 'steps', 'metrics.jsonl')
_RUN_LEFTOVERS = ('tensorboard',)  # A run may do without it.


@dataclasses.dataclass(frozen=True)
class Demo:
  """One demo: its profile, its folder and its seed.

  Attributes:
    profile: sizes and run files.
    folder: of all results; a checkpoint folder once the model is trained.
    seed: of data order, parameters and samples.
    say: takes lines for the screen.
  """

  profile: demo_profile.DemoProfile
  folder: pathlib.Path
  seed: int = 0
  say: Callable[[str], None] = print

  @property
  def shapes(self) -> shapes_config.ShapesConfig:
    """What clips hold."""
    return self.profile.shapes

  @property
  def clip(self) -> tuple[int, int, int]:
    """Frames, height and width of the clips."""
    return self.shapes.frames, self.shapes.height, self.shapes.width

  def path(self, name: str) -> pathlib.Path:
    """A path below the folder."""
    return self.folder / name

  def clips(self, count: int) -> held_out.Clips:
    """The first held-out clips."""
    return held_out.draw(self.shapes, count)

  # Settings: what a stage's result depends on.

  def stages(self) -> tuple[chain.Stage, ...]:
    """The chain."""
    profile = self.profile

    def stage(
      name: str,
      title: str,
      run: Callable[[], None],
      settings: Any,
      needs: Sequence[str],
      outputs: Sequence[str],
      leftovers: Sequence[str] = (),
    ) -> chain.Stage:
      planned = float(profile.planned.get(name, 0.0))
      return chain.Stage(
        name, title, run, settings, tuple(needs), planned, tuple(outputs),
        tuple(leftovers),
      )  # fmt: skip

    clips = [profile.train, profile.validation, profile.samples]
    drawn = [dataclasses.asdict(profile.sampling_of(t)) for t in measures.TASKS]
    return (
      stage(
        'shapes', 'shapes in motion', self.draw_shapes,
        [dataclasses.asdict(self.shapes), clips], (), (SHAPES,),
      ),
      stage(
        'visual_tokenizer', 'visual tokenizer', self.train_visual,
        self._run_settings(profile.visual_tokenizer), ('shapes',), (VISUAL,),
      ),
      stage(
        'audio_tokenizer', 'audio tokenizer', self.train_audio,
        self._run_settings(profile.audio_tokenizer), ('shapes',), (AUDIO,),
      ),
      stage(
        'reconstructions', 'tokenizers on held-out clips', self.reconstruct,
        profile.samples, ('visual_tokenizer', 'audio_tokenizer'),
        (RECONSTRUCTIONS, TOKENIZER_SCORES),
      ),
      stage(
        'text_tokenizer', 'text tokenizer', self.train_text,
        profile.text_size, ('shapes',), (TEXT,),
      ),
      stage(
        'tokens', 'clips to tokens', self.tokenize,
        profile.condition_share, ('visual_tokenizer', 'audio_tokenizer'),
        (TOKENS,),
      ),
      stage(
        'prefix_lm', 'language model', self.train_prefix_lm,
        self._run_settings(profile.prefix_lm), ('tokens', 'text_tokenizer'),
        _RUN_FILES, _RUN_LEFTOVERS,
      ),
      stage(
        'samples', 'samples of every task', self.generate,
        [self.seed, profile.samples, profile.unconditional_samples, drawn,
         profile.scored],
        ('prefix_lm',), [f'{SAMPLES}/{t}.npz' for t in measures.TASKS],
      ),
      stage(
        'scores', 'oracle', self.score, None,
        ('samples', 'reconstructions'), (METRICS, PASSED),
      ),
    )  # fmt: skip

  def _run_settings(self, files: Sequence[str]) -> Any:
    # Without imports of what is configured, gin's own text of a file cannot
    # be had: the files' contents stand for it, includes and all.
    return [self.seed, {name: _content(name) for name in files}]

  # Stages.

  def draw_shapes(self) -> None:
    """Writes the media data set."""
    from videopoet_jax.data.shapes import builder

    config = builder.ShapesBuilderConfig(
      name='demo',
      shapes=self.shapes,
      train=self.profile.train,
      validation=self.profile.validation,
      test_held_out=self.profile.samples,
    )
    builder.build(str(self.path(SHAPES)), config)

  def media(self) -> str:
    """The folder of the media data set."""
    found = sorted(self.path(SHAPES).glob('**/dataset_info.json'))
    return str(found[-1].parent) if found else str(self.path(SHAPES))

  def train_visual(self) -> None:
    """Trains the visual tokenizer."""
    self._train(
      self.profile.visual_tokenizer,
      self.path(VISUAL),
      [f'MEDIA = {self.media()!r}', f'visual_tokenizer.seed = {self.seed}'],
    )

  def train_audio(self) -> None:
    """Trains the audio tokenizer."""
    self._train(
      self.profile.audio_tokenizer,
      self.path(AUDIO),
      [f'MEDIA = {self.media()!r}', f'audio_tokenizer.seed = {self.seed}'],
    )

  def train_prefix_lm(self) -> None:
    """Trains the language model into the demo's own folder."""
    bindings = {
      'TOKENS': self.path(TOKENS),
      'VISUAL': self.path(VISUAL),
      'AUDIO': self.path(AUDIO),
      'TEXT': self.path(TEXT) / text_lib.MODEL_FILE,
    }
    self._train(
      self.profile.prefix_lm,
      self.folder,
      [
        *(f'{name} = {str(path)!r}' for name, path in bindings.items()),
        f'prefix_lm.seed = {self.seed}',
      ],
    )

  def _train(
    self,
    files: Sequence[str],
    run_dir: pathlib.Path,
    bindings: Sequence[str],
  ) -> None:
    from videopoet_jax.jobs import train

    result = train.from_gin(
      files,
      run_dir,
      bindings=[*bindings, f'LoopConfig.seed = {self.seed}'],
      say=self.say,
    )
    if result.signal:
      # Saved and stopped on the user's wish: the chain stops too.
      raise KeyboardInterrupt

  def train_text(self) -> None:
    """Fits the text tokenizer to the captions of the training split."""
    captions = [
      held_out.caption_of(scene) for scene in _scenes(self.shapes, 4096)
    ]
    tokenizer = text_lib.train_sentencepiece(captions, self.profile.text_size)
    tokenizer.save(self.path(TEXT))

  def tokenize(self) -> None:
    """Encodes the training and validation clips."""
    from videopoet_jax.jobs import tokenize_media

    tokenize_media.tokenize(
      media=self.media(),
      visual_tokenizer=str(self.path(VISUAL)),
      audio_tokenizer=str(self.path(AUDIO)),
      splits=('train', 'validation'),
      condition_share=self.profile.condition_share,
      output=str(self.path(TOKENS)),
      overwrite=True,
    )

  def reconstruct(self) -> None:
    """Encodes and decodes held-out clips, and scores what is left."""
    clips = self.clips(self.profile.samples)
    visual = interface.load(self.path(VISUAL), 'visual_tokenizer')
    audio = interface.load(self.path(AUDIO), 'audio_tokenizer')
    ids = visual.encode(clips.video_BTHWC)
    video_BTHWC = visual_bundle.to_pixels(visual.decode(ids))
    audio_BT = audio_bundle.to_samples(
      audio.decode(audio.encode(clips.audio_BT))
    )
    scores = scoreboard.tokenizer_scores(
      clips, video_BTHWC, audio_BT, ids, visual.spec.codebook_size
    )
    self.say(
      f'held-out reconstructions: {scores["psnr_db"]:.1f} dB, the oracle keeps '
      f'{scores["oracle_kept"]:.1%} of the videos and '
      f'{scores["sound_kept"]:.1%} of the sounds; '
      f'{scores["codebook_usage"]:.0%} of the codes in use'
    )
    _save(
      self.path(RECONSTRUCTIONS), video=video_BTHWC[:16], audio=audio_BT[:16]
    )
    self.path(TOKENIZER_SCORES).write_text(json.dumps(scores, indent=2))

  def generate(self) -> None:
    """Samples every task, one file each; finished ones are kept."""
    profile = self.profile
    generator = generator_lib.Generator.load(self.folder)
    most = max(profile.samples, profile.unconditional_samples)
    conditions = generation.Conditions(generator, self.clips(most))
    for number, task in enumerate(measures.TASKS):
      path = self.path(f'{SAMPLES}/{task}.npz')
      if path.exists():
        continue
      layout = generator.space.layout(profile.layout_name(task, self.clip))
      count = profile.count(task)
      self.say(f'  {layout.name}: {count} samples')
      outputs = generation.sample(
        generator,
        layout,
        conditions,
        np.arange(count),
        config=profile.sampling_of(task),
        batch_size=min(profile.batch_size, count),
        seed=self.seed * len(measures.TASKS) + number,
      )
      _save(path, video=outputs.video_BTHWC, audio=outputs.audio_BT)

  def outputs(self, task: str) -> measures.Outputs:
    """What was generated for a task."""
    with np.load(self.path(f'{SAMPLES}/{task}.npz')) as arrays:
      return measures.Outputs(
        arrays['video'] if 'video' in arrays else None,
        arrays['audio'] if 'audio' in arrays else None,
      )

  def score(self) -> None:
    """Has the oracle judge all samples; times are added when all is done."""
    profile = self.profile
    generator = generator_lib.Generator.load(self.folder)
    most = max(profile.samples, profile.unconditional_samples)
    clips = self.clips(most)
    rows: dict[str, Any] = {}
    passed: dict[str, np.ndarray] = {}
    for task in measures.TASKS:
      layout = generator.space.layout(profile.layout_name(task, self.clip))
      rows[task], passed[task] = scoreboard.score(
        task,
        self.outputs(task),
        clips.take(np.arange(profile.count(task))),
        generation.condition_frames(layout, generator.space),
      )
      rows[task]['layout'] = layout.name
    _save(self.path(PASSED), **passed)
    metrics = {
      'tasks': rows,
      'tokenizer': json.loads(self.path(TOKENIZER_SCORES).read_text()),
      'agd': self._agd(generator, clips.captions),
    }
    self.path(METRICS).write_text(json.dumps(metrics, indent=2))

  def _agd(
    self, generator: generator_lib.Generator, captions: Sequence[str]
  ) -> dict[str, Any]:
    """What the batches of the run padded, by how often each layout came."""
    import gin

    from videopoet_jax.data import agd
    from videopoet_jax.jobs import train  # Registers what the files bind.

    del train
    config_lib.parse(
      self.profile.prefix_lm,
      [f"{name} = ''" for name in ('TOKENS', 'VISUAL', 'AUDIO', 'TEXT')],
    )
    tokens_per_batch = gin.query_parameter('prefix_lm.tokens_per_batch')
    counts = _batch_counts(self.folder)
    layouts = generator.space.layouts(generator.layout_names)
    slots = generator.space.text_slots
    text_BS = generator.tokenizers.text.encode(captions, slots)
    report = agd.agd_report(
      layouts,
      [max(counts.get(layout.name, 0), 0) for layout in layouts],
      tokens_per_batch=tokens_per_batch,
      text_lengths=(text_BS != text_lib.PAD_ID).sum(1).tolist(),
    )
    return {
      **report,
      'groups': _groups(layouts, tokens_per_batch),
      'batches': counts,
    }


def _groups(layouts: Sequence[Any], tokens_per_batch: int) -> list[Any]:
  from videopoet_jax.core import layout as layout_lib

  return [
    {
      'length': length,
      'examples': layout_lib.examples_per_batch(group[0], tokens_per_batch),
      'layouts': [layout.name for layout in group],
    }
    for length, group in layout_lib.groups(layouts).items()
  ]


def _batch_counts(folder: pathlib.Path) -> dict[str, int]:
  """Batches of each layout that the run trained on, from its checkpoint."""
  from videopoet_jax.checkpoints import manager

  last = manager.complete_steps(folder)[-1]
  step = folder / manager.STEPS_FOLDER / str(last) / manager.COUNTERS
  (found,) = [p for p in step.rglob('*') if p.name == 'metadata']
  return json.loads(found.read_text())['batches']


def _scenes(config: shapes_config.ShapesConfig, count: int) -> Any:
  from videopoet_jax.data.shapes import scene

  return (scene.sample(config, 'train', index) for index in range(count))


def _content(name: str) -> str:
  """A gin file's text, its includes in place."""
  from videopoet_jax.core import paths

  lines = []
  for line in paths.resolve(name).read_text().splitlines():
    if line.startswith('include '):
      lines.append(_content(line.split(None, 1)[1].strip('\'" ')))
    elif line.strip() and not line.startswith('#'):
      lines.append(line)
  return '\n'.join(lines)


def _save(path: pathlib.Path, **arrays: np.ndarray | None) -> None:
  """Writes arrays whole or not at all; None is left out."""
  path.parent.mkdir(parents=True, exist_ok=True)
  partial = path.with_name(path.name + '.partial')
  with partial.open('wb') as file:
    np.savez_compressed(
      file, **{k: v for k, v in arrays.items() if v is not None}
    )
  partial.replace(path)
