"""Metric functions over the target ids of a layout."""

import numpy as np
import pytest

from videopoet_jax.data import token_metrics


@pytest.fixture
def layout(space):
  """Two latent frames of video, then their sound, each between delimiters."""
  return space.layout('audio_video_continuation/9x16x16')


def _targets(layout, number=3):
  draw = np.random.default_rng(0)
  return [
    np.concatenate(
      [
        draw.integers(run.range.start, run.range.stop, run.stop - run.start)
        for run in layout.target_runs
      ]
    )
    for _ in range(number)
  ]


def test_accuracy_is_by_modality_and_without_delimiters(layout):
  accuracy, _ = token_metrics.metric_fns(layout)
  targets = _targets(layout)
  assert accuracy(targets, targets) == {
    'token_accuracy': 1.0,
    'token_accuracy/visual': 1.0,
    'token_accuracy/audio': 1.0,
  }
  first = layout.prefix_length
  video, sound = (
    layout.slices[name] for name in ('video_tokens_o', 'audio_tokens_o')
  )
  wrong = [ids.copy() for ids in targets]
  for ids in wrong:
    ids[sound.start - first : sound.stop - first] += 1
    ids[-1] = 0  # A delimiter.
  sizes = video.stop - video.start, sound.stop - sound.start
  assert accuracy(targets, wrong) == {
    'token_accuracy': pytest.approx(sizes[0] / sum(sizes)),
    'token_accuracy/visual': 1.0,
    'token_accuracy/audio': 0.0,
  }


def test_predictions_of_any_length(layout):
  accuracy, _ = token_metrics.metric_fns(layout)
  targets = _targets(layout)
  longer = [np.append(ids, [5, 5]) for ids in targets]
  assert accuracy(targets, longer)['token_accuracy'] == 1.0
  assert accuracy(targets, [[], targets[1], []])[
    'token_accuracy'
  ] == pytest.approx(1 / 3)
  # Targets that the caller's lengths cut off.
  cut = [ids[:4] for ids in targets]
  assert accuracy(cut, targets)['token_accuracy'] == 1.0


def test_scores_of_sequences_and_of_single_ids(layout):
  _, likelihood = token_metrics.metric_fns(layout)
  targets = _targets(layout)
  length = layout.target_length
  summed = likelihood(targets, [-float(length)] * 3)
  assert summed == {
    'log_likelihood': -length,
    'perplexity': pytest.approx(np.e),
  }
  assert likelihood(targets, ([-float(length)] * 3, {'more': 1})) == summed
  single = np.full((3, length), -1.0)
  sound = layout.slices['audio_tokens_o']
  first = layout.prefix_length
  single[:, sound.start - first : sound.stop - first] = -2.0
  found = likelihood(targets, single)
  assert found['perplexity/audio'] == pytest.approx(np.exp(2))
  assert found['perplexity/visual'] == pytest.approx(np.e)
  assert found['log_likelihood'] == pytest.approx(single.sum(1).mean())
