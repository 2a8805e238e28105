"""Captions of shapes in motion."""

import itertools

import pytest

from videopoet_jax.core import errors
from videopoet_jax.shapes import attributes
from videopoet_jax.shapes import caption


def test_every_caption_reads_back():
  for kind, colour, direction, speed in itertools.product(
    range(len(attributes.KINDS)),
    range(len(attributes.COLOURS)),
    range(len(attributes.DIRECTIONS)),
    range(len(attributes.SPEEDS)),
  ):
    said = (caption.Statement(kind, colour, direction, speed),)
    text = caption.write(said)
    assert caption.parse(text) == said
    still = (caption.Statement(kind, colour),)
    assert caption.parse(caption.image_part(text)) == still


def test_two_shapes_are_joined():
  said = (caption.Statement(0, 0, 5, 0), caption.Statement(1, 4, 2, 1))
  text = caption.write(said)
  assert text == (
    'a red circle moves up left slowly and a blue square moves down quickly'
  )
  assert caption.parse(text) == said
  assert caption.image_part(text) == 'a red circle and a blue square'


def test_case_and_space_are_ignored():
  said = caption.parse('  A red circle   moves up LEFT slowly ')
  assert said == (caption.Statement(0, 0, 5, 0),)


@pytest.mark.parametrize(
  'text', ['', 'a red', 'a pink circle', 'a red circle moves', 'red circle is']
)
def test_other_text_is_refused(text):
  with pytest.raises(errors.DataError, match='not a caption'):
    caption.parse(text + (' north fast' if text.endswith('moves') else ''))
