"""Tests of the options of the TPU compiler."""

import types

import jax
import numpy as np

from videopoet_jax.parallel import compiler


def _mesh(kind):
  return types.SimpleNamespace(
    devices=np.array([types.SimpleNamespace(device_kind=kind)])
  )


def test_only_chips_that_are_known_get_options(monkeypatch):
  monkeypatch.delenv(compiler.VARIABLE, raising=False)
  assert compiler.options(_mesh('cpu')) is None
  options = compiler.options(_mesh('TPU v5'))
  assert options['xla_tpu_scoped_vmem_limit_kib'] > 16384
  assert options == compiler.options(_mesh('TPU v5p'))


def test_what_the_user_gave_holds(monkeypatch):
  monkeypatch.setenv(
    compiler.VARIABLE, '--xla_tpu_scoped_vmem_limit_kib=20480 --other=1'
  )
  options = compiler.options(_mesh('TPU v5'))
  assert 'xla_tpu_scoped_vmem_limit_kib' not in options
  assert options


def test_a_cpu_program_takes_them():
  devices = np.array(jax.devices('cpu')[:1])
  options = compiler.options(jax.sharding.Mesh(devices, ('data',)))
  assert jax.jit(lambda x: x + 1, compiler_options=options)(1) == 2


def test_devices_are_looked_at_by_the_first_call(monkeypatch):
  asked = []
  monkeypatch.setattr(compiler, '_of_kind', asked.append)
  double = compiler.jit(lambda x, times: x * times, static_argnames='times')
  assert asked == []
  assert double(2, times=3) == 6
  assert double(4, times=3) == 12
  assert asked == [jax.devices()[0].device_kind]
