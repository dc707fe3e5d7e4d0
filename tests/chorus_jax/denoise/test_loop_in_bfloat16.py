"""The loop over bfloat16 models: its state keeps its dtypes, whatever a step computes.

Programs are traced, not compiled: a loop of jax whose state changes a dtype is refused.
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from chorus_jax.denoise import loop
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.state import SourceLatents
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.token_budgets.budgets import TokenBudgets, TokenGroup
from tests.chorus_jax.denoise.test_region_steps_caches import CASES
from tests.chorus_jax.denoise.tiny import (
    CONFIG,
    STEPS,
    WORDS,
    begun,
    conditions,
    noise,
    region,
)
from tests.chorus_jax.intra_request.members import MEMBERS

# All where videos disagree; one of each grain where new words are attended to.
CACHES = [
    *(
        (name, member.active, "velocity")
        for name, member in MEMBERS.items()
        if name not in ("bac", "harmonica")  # their tables are of a deeper model
    ),
    *((name, case[0], "attention") for name, case in CASES.items()),
]
BUDGETS = TokenBudgets(STEPS, (TokenGroup(0.5, 6), TokenGroup(0.5, 3)))


@pytest.fixture(scope="module")
def model():
    config = replace(CONFIG, dtype="bfloat16")
    return jax.jit(lambda: WanDiT(config, rngs=nnx.Rngs(0)))()


def traced(model, plan, **arrays):
    """The shapes of the last state of a run."""
    latents = noise()
    source = SourceLatents(noise(7), jnp.zeros_like(latents), noise(8))
    program, inputs, state = begun(
        model, conditions(model), latents, plan, source, **arrays
    )
    until = jnp.full(1, STEPS)
    return jax.eval_shape(partial(loop.advance, program=program), inputs, state, until)


@pytest.mark.parametrize(
    ("cache", "found_by"), [each[1:] for each in CACHES], ids=[x[0] for x in CACHES]
)
def test_a_hit(model, cache, found_by):
    where = region(3, halo=1, open_until=2, found_by=found_by, limit=0.3)
    plan = StepPlan.staged(STEPS, 1, 4, where, cache=cache)
    words = jnp.zeros((1, WORDS)).at[0, 1].set(1.0)
    state, _ = traced(model, plan, words=words if found_by == "attention" else None)
    assert state.latents.dtype == jnp.float32


def test_token_budgets(model):
    state, _ = traced(model, StepPlan.plain(STEPS, budgets=BUDGETS))
    assert state.latents.dtype == jnp.float32
