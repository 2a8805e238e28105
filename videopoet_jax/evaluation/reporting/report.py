"""The report: one self-contained page with everything that a run can show."""

from collections.abc import Mapping, Sequence
import dataclasses
import os
import pathlib
from typing import Any

import jinja2
import matplotlib.figure
import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import progress
from videopoet_jax.core import storage
from videopoet_jax.media import data_uris as media

_TEMPLATE = 'report.html.jinja'
_COLOURS = ('#2563a8', '#c2571a', '#3c8d5a', '#8a4fa3')
# Description of each row for readers.
TITLES = {
  'unconditional': 'Unconditional video',
  'text_to_video': 'Text to video',
  'text_to_image': 'Text to image',
  'future_prediction': 'Future prediction',
  'image_to_video': 'Image and text to video',
  'inpainting': 'Inpainting',
  'outpainting': 'Outpainting',
  'stylization': 'Stylization: text, flow and depth to video',
  'audio_to_video': 'Audio to video',
  'video_to_audio': 'Video to audio',
  'audio_video_continuation': 'Audio and video continuation',
}


@dataclasses.dataclass(frozen=True)
class Signal:
  """A clip, a picture or a sound to be shown.

  Attributes:
    label: label such as 'condition', 'generated' or 'truth'.
    video_THWC: uint8 frames, one for a picture; None for a sound alone.
    audio_T: int16 samples; None without sound.
  """

  label: str
  video_THWC: np.ndarray | None = None
  audio_T: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Example:
  """One sample of a task.

  Attributes:
    signals: signals that are shown side by side.
    text: caption, or empty where the task has none.
    passed: whether the oracle finds it right; None if it was not judged.
  """

  signals: tuple[Signal, ...]
  text: str = ''
  passed: bool | None = None


@dataclasses.dataclass(frozen=True)
class Curve:
  """A line in a plot of training.

  Attributes:
    label: name in the legend.
    steps: steps of the points.
    values: values of the points.
  """

  label: str
  steps: Sequence[float]
  values: Sequence[float]


@dataclasses.dataclass(frozen=True)
class Plot:
  """One plot of training curves.

  Attributes:
    title: above the plot.
    unit: unit of the values, on the vertical axis.
    curves: the lines.
  """

  title: str
  unit: str
  curves: tuple[Curve, ...]


def write(
  path: str | os.PathLike[str],
  metrics: Mapping[str, Any],
  examples: Mapping[str, Sequence[Example]],
  reconstructions: Sequence[Example] = (),
  plots: Sequence[Plot] = (),
  frame_rate: float = 8,
  sampling_rate: int = 16_000,
) -> None:
  """Writes the report.

  Args:
    path: path of the HTML file.
    metrics: the scoreboard, as in `metrics.json`.
    examples: examples by task; a task without any is shown with its score only.
    reconstructions: pairs of originals and the tokenizers' reconstructions.
    plots: training curves.
    frame_rate: frame rate of all clips.
    sampling_rate: sampling rate of all sounds.

  Raises:
    DataError: the file cannot be written.
  """

  def shown(example: Example) -> dict[str, Any]:
    return example_values(example, frame_rate, sampling_rate)

  render(
    path,
    _TEMPLATE,
    metrics=metrics,
    titles=TITLES,
    examples={
      task: [shown(example) for example in some]
      for task, some in examples.items()
    },
    reconstructions=[shown(example) for example in reconstructions],
    plots=[plot_values(plot) for plot in plots],
  )


def render(path: str | os.PathLike[str], template: str, **values: Any) -> None:
  """Writes a page of one of the templates beside this file.

  Args:
    path: path of the HTML file.
    template: name of the template.
    **values: values that the template uses.

  Raises:
    DataError: the file cannot be written.
  """
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
  )
  environment.filters['duration'] = progress.duration
  environment.filters['percent'] = lambda share: f'{100 * share:.1f} %'
  page = environment.get_template(template).render(**values)
  try:
    storage.path(path).write_text(page, encoding='utf-8')
  except OSError as error:
    raise errors.DataError(
      f'cannot write the report {path}: {error.strerror}; give a folder that '
      'can be written.'
    ) from error


def example_values(
  example: Example, frame_rate: float, sampling_rate: int
) -> dict[str, Any]:
  """Values of an example for the templates: texts and data URIs."""
  signals = []
  for signal in example.signals:
    shown: dict[str, Any] = {'label': signal.label}
    if signal.video_THWC is not None:
      shown['video'] = media.animation(signal.video_THWC, frame_rate)
    if signal.audio_T is not None:
      shown['sound'] = media.sound(signal.audio_T, sampling_rate)
      shown['spectrogram'] = media.spectrogram(signal.audio_T, sampling_rate)
    signals.append(shown)
  return {'signals': signals, 'text': example.text, 'passed': example.passed}


def plot_values(plot: Plot) -> dict[str, str]:
  """Values of a plot for the templates: its title and picture."""
  figure = matplotlib.figure.Figure(figsize=(4.6, 2.9))
  axes = figure.add_subplot()
  for index, curve in enumerate(plot.curves):
    axes.plot(
      curve.steps,
      curve.values,
      label=curve.label,
      color=_COLOURS[index % len(_COLOURS)],
      linestyle='-' if index < len(_COLOURS) else '--',
      linewidth=1.4,
    )
  axes.set_xlabel('step')
  axes.set_ylabel(plot.unit)
  axes.grid(alpha=0.25, linewidth=0.6)
  axes.spines[['top', 'right']].set_visible(False)
  if len(plot.curves) > 1:
    axes.legend(fontsize=7, frameon=False, ncols=2)
  return {'title': plot.title, 'picture': media.figure(figure)}
