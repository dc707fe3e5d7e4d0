"""Step caches in all stages of a hit: their states start anew in each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.denoise import loop
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.state import SourceLatents
from chorus_jax.intra_request.first_block import FirstBlock
from chorus_jax.intra_request.guidance_cache import GuidanceCache
from chorus_jax.intra_request.pab import PAB
from chorus_jax.intra_request.taylor import TaylorSeer
from tests.chorus_jax.denoise.tiny import (
    STEPS,
    TILES,
    begun,
    conditions,
    noise,
    region,
)
from tests.chorus_jax.intra_request.members import MANY

CORE = 4
SHARE = CORE / TILES
# Of a grain each, with the work of the steps of all tokens, of the region, and again
# of all tokens. One branch of three is computed all the same: a region needs its keys.
CASES = {
    "velocity": (TaylorSeer(3, first=0), [1, SHARE, 0, 1, 0, 0]),
    # One of the model's two layers always runs.
    "front layers": (FirstBlock(MANY, first=0), [1, SHARE, SHARE / 2, 1, 0.5, 0.5]),
    "guidance": (GuidanceCache(100, first=0), [1, SHARE, SHARE / 2, 1, 0.5, 0.5]),
    "outputs of branches": (
        TaylorSeer(3, first=0, grain="branches"),
        [1, SHARE, SHARE / 3, 1, 0, 0],
    ),
    "branches": (
        PAB(100, 100, 100, above=0.0, below=1001.0),
        [1, SHARE, SHARE / 3, 1, 0, 0],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_cache_begins_anew_in_each_stage(name, model):
    cache, expected = CASES[name]
    plan = StepPlan.staged(STEPS, 0, 3, region(CORE), cache=cache)
    source = SourceLatents(noise(7), jnp.zeros_like(noise()), noise(8))
    program, inputs, state = begun(model, conditions(model), source.start, plan, source)
    done = [0.0]
    for _, state in loop.in_pieces(inputs, state, program, 1, ahead=0):
        done.append(float(state.work[0]))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.latents))
    np.testing.assert_allclose(np.diff(done), expected, atol=1e-6)
