"""LTX-2 as the registry lists it: what is refused before anything runs."""

import pytest

import chorus_jax
from chorus_jax import checkpoints
from chorus_jax.devices import memory
from chorus_jax.families.protocols import LoadOptions
from chorus_jax.families.registry import family_of
from chorus_jax.request import Request


def test_what_does_not_fit_in_memory_is_refused(ltx2_weights, monkeypatch):
    monkeypatch.setattr(memory, "total_memory", lambda: 2**30)
    request = Request("", frames=121, height=70400, width=70400, solver="euler")
    check = family_of(ltx2_weights).check
    with pytest.raises(ValueError, match="121 frames of 70400x70400 pixels need at"):
        check(ltx2_weights, request, LoadOptions())
    check(ltx2_weights, request.changed(height=64, width=64), LoadOptions())


def test_an_idle_expert_is_refused_before_weights_are_read(ltx2_weights, monkeypatch):
    monkeypatch.setattr(checkpoints, "load", lambda *_, **__: pytest.fail("read"))
    message = "is for models with two experts, and this one has one transformer"
    with pytest.raises(ValueError, match=message):
        chorus_jax.load(ltx2_weights, idle_expert="host")
    options, request = LoadOptions(idle_expert="host"), Request("", solver="euler")
    with pytest.raises(ValueError, match=message):
        family_of(ltx2_weights).check(ltx2_weights, request, options)
