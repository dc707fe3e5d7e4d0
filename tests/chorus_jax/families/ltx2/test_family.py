"""LTX-2 as the registry lists it: what is refused before anything runs."""

import pytest

from chorus_jax.devices import memory
from chorus_jax.families.registry import family_of
from chorus_jax.request import Request


def test_what_does_not_fit_in_memory_is_refused(ltx2_weights, monkeypatch):
    monkeypatch.setattr(memory, "total_memory", lambda: 2**30)
    request = Request("", frames=121, height=70400, width=70400, solver="euler")
    check = family_of(ltx2_weights).check
    with pytest.raises(ValueError, match="121 frames of 70400x70400 pixels need at"):
        check(ltx2_weights, "transformer", request, None)
    check(ltx2_weights, "transformer", request.changed(height=64, width=64), None)
