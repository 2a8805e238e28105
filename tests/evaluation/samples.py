"""A made-up scoreboard for tests of what is done with one."""

from typing import Any

import scipy.stats

from videopoet_jax.shapes import judges


def metrics() -> dict[str, Any]:
  rows = {}
  for index, task in enumerate(judges.TASKS):
    successes = 256 - 5 * index
    low, high = scipy.stats.binomtest(successes, 256).proportion_ci(
      method='wilson'
    )
    rows[task] = {
      'value': successes / 256,
      'chance': 0.02 * index,
      'samples': 256,
      'low': low,
      'high': high,
      'chances': {'guess': 0.0, 'guess_the_rest': 0.0, 'copy': 0.02 * index},
      'parts': {'valid': 0.98, 'kind': 1.0},
    }
  return {
    'profile': 'demo',
    'seed': 0,
    'wall_seconds': 1402.5,
    'stages': [
      {'name': 'shapes', 'seconds': 44.0, 'planned': 45.0, 'reused': False},
      {
        'name': 'language_model',
        'seconds': 610.0,
        'planned': 620.0,
        'reused': False,
      },
    ],
    'tasks': rows,
    'tokenizer': {
      'psnr_db': 31.2,
      'codebook_usage': 0.93,
      'codebook_bits': 11.4,
      'oracle_kept': 0.996,
      'sound_kept': 0.97,
    },
    'agd': {
      'layout_padding': 0.0,
      'unused_text': 0.021,
      'kernel_padding': 0.0,
      'packing_would_pad': 0.11,
      'groups': [
        {'length': 98, 'layouts': ['text_to_video/17x32x32'], 'examples': 41},
        {'length': 88, 'layouts': ['unconditional/17x32x32'], 'examples': 46},
      ],
    },
    'versions': {'python': '3.12.1', 'jax': '0.12.0.1', 'flax': '0.12'},
  }
