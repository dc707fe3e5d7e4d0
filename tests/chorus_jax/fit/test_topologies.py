"""Topologies by name: counts, memory, and what is said of unknown ones."""

import importlib.util

import pytest

from chorus_jax.fit import topologies
from chorus_jax.fit.topologies import GIB, Topology, known


def test_devices_and_their_memory():
    assert Topology.named("v6e:2x4").count == 8
    assert Topology.named("tpu7x:2x2x1").count == 8  # two devices a chip
    assert Topology.named("v5e:2x2").bytes == 15.75 * GIB


@pytest.mark.parametrize("name", ["v6e:3x3", "v9:2x2", "v6e", "", "v4:2x2x1"])
def test_an_unknown_one_lists_the_known(name):
    with pytest.raises(ValueError, match="no topology .* known are v5e:2x2, v5e:2x4"):
        Topology.named(name)


def test_larger_ones_are_of_the_same_generation():
    names = [one.name for one in Topology.named("v6e:2x4").larger]
    assert names == ["v6e:4x4", "v6e:4x8", "v6e:8x8"]


def test_without_libtpu_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'jax\[tpu\]', or give --quick"):
        Topology.named("v5e:2x2").described()


def test_libtpu_knows_all_of_them():
    pytest.importorskip("libtpu", reason="needs libtpu: Linux on x86-64")
    for name in known():
        one = topologies.Topology.named(name)
        assert len(one.described()) == one.count, name
