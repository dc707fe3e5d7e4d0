"""Token budgets in the steps of a region, of videos that differ outside it too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.denoise import loop
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.state import SourceLatents
from chorus_jax.intra_request import EveryStep
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.token_budgets import TokenBudgets, TokenGroup
from tests.chorus_jax.denoise.tiny import (
    STEPS,
    TILES,
    begun,
    conditions,
    hit,
    noise,
    region,
)

EVERY = TokenBudgets(STEPS, (TokenGroup(0.25, STEPS), TokenGroup(0.75, STEPS)))
TWO = TokenBudgets(STEPS, (TokenGroup(0.25, STEPS), TokenGroup(0.75, STEPS // 3)))
ONE = TokenBudgets(STEPS, (TokenGroup(1.0, STEPS // 2),), early=1)
# The region is chosen in step 0; step 1 is the first one by budgets.
WORK = {"two": (TWO, [1, 1, 0.25, 1, 0.25, 0.25]), "one": (ONE, [1, 1, 1, 0, 1, 0])}


def source():
    return SourceLatents(noise(7), jnp.zeros_like(noise()), noise(8))


def plan(budgets, limit, **more):
    """A plan with a region, which videos that differ by more than `limit` leave."""
    return StepPlan.staged(
        STEPS, 0, STEPS, region(4, limit=limit), budgets=budgets, **more
    )


@pytest.mark.parametrize("name", WORK)
@pytest.mark.parametrize("cache", [EveryStep(), TaylorSeer(1)])
def test_all_tokens_are_run_by_their_budgets(name, cache, model):
    budgets, expected = WORK[name]
    ours = plan(budgets, 0.0, cache=cache)
    program, inputs, state = begun(
        model, conditions(model), source().start, ours, source()
    )
    done = [0.0]
    for _, state in loop.in_pieces(inputs, state, program, 1, ahead=0):
        done.append(float(state.work[0]))
    assert bool(state.region.chosen.all_tokens)
    np.testing.assert_allclose(np.diff(done), expected, atol=1e-6)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.latents))
    order = np.argsort(-np.asarray(state.region.chosen.scores[0]), kind="stable")
    np.testing.assert_array_equal(state.budgets.order[0], order)


@pytest.mark.parametrize("limit", [0.0, np.inf])
def test_budgets_of_all_steps_change_nothing(limit, model):
    given = conditions(model)
    ours = hit(model, given, source(), plan(EVERY, limit))
    plain = hit(model, given, source(), plan(None, limit))
    np.testing.assert_array_equal(ours.latents, plain.latents)
    share = 1.0 if limit == 0 else 4 / TILES
    np.testing.assert_allclose(ours.work, 1 + (STEPS - 1) * share)
