"""Tests of the options of the TPU compiler."""

import types

import jax
import numpy as np
import pytest

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
  monkeypatch.delenv(compiler.VARIABLE)
  every = compiler.options(_mesh('TPU v5'))
  limit = every.pop('xla_tpu_scoped_vmem_limit_kib')
  assert limit == 49152 and options == every


def test_a_cpu_program_takes_them():
  devices = np.array(jax.devices('cpu')[:1])
  options = compiler.options(jax.sharding.Mesh(devices, ('data',)))
  assert jax.jit(lambda x: x + 1, compiler_options=options)(1) == 2


def test_options_of_the_devices_reach_xla_by_the_first_call(monkeypatch):
  monkeypatch.delenv(compiler.VARIABLE, raising=False)
  made = [
    compiler.jit(lambda x, times: x * times, static_argnames='times')
    for _ in range(2)
  ]
  assert made[0](2, times=3) == 6
  # The devices are looked at now and not when the functions were made.
  (kind,) = {device.device_kind for device in jax.devices()}
  monkeypatch.setitem(compiler._OPTIONS, kind, {'no_such_option': True})
  with pytest.raises(jax.errors.JaxRuntimeError, match='no_such_option'):
    made[1](2, times=3)
  # They are asked once a function.
  assert made[0](4, times=3) == 12
