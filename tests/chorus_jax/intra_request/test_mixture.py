"""A mixture of step caches: one skips steps, another saves within those that run."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.families.forward import Held
from chorus_jax.intra_request import EveryStep, SkipSteps
from chorus_jax.intra_request.bac import BAC
from chorus_jax.intra_request.fitting import RunProperties, reuses_velocities
from chorus_jax.intra_request.guidance_cache import GuidanceCache
from chorus_jax.intra_request.hicache import HiCache
from chorus_jax.intra_request.history import NONE, due
from chorus_jax.intra_request.mixture import Mixture
from chorus_jax.intra_request.pab import PAB
from chorus_jax.intra_request.planned_tokens import PlannedTokens
from chorus_jax.intra_request.racer import RACER
from chorus_jax.intra_request.sea import SeaCache
from chorus_jax.intra_request.taylor import TaylorSeer
from tests.chorus_jax.denoise import tiny
from tests.chorus_jax.intra_request.families import SOLVER, wan

STEPS = SOLVER.schedule.steps
ODD = SkipSteps(tuple(range(1, STEPS, 2)))
REUSED = PAB(2, 3, 2, above=0.0, below=1001.0)


@partial(jax.jit, static_argnums=(0, 1))
def run(cache, begins, model, conditions, latents):
    """The velocities and the work of requests that begin at these steps."""
    first = jnp.array(begins)

    def step(state, n):
        here = jnp.minimum(first + n, STEPS - 1)
        forward = model.forward(
            conditions, latents * (1 + 0.1 * n.astype(jnp.float32)), here
        )
        velocity, _, state, work = cache.step(
            here, SOLVER.schedule, forward, Held(), state
        )
        return state, (velocity, work)

    begin = cache.init(model.forward(conditions, latents, first))
    return jax.lax.scan(step, begin, jnp.arange(STEPS))[1]


def alone(cache, begin=0, seed=0):
    """The same of one request, without the axis of requests."""
    model, _, _ = wan()
    conditions = tiny.conditions(model, SOLVER, seed=seed)
    made = run(cache, (begin,), model, conditions, tiny.noise(seed))
    return tuple(np.asarray(x)[:, 0] for x in made)


@pytest.mark.parametrize("outer", [TaylorSeer(2), HiCache(3), ODD], ids=str)
def test_around_every_step_it_is_the_cache_of_steps(outer):
    (ours, work), (theirs, expected) = alone(Mixture(outer, EveryStep())), alone(outer)
    np.testing.assert_array_equal(work, expected)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("inner", [GuidanceCache(3, first=1), REUSED], ids=str)
def test_around_nothing_skipped_it_is_the_cache_within(inner):
    ours, work = alone(Mixture(SkipSteps(()), inner))
    theirs, expected = alone(inner)
    np.testing.assert_array_equal(work, expected)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_what_both_save_multiplies():
    _, work = alone(Mixture(ODD, GuidanceCache(6, first=1)))
    np.testing.assert_allclose(work, [1, 0, 0.5, 0, 0.5, 0])


def test_a_refresh_in_a_skipped_step_is_made_up_for():
    # Of 4 the second and fourth step refresh, both of which are skipped.
    _, work = alone(Mixture(ODD, GuidanceCache(2, first=1)))
    np.testing.assert_allclose(work, [1, 0, 1, 0, 1, 0])
    table = np.array([[True, True], [False, True], [False, False], [True, False]])
    last, i = jnp.array([NONE, 0, 0, 1]), jnp.array([0, 1, 2, 3])
    assert due(table, last, i).tolist() == [
        [True, True],
        [False, True],
        [False, True],
        [True, False],
    ]


@pytest.mark.parametrize("inner", [GuidanceCache(4, first=1), REUSED], ids=str)
def test_a_request_does_not_depend_on_the_others_of_its_batch(inner):
    cache, begins = Mixture(TaylorSeer(2), inner), (0, 1)
    model, _, _ = wan()
    given = [tiny.conditions(model, SOLVER, seed=n) for n in begins]
    velocities, work = run(
        cache, begins, model, tiny.together(given), tiny.noise(*begins)
    )
    for n, begin in enumerate(begins):
        ours, expected = alone(cache, begin, seed=n)
        np.testing.assert_array_equal(
            work[: STEPS - begin, n], expected[: STEPS - begin]
        )
        np.testing.assert_allclose(
            velocities[: STEPS - begin, n], ours[: STEPS - begin], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(
    ("steps", "within", "message"),
    [
        (SeaCache(), EveryStep(), "steps of a mixture are known before the run"),
        (RACER(), EveryStep(), "are known before the run"),
        (TaylorSeer(grain="residual"), EveryStep(), "forecast velocities: take skip"),
        (GuidanceCache(), TaylorSeer(), "are known before the run"),
        (PlannedTokens((1.0, 1.0)), EveryStep(), "are known before the run"),
        (TaylorSeer(), PlannedTokens((1.0, 1.0)), "without token budgets"),
    ],
)
def test_caches_that_do_not_go_together_are_refused(steps, within, message):
    with pytest.raises(ValueError, match=message):
        Mixture(steps, within)


def test_both_caches_are_checked_against_the_run():
    properties = RunProperties(SOLVER.schedule, 4, ("a", "b", "c"), (4, 4))
    Mixture(ODD, BAC()).check(properties)
    for cache in (
        Mixture(SkipSteps((99,)), EveryStep()),
        Mixture(ODD, BAC((((0,),) * 3,) * 9, of=STEPS)),
    ):
        with pytest.raises(ValueError):
            cache.check(properties)


def test_it_reuses_velocities():
    assert reuses_velocities(Mixture(ODD, REUSED))
