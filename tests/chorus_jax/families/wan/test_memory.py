"""Requests that no machine can hold are refused by size."""

import pytest

from chorus_jax.checkpoints import Card, shipped
from chorus_jax.devices import memory
from chorus_jax.families.registry import family_of
from chorus_jax.families.wan.memory import least_memory
from chorus_jax.families.wan.sizes import Sizes
from chorus_jax.request import Request


def need(**fields):
    folder = shipped.folder()
    request = Request("", frames=17, **fields)
    return least_memory(Sizes.read(folder), Card.read(folder), "transformer", request)


def test_the_least_memory_grows_with_the_pixels():
    small, wide = need(height=64, width=64), need(height=64, width=6400)
    assert 2**20 < small < 2**26 and wide > small
    # 256 million tokens of 160 channels, twice for guidance, in two bytes.
    assert need(height=64000, width=64000) > 256e6 * 160 * 2 * 2


def test_what_does_not_fit_is_refused_by_size(monkeypatch):
    folder = shipped.folder()
    request = Request("", frames=17, height=64000, width=64000)
    check = family_of(folder).check
    message = "17 frames of 64000x64000 pixels need at least .* GiB of memory, but"
    monkeypatch.setattr(memory, "total_memory", lambda: 2**34)
    with pytest.raises(ValueError, match=message):
        check(folder, "transformer", request, None)
    monkeypatch.setattr(memory, "total_memory", lambda: None)
    check(folder, "transformer", request, None)


def test_the_hosts_memory_is_that_of_its_cores():
    assert memory.total_memory() > 2**28
