"""T5X's mains on this project's model, data and optimizers; see docs/t5x.md.

Nothing else imports this room. T5X is on no package index:

  pip install --no-deps 'git+https://github.com/google-research/t5x@<commit>'
"""
