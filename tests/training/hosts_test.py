"""The slow host is named, with how slow it is."""

import jax
import numpy as np
import pytest

from videopoet_jax.training import hosts


def test_the_slowest_of_four_hosts_is_named(monkeypatch):
  probe = hosts.Probe.__call__

  def told(self):
    assert probe(self) > 0
    return 0.002  # As the others': how busy this machine is decides nothing.

  monkeypatch.setattr(hosts.Probe, '__call__', told)
  # Host 2 waits five times as long for its data, host 0's device is slow.
  others = np.array(
    [[0.01, 0.002, 0.004], [0.01, 0.002, 0.002], [0.05, 0.002, 0.002]]
  )
  rows = []

  def gather(row):
    rows.append(row)
    return np.concatenate([others, row[None]])

  watched = hosts.Hosts(jax.local_devices()[:1], gather)
  for _ in range(4):
    watched.add(0.01, 0.002)
  metrics = watched.metrics()
  np.testing.assert_allclose(rows[0], [0.01, 0.002, 0.002], rtol=1e-6)
  assert metrics['hosts/slowest'] == 2
  assert metrics['hosts/data_spread'] == pytest.approx(5.0)
  assert metrics['hosts/data_seconds'] == pytest.approx(0.05)
  assert metrics['hosts/place_spread'] == pytest.approx(1.0)
  assert metrics['hosts/probe_spread'] == pytest.approx(2.0)
  assert 'slowest is host 2 with 50.0 ms of data' in watched.summary()
  # Counting begins again.
  assert watched.metrics() == {}


def test_one_host_is_not_compared_with_itself():
  alone = hosts.Hosts(jax.local_devices()[:1])
  alone.add(1.0, 1.0)
  assert alone.metrics() == {}
  assert alone.summary() == ''
