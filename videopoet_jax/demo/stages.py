"""The stages of the demo, from drawn clips to a scoreboard, on the Python API.

Each stage is a method of `Demo` that reads what the stages before it wrote
below the demo's folder, and writes its own result there.
"""

from collections.abc import Callable, Sequence
import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

import videopoet_jax as vp
from videopoet_jax.core import paths
from videopoet_jax.demo import chain
from videopoet_jax.demo import padding
from videopoet_jax.demo import profile as profile_lib
from videopoet_jax.evaluation import protocol as protocol_lib
from videopoet_jax.experiments import evaluate
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import held_out
from videopoet_jax.shapes import scene
from videopoet_jax.shapes import scoreboard
from videopoet_jax.tokenizers import text as text_lib
from videopoet_jax.tokenizers.magvit2 import bundle as visual_bundle
from videopoet_jax.tokenizers.soundstream import bundle as audio_bundle

SHAPES = 'data/shapes'
TOKENS = 'data/tokens'
VISUAL = 'visual_tokenizer'
AUDIO = 'audio_tokenizer'
TEXT = 'text'
RECONSTRUCTIONS = 'reconstructions.npz'
TOKENIZER_SCORES = 'tokenizers.json'
SCORES = 'scores'
METRICS = 'metrics.json'
_RUN_FILES = ('checkpoint.json', 'steps', 'metrics.jsonl')
_RUN_LEFTOVERS = ('tensorboard',)  # A run may do without it.
_CAPTIONS = 4096  # Enough for the text tokenizer to see every word.
_SHOWN_RECONSTRUCTIONS = 16


@dataclasses.dataclass(frozen=True)
class Demo:
  """One demo: its profile, its folder and its seed.

  Attributes:
    profile: sizes and run files.
    folder: folder of all results; a checkpoint once the model is trained.
    seed: seed of data order, parameters and samples.
    log: takes lines of progress.
  """

  profile: profile_lib.DemoProfile
  folder: pathlib.Path
  seed: int = 0
  log: Callable[[str], None] = lambda line: None

  @property
  def shapes(self) -> shapes_config.ShapesConfig:
    """What clips hold."""
    return self.profile.shapes

  @property
  def protocol(self) -> protocol_lib.Protocol:
    """How the model is scored."""
    return evaluate.load_protocol(
      self.profile.protocol, [f'Protocol.seed = {self.seed}']
    )

  def path(self, name: str) -> pathlib.Path:
    """A path below the folder."""
    return self.folder / name

  def clips(self, count: int) -> held_out.Clips:
    """The first held-out clips."""
    return held_out.draw(self.shapes, count)

  def stages(self) -> tuple[chain.Stage, ...]:
    """The chain; a stage is done again when its settings change."""
    profile = self.profile
    shapes = dataclasses.asdict(self.shapes)
    sizes = [profile.train, profile.validation]
    chained = (
      chain.Stage(
        'shapes', 'shapes in motion', self.draw_shapes, [shapes, sizes],
        outputs=(SHAPES,),
      ),
      chain.Stage(
        'visual_tokenizer', 'visual tokenizer', self.train_visual,
        self._run_settings(profile.visual_tokenizer), ('shapes',),
        outputs=(VISUAL,),
      ),
      chain.Stage(
        'audio_tokenizer', 'audio tokenizer', self.train_audio,
        self._run_settings(profile.audio_tokenizer), ('shapes',),
        outputs=(AUDIO,),
      ),
      chain.Stage(
        'reconstructions', 'tokenizers on held-out clips', self.reconstruct,
        profile.reconstructed, ('visual_tokenizer', 'audio_tokenizer'),
        outputs=(RECONSTRUCTIONS, TOKENIZER_SCORES),
      ),
      chain.Stage(
        'text_tokenizer', 'text tokenizer', self.train_text,
        profile.text_size, ('shapes',), outputs=(TEXT,),
      ),
      chain.Stage(
        'tokens', 'clips to tokens', self.tokenize, profile.condition_share,
        ('visual_tokenizer', 'audio_tokenizer'), outputs=(TOKENS,),
      ),
      chain.Stage(
        'prefix_lm', 'language model', self.train_prefix_lm,
        self._run_settings(profile.prefix_lm), ('tokens', 'text_tokenizer'),
        outputs=_RUN_FILES, leftovers=_RUN_LEFTOVERS,
      ),
      chain.Stage(
        'scores', 'samples and oracle', self.score, self.protocol.id,
        ('prefix_lm', 'reconstructions'), outputs=(METRICS,),
        leftovers=(SCORES,),
      ),
    )  # fmt: skip
    return tuple(
      dataclasses.replace(stage, planned=float(profile.planned[stage.name]))
      if stage.name in profile.planned
      else stage
      for stage in chained
    )

  def _run_settings(self, files: Sequence[str]) -> Any:
    # Without imports of what is configured, gin's own text of a file cannot
    # be had: the files' contents stand for it, includes and all.
    return [self.seed, {name: _content(name) for name in files}]

  # Stages.

  def draw_shapes(self) -> None:
    """Draws the media data set."""
    sizes = {
      'train': self.profile.train,
      'validation': self.profile.validation,
    }
    vp.draw_shapes(self.path(SHAPES), self.shapes, sizes)

  def train_visual(self) -> None:
    """Trains the visual tokenizer."""
    media = str(self.path(SHAPES))
    self._train(self.profile.visual_tokenizer, VISUAL, MEDIA=media)

  def train_audio(self) -> None:
    """Trains the audio tokenizer."""
    media = str(self.path(SHAPES))
    self._train(self.profile.audio_tokenizer, AUDIO, MEDIA=media)

  def train_prefix_lm(self) -> None:
    """Trains the language model into the demo's own folder."""
    self._train(
      self.profile.prefix_lm,
      '.',
      TOKENS=str(self.path(TOKENS)),
      VISUAL=str(self.path(VISUAL)),
      AUDIO=str(self.path(AUDIO)),
      TEXT=str(self.path(TEXT) / text_lib.MODEL_FILE),
    )

  def _train(self, files: Sequence[str], folder: str, **macros: str) -> None:
    factory = 'prefix_lm' if folder == '.' else folder
    seeds = [f'{name}.seed = {self.seed}' for name in (factory, 'LoopConfig')]
    experiment = vp.experiment(files, seeds, **macros)
    result = vp.train(experiment, self.path(folder), log=self.log)
    if result.signal:
      # Saved and stopped on the user's wish: the chain stops too.
      raise KeyboardInterrupt

  def train_text(self) -> None:
    """Fits the text tokenizer to captions of the training split."""
    captions = [
      held_out.caption_of(scene.sample(self.shapes, 'train', index))
      for index in range(_CAPTIONS)
    ]
    tokenizer = text_lib.train_sentencepiece(captions, self.profile.text_size)
    tokenizer.save(self.path(TEXT))

  def tokenize(self) -> None:
    """Encodes the training and validation clips."""
    vp.tokenize(
      self.path(SHAPES),
      self.path(VISUAL),
      self.path(TOKENS),
      audio_tokenizer=self.path(AUDIO),
      condition_share=self.profile.condition_share,
      overwrite=True,
    )

  def reconstruct(self) -> None:
    """Encodes and decodes held-out clips, and scores what is kept."""
    clips = self.clips(self.profile.reconstructed)
    visual = vp.load_tokenizer(self.path(VISUAL))
    audio = vp.load_tokenizer(self.path(AUDIO))
    ids = visual.encode(clips.video_BTHWC)
    video_BTHWC = visual_bundle.to_pixels(visual.decode(ids))
    audio_BT = audio_bundle.to_samples(
      audio.decode(audio.encode(clips.audio_BT))
    )
    scores = scoreboard.tokenizer_scores(
      clips, video_BTHWC, audio_BT, ids, visual.spec.codebook_size
    )
    self.log(
      f'held-out reconstructions: {scores["psnr_db"]:.1f} dB, the oracle keeps '
      f'{scores["oracle_kept"]:.1%} of the videos and '
      f'{scores["sound_kept"]:.1%} of the sounds; '
      f'{scores["codebook_usage"]:.0%} of the codes in use'
    )
    np.savez_compressed(
      self.path(RECONSTRUCTIONS),
      video=video_BTHWC[:_SHOWN_RECONSTRUCTIONS],
      audio=audio_BT[:_SHOWN_RECONSTRUCTIONS],
    )
    self.path(TOKENIZER_SCORES).write_text(json.dumps(scores, indent=2))

  def score(self) -> None:
    """Evaluates the model by the protocol, and writes the scoreboard."""
    outcome = vp.evaluate(
      self.folder,
      self.protocol,
      self.path(SCORES),
      batch_size=self.profile.batch_size,
      keep_samples=self.profile.examples,
      log=self.log,
    )
    metrics = {
      'tasks': {result.task: result.detail for result in outcome.results},
      'tokenizer': json.loads(self.path(TOKENIZER_SCORES).read_text()),
      'agd': padding.report(self.folder, self.clips(self.profile.reconstructed)),
    }
    self.path(METRICS).write_text(json.dumps(metrics, indent=2))


def _content(name: str) -> str:
  """A gin file's text, its includes in place."""
  lines = []
  for line in paths.resolve(name).read_text().splitlines():
    if line.startswith('include '):
      lines.append(_content(line.split(None, 1)[1].strip('\'" ')))
    elif line.strip() and not line.startswith('#'):
      lines.append(line)
  return '\n'.join(lines)
