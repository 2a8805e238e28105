"""The report of a demo: samples, reconstructions and training curves."""

import os
from typing import Any

import numpy as np

from videopoet_jax.shapes import judges
from videopoet_jax.evaluation.reporting import overview
from videopoet_jax.evaluation.reporting import pages
from videopoet_jax.evaluation.reporting import report
from videopoet_jax.demo import stages
from videopoet_jax.training import metrics as metrics_lib

# Sound takes most of the page: fewer examples of it.
_SOUND_EXAMPLES = 4
_WITH_SOUND = ('video_to_audio', 'audio_video_continuation')
_MAX_POINTS = 300


class Report:
  """Examples and curves of a finished demo."""

  def __init__(self, run: stages.Demo) -> None:
    """Gathers them.

    Args:
      run: the demo; its stages are all done.
    """
    self._run = run
    self._examples = self._kept()
    self._reconstructions = self._tokenizers()
    self._plots = self._training()

  def write(
    self, path: str | os.PathLike[str], metrics: dict[str, Any]
  ) -> None:
    """Writes the page."""
    report.write(
      path,
      metrics,
      self._examples,
      self._reconstructions,
      self._plots,
      self._run.shapes.frame_rate,
      self._run.shapes.sampling_rate,
    )

  def write_overview(self, path: str | os.PathLike[str]) -> None:
    """Writes the moving picture of every task."""
    overview.write(path, self._examples, self._run.shapes.frame_rate)

  def _kept(self) -> dict[str, list[report.Example]]:
    """Samples of each task that the evaluation kept."""
    found = {}
    checkpoint = pages.evaluated(self._run.path(stages.SCORES))[-1].folder
    for task in self._run.protocol.tasks:
      given = pages.given_of(checkpoint, task, {})
      wanted = self._run.profile.examples
      if task.name in _WITH_SOUND or 'audio_tokens' in given.features:
        wanted = min(wanted, _SOUND_EXAMPLES)
      found[task.name] = pages.kept_examples(checkpoint, task, {}, wanted)
    return found

  def _tokenizers(self) -> list[report.Example]:
    with np.load(self._run.path(stages.RECONSTRUCTIONS)) as arrays:
      video_BTHWC, audio_BT = arrays['video'], arrays['audio']
    clips = self._run.clips(len(video_BTHWC))
    examples = []
    for index in range(min(self._run.profile.examples, len(video_BTHWC))):
      with_sound = index < 3
      examples.append(
        report.Example(
          (
            report.Signal(
              'original',
              clips.video_BTHWC[index],
              clips.audio_BT[index] if with_sound else None,
            ),
            report.Signal(
              'reconstruction',
              video_BTHWC[index],
              audio_BT[index] if with_sound else None,
            ),
          )
        )
      )
    return examples

  def _training(self) -> list[report.Plot]:
    run, plots = self._run, []
    for title, folder in (
      ('Visual tokenizer', run.path(stages.VISUAL)),
      ('Audio tokenizer', run.path(stages.AUDIO)),
      ('Language model', run.folder),
    ):
      records = metrics_lib.read(folder / metrics_lib.FILE_NAME)
      curves = [
        _curve('training', records, 'loss'),
        _curve('validation', records, 'validation/loss'),
      ]
      plots.append(
        report.Plot(title, 'loss', tuple(c for c in curves if c.steps))
      )
      if folder == run.path(stages.VISUAL):
        quality = _curve('validation', records, 'validation/psnr')
        if quality.steps:
          plots.append(report.Plot('Visual tokenizer', 'PSNR, dB', (quality,)))
    records = metrics_lib.read(run.path(metrics_lib.FILE_NAME))
    by_task = [
      _curve(task, records, f'validation/loss/{task}')
      for task in judges.TASKS
    ]
    plots.append(
      report.Plot(
        'Language model, validation by task',
        'nats a token',
        tuple(c for c in by_task if c.steps),
      )
    )
    return [plot for plot in plots if plot.curves]


def _curve(label: str, records: list[Any], name: str) -> report.Curve:
  points = [(r['step'], r[name]) for r in records if r.get(name) is not None]
  stride = max(1, len(points) // _MAX_POINTS)
  points = points[::stride]
  return report.Curve(label, [p[0] for p in points], [p[1] for p in points])
