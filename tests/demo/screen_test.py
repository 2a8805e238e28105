"""A terminal has one live bar, a log has lines, and silence has nothing."""

import io

from videopoet_jax.demo import screen


class _Terminal(io.StringIO):
  def isatty(self) -> bool:
    return True


def _use(shown):
  shown.begin()
  shown.show('[1/2] tokens 3 s', 0.25)
  shown.note('step 100 loss 1.5')
  shown.show('[1/2] tokens 4 s', 0.5)
  shown.line('[1/2] tokens: took 5 s')
  shown.close()


def test_a_log_has_a_line_for_each():
  stream = io.StringIO()
  _use(screen.Screen(stream))
  assert stream.getvalue().splitlines() == [
    '[1/2] tokens 3 s',
    'step 100 loss 1.5',
    '[1/2] tokens 4 s',
    '[1/2] tokens: took 5 s',
  ]


def test_a_terminal_has_one_bar_that_is_written_over():
  stream = _Terminal()
  _use(screen.Screen(stream))
  text = stream.getvalue()
  kept = [line.split('\r')[-1] for line in text.split('\n')[:-1]]
  assert kept == ['[1/2] tokens: took 5 s']
  last = text.split('\r')
  assert any('50%' in bar and 'loss 1.5' in bar for bar in last)
  assert any('25%' in bar and 'loss' not in bar for bar in last)


def test_a_new_stage_forgets_the_note():
  stream = _Terminal()
  shown = screen.Screen(stream)
  shown.note('loss 1.5')
  shown.begin()
  shown.show('[2/2] samples 1 s', 0.9)
  assert 'loss' not in stream.getvalue()


def test_silence():
  _use(screen.Screen())
