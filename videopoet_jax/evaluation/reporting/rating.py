"""Blind rating of two models' samples by people, and a summary of the votes.

The page shows one pair after the other, the sides drawn at random, and asks the
five questions of VideoPoet's human evaluation (section 5.4). It identifies the
pairs by number only; which side belongs to which model is stored in the key, a
separate file.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import json
import os
from typing import Any

import numpy as np
import scipy.stats

from videopoet_jax.core import errors
from videopoet_jax.core import permutation
from videopoet_jax.core import storage
from videopoet_jax.evaluation.reporting import report

QUESTIONS: Mapping[str, str] = {
  'text_fidelity': 'Which clip follows the text more faithfully?',
  'video_quality': 'Which clip has the better quality?',
  'motion_interestingness': 'Whose motion is more interesting?',
  'motion_realism': 'Whose motion is more realistic?',
  'temporal_consistency': 'Which clip is more consistent over time?',
}
CHOICES = ('left', 'none', 'right')
TEXT_QUESTION = 'text_fidelity'  # Asked only if there is a text.
_TEMPLATE = 'rating.html.jinja'


@dataclasses.dataclass(frozen=True)
class Pair:
  """Two samples of one condition.

  Attributes:
    task: task of the protocol.
    number: number of the sample.
    condition: conditions of both besides text.
    a: sample of the one model.
    b: sample of the other model.
    text: text of both; '' for none.
  """

  task: str
  number: int
  condition: tuple[report.Signal, ...]
  a: report.Signal
  b: report.Signal
  text: str = ''


def key_of(name_a: str, name_b: str, pairs: Sequence[Pair]) -> dict[str, Any]:
  """Returns the side of each model in each pair, from names and pairs.

  Args:
    name_a: name of the one model.
    name_b: name of the other model.
    pairs: pairs in any order.

  Returns:
    JSON: `rating` (an id), `a`, `b`, and `pairs` in the order shown, each with
    `task`, `number` and `left`, 'a' or 'b'.
  """
  names = [f'{pair.task}/{pair.number}' for pair in pairs]
  fold = permutation.fold(name_a, name_b, *names)
  order = permutation.permute(np.arange(len(pairs)), len(pairs), fold)
  sides = permutation.uniform(permutation.fold(fold, 'side'), order)
  return {
    'rating': f'{fold:016x}',
    'a': name_a,
    'b': name_b,
    'pairs': [
      {
        'task': pairs[place].task,
        'number': pairs[place].number,
        'left': 'a' if side < 0.5 else 'b',
      }
      for place, side in zip(order, sides, strict=True)
    ],
  }


def write(
  path: str | os.PathLike[str],
  key: Mapping[str, Any],
  pairs: Sequence[Pair],
  frame_rate: float,
  sampling_rate: int,
  height: int = 256,
) -> None:
  """Writes the page.

  Args:
    path: path of the HTML file.
    key: result of `key_of` for the same pairs.
    pairs: pairs in any order.
    frame_rate: frames a second.
    sampling_rate: samples of sound a second.
    height: height of the clips on the page, in pixels.

  Raises:
    DataError: it cannot be written.
  """
  by_name = {(pair.task, pair.number): pair for pair in pairs}
  shown = []
  for entry in key['pairs']:
    pair = by_name[entry['task'], entry['number']]
    sides = (pair.a, pair.b) if entry['left'] == 'a' else (pair.b, pair.a)
    signals = [
      dataclasses.replace(signal, label=label)
      for label, signal in zip(('left', 'right'), sides, strict=True)
    ]
    example = report.Example((*pair.condition, *signals), pair.text)
    values = report.example_values(example, frame_rate, sampling_rate)
    *given, left, right = values['signals']
    questions = [q for q in QUESTIONS if pair.text or q != TEXT_QUESTION]
    shown.append(
      {'text': pair.text, 'given': given, 'left': left, 'right': right,
       'questions': questions}
    )  # fmt: skip
  # The page contains what is shown, and nothing that identifies the models.
  data = {'rating': key['rating'], 'questions': dict(QUESTIONS), 'pairs': shown}
  report.render(
    path, _TEMPLATE, data=data, height=height, count=len(shown),
  )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Vote:
  """One answer.

  Attributes:
    rating: id of the page.
    rater: name of the rater; '' if anonymous.
    pair: its place on the page.
    question: one of `QUESTIONS`.
    choice: one of `CHOICES`.
  """

  rating: str
  rater: str
  pair: int
  question: str
  choice: str


def read_votes(path: str | os.PathLike[str]) -> list[Vote]:
  """Reads the votes in a file that the page saved.

  Raises:
    DataError: it is not such a file.
  """
  try:
    saved = json.loads(storage.path(path).read_text(encoding='utf-8'))
    votes = [
      Vote(
        str(saved['rating']),
        str(saved.get('rater', '')),
        int(vote['pair']),
        str(vote['question']),
        str(vote['choice']),
      )
      for vote in saved['votes']
    ]
    wrong = [
      v for v in votes if v.question not in QUESTIONS or v.choice not in CHOICES
    ]
    if wrong:
      raise ValueError(f'{wrong[0].question}: {wrong[0].choice}')
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise errors.DataError(
      f'{path} holds no votes ({error}); give the JSON file that the page '
      'rating.html saved.'
    ) from error
  return votes


def preferences(
  key: Mapping[str, Any], votes: Sequence[Vote]
) -> dict[str, dict[str, Any]]:
  """Summarizes the votes by question.

  Answers of several raters to one pair are not independent: the interval is
  Wilson's with as many samples as there are pairs that somebody decided.

  Args:
    key: key of the page.
    votes: votes of all raters; of a rater's answers to one question of one pair
      the last counts.

  Returns:
    For each question with answers: `a`, `none`, `b` (numbers of votes), and
    `share_a` (of the decided votes), `low`, `high`, `pairs`.

  Raises:
    DataError: votes belong to another page.
  """
  last: dict[tuple[str, int, str], str] = {}
  for vote in votes:
    if vote.rating != key['rating'] or not 0 <= vote.pair < len(key['pairs']):
      raise errors.DataError(
        f'a vote is of page {vote.rating}, pair {vote.pair}; the key is of '
        f'page {key["rating"]} with {len(key["pairs"])} pairs.'
      )
    last[vote.rater, vote.pair, vote.question] = vote.choice
  found: dict[str, dict[str, Any]] = {}
  for question in QUESTIONS:
    counts = {'a': 0, 'none': 0, 'b': 0}
    decided: set[int] = set()
    for (_, pair, asked), choice in last.items():
      if asked != question:
        continue
      if choice == 'none':
        counts['none'] += 1
        continue
      is_left_a = key['pairs'][pair]['left'] == 'a'
      counts['a' if (choice == 'left') == is_left_a else 'b'] += 1
      decided.add(pair)
    if not any(counts.values()):
      continue
    row: dict[str, Any] = {**counts, 'pairs': len(decided)}
    row |= {'share_a': None, 'low': None, 'high': None}
    if decided:
      share = counts['a'] / (counts['a'] + counts['b'])
      # Votes on one pair are not independent samples: pairs are counted.
      low, high = scipy.stats.binomtest(
        round(share * len(decided)), len(decided)
      ).proportion_ci(method='wilson')
      row |= {'share_a': share, 'low': low, 'high': high}
    found[question] = row
  return found


def table(
  key: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]]
) -> str:
  """Preferences as lines of text for the terminal."""
  lines = [
    f'A is {key["a"]}',
    f'B is {key["b"]}',
    f'{"question":<26}{"A":>5}{"none":>6}{"B":>5}  A of decided, 95 % interval',
  ]
  for question, row in found.items():
    share = 'no decided votes'
    if row['share_a'] is not None:
      share = (
        f'{row["share_a"]:.1%}, {row["low"]:.1%} to {row["high"]:.1%} '
        f'({row["pairs"]} pairs)'
      )
    lines.append(
      f'{question:<26}{row["a"]:>5}{row["none"]:>6}{row["b"]:>5}  {share}'
    )
  return '\n'.join(lines)
