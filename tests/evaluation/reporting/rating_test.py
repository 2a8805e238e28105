"""Blind rating: the page does not know, the key does."""

import json

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.evaluation.reporting import rating
from videopoet_jax.evaluation.reporting import report
from videopoet_jax.evaluation.reporting import votes as votes_lib

_A, _B = 'runs/old_model', 'runs/new_model'


def _pairs(count):
  draw = np.random.default_rng(0)

  def signal(label):
    video = draw.integers(0, 255, (3, 16, 16, 3), dtype=np.uint8)
    return report.Signal(label, video)

  return [
    rating.Pair(
      'text_to_video', n, (), signal('a'), signal('b'), f'caption {n} <i>'
    )
    for n in range(count)
  ]


def _vote(pair, choice, question='video_quality', rater='x', page='p'):
  return rating.Vote(page, rater, pair, question, choice)


def test_page_is_blind_and_self_contained(tmp_path):
  pairs = _pairs(4)
  key = rating.key_of(_A, _B, pairs)
  rating.write(tmp_path / 'rating.html', key, pairs, 8, 16_000)
  page = (tmp_path / 'rating.html').read_text()
  for word in ('old_model', 'new_model', 'runs/', '"a"', '"left": "'):
    assert word not in page.replace('"left": {', '')
  assert 'src="http' not in page and 'href="http' not in page
  for question in rating.QUESTIONS.values():
    assert question in page
  assert page.count('data:image/webp') == 8
  assert '<i>' not in page.split('const data')[1].split('</script>')[0]


def test_sides_are_drawn_and_the_same_again():
  pairs = _pairs(64)
  key = rating.key_of(_A, _B, pairs)
  assert key == rating.key_of(_A, _B, pairs)
  lefts = [entry['left'] for entry in key['pairs']]
  assert 16 < lefts.count('a') < 48
  numbers = [entry['number'] for entry in key['pairs']]
  assert numbers != sorted(numbers) and sorted(numbers) == list(range(64))
  assert key['rating'] != rating.key_of(_B, _A, pairs)['rating']


def test_votes_are_counted_for_whom_they_are():
  key = {
    'rating': 'p',
    'a': _A,
    'b': _B,
    'pairs': [{'left': 'a'}, {'left': 'b'}, {'left': 'a'}, {'left': 'a'}],
  }
  votes = [
    _vote(0, 'left'),
    _vote(1, 'right'),
    _vote(2, 'right'),
    _vote(3, 'none'),
    _vote(0, 'left', rater='y'),
    _vote(2, 'left', question='motion_realism'),
  ]
  found = rating.preferences(key, votes)
  assert set(found) == {'video_quality', 'motion_realism'}
  quality = found['video_quality']
  assert (quality['a'], quality['none'], quality['b']) == (3, 1, 1)
  assert quality['share_a'] == 0.75 and quality['pairs'] == 3
  assert 0.2 < quality['low'] < 0.75 < quality['high'] < 1
  # A rater who changes his mind has one vote.
  changed = rating.preferences(key, [*votes, _vote(0, 'right')])
  assert changed['video_quality']['a'] == 2
  assert 'no decided' in rating.table(
    key, rating.preferences(key, [_vote(0, 'none')])
  )


def test_votes_come_back_from_files(tmp_path):
  pairs = _pairs(3)
  key = rating.key_of(_A, _B, pairs)
  folder = tmp_path / votes_lib.KEYS
  folder.mkdir()
  (folder / f'{key["rating"]}.json').write_text(json.dumps(key))
  for rater in ('x', 'y'):
    votes = [
      {
        'pair': n,
        'question': 'motion_realism',
        'choice': 'left' if entry['left'] == 'a' else 'right',
      }
      for n, entry in enumerate(key['pairs'])
    ]
    saved = {'rating': key['rating'], 'rater': rater, 'votes': votes}
    (tmp_path / f'{rater}.json').write_text(json.dumps(saved))
  text = votes_lib.summary(tmp_path, [tmp_path / 'x.json', tmp_path / 'y.json'])
  assert f'A is {_A}' in text and '100.0%' in text
  found = json.loads((tmp_path / votes_lib.PREFERENCES).read_text())
  row = found[key['rating']]['questions']['motion_realism']
  assert row['a'] == 6 and row['b'] == 0 and row['pairs'] == 3
  assert row['low'] < 0.5  # Three pairs are few, whoever looks at them.


@pytest.mark.parametrize(
  'content', ['', '[]', '{"rating": "p", "votes": [{"pair": 0}]}',
  '{"rating": "p", "votes": [{"pair": 0, "question": "x", "choice": "left"}]}'],
)  # fmt: skip
def test_files_without_votes_are_one_message(tmp_path, content):
  path = tmp_path / 'votes.json'
  path.write_text(content)
  with pytest.raises(errors.DataError, match='holds no votes'):
    rating.read_votes(path)


def test_votes_of_another_page_are_refused(tmp_path):
  path = tmp_path / 'votes.json'
  vote = {'pair': 0, 'question': 'video_quality', 'choice': 'left'}
  path.write_text(json.dumps({'rating': 'zz', 'votes': [vote]}))
  with pytest.raises(errors.DataError, match='has no key of page zz'):
    votes_lib.summary(tmp_path, [path])
  key = {'rating': 'p', 'a': _A, 'b': _B, 'pairs': []}
  with pytest.raises(errors.DataError, match='pair 0; the key'):
    rating.preferences(key, [_vote(0, 'left')])
