"""Flags of every job but `generate` that cannot act beside others."""

import pytest

from videopoet_jax.core import entry
from videopoet_jax.jobs import bench
from videopoet_jax.jobs import evaluate
from videopoet_jax.jobs import layouts
from videopoet_jax.jobs import plan
from videopoet_jax.jobs import score_upscaling

_SCORE = ('--checkpoint', 'c', '--media', 'm', '--out', 'o')
_CASES = [
  (plan, '--steps', ('--steps', '3')),
  (plan, '--steps', ('--program', 'decode', '--steps', '3')),
  (plan, '--optimizer', ('--program', 'sample', '--optimizer', 'muon')),
  (plan, '--remat', ('--program', 'decode', '--remat', 'full')),
  (plan, '--search', ('--program', 'decode', '--search')),
  (plan, '--meshes', ('--meshes', 'fsdp=8')),
  (plan, '--remats', ('--remats', 'full')),
  (plan, '--batches', ('--batches', '1,2')),
  (plan, '--mesh', ('--search', '--mesh', 'fsdp=8')),
  (plan, '--remat', ('--search', '--remat', 'full')),
  (plan, '--batch_per_chip', ('--search', '--batch_per_chip', '2')),
  (plan, '--layout', ('--search', '--layout', 'a', '--layout', 'b')),
  (plan, '--clip', ('--clip', '17x128x128')),
  (plan, '--tokens_per_batch', ('--tokens_per_batch', '8192')),
  (plan, '--no_compile', ('--no_compile',)),
  (plan, '--layout', ('--run_file', 'r.gin', '--layout', 'a')),
  (plan, '--search', ('--run_file', 'r.gin', '--search')),
  (plan, '--program', ('--run_file', 'r.gin', '--program', 'decode')),
  (plan, '--clip', ('--clip', '17x128x128', '--layout', 'a')),
  (bench, '--size', ('decoder_step', '--size', '1b')),
  (bench, '--size', ('--what', 'windows', '--size', '1b')),
  (bench, '--batch', ('train_step', '--batch', '3')),
  (bench, '--tokens_per_batch', ('decode', '--tokens_per_batch', '3')),
  (bench, 'decode', ('decode', '--what', 'data')),
  (layouts, '--frames', ('--frames', '0')),
  (layouts, '--height', ('--height', '-8')),
  (layouts, '--frames', ('--layout', 'unconditional/17x8x8', '--frames', '41')),
  (evaluate, '--until_step', ('--protocol', 'k600', '--until_step', '3')),
  (evaluate, '--idle_minutes', ('--protocol', 'k600', '--idle_minutes', '3')),
  (evaluate, '--all_steps', ('--protocol', 'k600', '--watch', 'r',
                             '--all_steps')),
  (evaluate, '--videos', ('--protocol', 'k600', '--videos', '--keep_samples',
                          '0')),
  (evaluate, '--checkpoint', ('--compare', 'a', 'b', '--checkpoint', 'c')),
  (evaluate, '--best', ('--votes', 'v', '--out', 'o', '--best', 'a/b')),
  (score_upscaling, '--seed', (*_SCORE, '--seed', '-1')),
  (score_upscaling, '--autoregressive_temperature',
   (*_SCORE, '--autoregressive_temperature', '0.5')),
  (score_upscaling, '--text_guidance',
   (*_SCORE, '--no_text', '--text_guidance', '4')),
  (score_upscaling, '--schedule',
   (*_SCORE, '--steps', '1', '--schedule', 'linear')),
  (score_upscaling, '--confidence_temperature',
   (*_SCORE, '--steps', '1', '--confidence_temperature', '1')),
]  # fmt: skip


@pytest.mark.parametrize(('job', 'name', 'flags'), _CASES)
def test_a_flag_that_cannot_act_is_refused_in_one_line(
  job, name, flags, capsys
):
  assert entry.run(job.main, list(flags)) == 2
  said = capsys.readouterr().err
  assert said.count('\n') == 1 and name in said
