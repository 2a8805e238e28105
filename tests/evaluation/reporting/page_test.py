"""The report of an evaluation is one file with all of it."""

import dataclasses

import numpy as np

from tests.evaluation import compare_test
from tests.evaluation import tiny_protocol
from videopoet_jax.evaluation import compare
from videopoet_jax.evaluation.reporting import examples
from videopoet_jax.evaluation.reporting import page
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import held_out
from videopoet_jax.shapes import judges


def results(protocol, steps=(100, 200, 300)):
  """Made-up results of three checkpoints and two tasks."""
  found = []
  for step in steps:
    for number, task in enumerate(protocol.tasks):
      value = 0.2 + step / 1000 + 0.1 * number
      found.append(
        compare_test.result(
          value, value - 0.05, value + 0.05, task=task.name, step=step,
          model=f'm{step}', protocol=protocol.id,
        )
      )  # fmt: skip
  return found


def write(path):
  """Writes a page with everything on it."""
  protocol = tiny_protocol.make(
    tiny_protocol.task(name='text_to_video'),
    tiny_protocol.task(name='inpainting'),
    source='a paper <b>',
  )
  found = results(protocol)
  clips = held_out.draw(shapes_config.ShapesConfig(), 3)
  given = {
    'text_to_video': ('text',),
    'inpainting': ('inpainting_tokens',),
  }
  shown = {
    task: examples.examples(
      examples.Given(features, 0, 8.0, 16_000),
      clips,
      [
        {'generated': judges.Outputs(clips.video_BTHWC[row : row + 1])}
        for row in (1, 2, 0)
      ],
      (True, False, True),
    )
    for task, features in given.items()
  }
  before = [dataclasses.replace(found[-1], value=0.9), found[-2]]
  page.write(
    path,
    protocol=protocol,
    results=found,
    examples=shown,
    seconds={'generate': 100.0, 'measure': 20.0, 'write': 1.0, 'sum': 0.5},
    changes=compare.changes(before, found),
    rating='rating.html',
  )
  return protocol


def test_page_is_complete_and_self_contained(tmp_path):
  protocol = write(tmp_path / 'report.html')
  text = (tmp_path / 'report.html').read_text()
  assert 'src="http' not in text and 'href="http' not in text
  assert protocol.id in text and 'a paper &lt;b&gt;' in text
  assert text.count('class="flag"') == 1  # One metric is worse.
  assert 'step 300' in text and '0.6' in text and '0.55 – 0.65' in text
  assert 'data:image/svg+xml' in text  # Curves over the checkpoints.
  # Three of each task: generated and truth, and what was painted over.
  assert text.count('data:image/webp') == 3 * 2 + 3 * 3
  assert 'href="rating.html"' in text and '1.2 %' in text


def test_sounds_and_continuations_are_shown():
  clips = held_out.draw(shapes_config.ShapesConfig(), 1)
  given = examples.Given(('video_tokens', 'audio_tokens'), 1, 8.0, 16_000)
  outputs = judges.Outputs(clips.video_BTHWC, clips.audio_BT)
  (example,) = examples.examples(given, clips, [{'generated': outputs}])
  condition, generated, truth = example.signals
  assert len(condition.video_THWC) == 1 and len(condition.audio_T) == 2000
  assert generated.label == 'generated' and example.text == ''
  np.testing.assert_array_equal(truth.audio_T, clips.audio_BT[0])
