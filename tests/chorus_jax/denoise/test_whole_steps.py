"""Whole steps: step caches, rows at steps of their own, experts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.denoise import loop
from chorus_jax.denoise.cost import equivalents
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.program import Program
from chorus_jax.denoise.state import Inputs
from chorus_jax.intra_request import EveryStep, SkipSteps
from chorus_jax.intra_request.tea import TeaCache
from chorus_jax.schedulers import SOLVERS
from tests.chorus_jax.denoise.tiny import (
    GEOMETRY,
    SOLVER,
    STEPS,
    at,
    begun,
    conditions,
    gains,
    noise,
    run,
    stepwise,
    velocity,
)

CACHES = {
    "every": EveryStep(),
    "skip": SkipSteps((2, 4)),
    "tea": TeaCache(0.25, (1.0, 0.0)),
}
# How far two requests go in each call.
PATHS = {
    "in turn": [(2, 0), (2, 3), (5, 3), (6, 6)],
    "one after the other": [(6, 0), (6, 6)],
    "in step": [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6)],
}


def batch(model, solver=SOLVER, guidance=(5.0, 2.0), **more):
    return conditions(model, solver, guidance, lengths=(3, 5, 4, 2), **more)


def along(path, model, given, latents, plan, solver=SOLVER):
    program, inputs, state = begun(model, given, latents, plan, solver=solver)
    for until in path:
        state, least = loop.advance(
            inputs, state, jnp.array(until, jnp.int32), program=program
        )
        assert state.step.tolist() == list(until) and least == min(until)
    return state


def row(state, index):
    """What a request of a batch has in the end."""
    return {"latents": state.latents[index], "work": state.work[index]}


# Every solver with the step cache that looks at data, and every step cache with Euler.
PAIRS = [(name, "tea") for name in SOLVERS] + [("euler", "every"), ("euler", "skip")]


@pytest.mark.parametrize(("name", "cache"), PAIRS)
def test_each_request_may_stand_at_a_step_of_its_own(model, name, cache):
    """Its bytes do not depend on how its neighbours go, nor on who they are."""
    solver = SOLVERS[name].spaced(STEPS, 3.0)
    plan = StepPlan.plain(STEPS, CACHES[cache])
    given, latents = batch(model, solver), noise(0, 1)
    once = run(model, given, latents, plan, solver=solver)
    for path in PATHS.values():
        state = along(path, model, given, latents, plan, solver)
        jax.tree.map(np.testing.assert_array_equal, state, once)
    # Another neighbour: other noise, other prompts, another scale.
    other = batch(model, solver, guidance=(5.0, 7.0), seed=3)
    mine = lambda x, y, axis: jnp.where(
        (jnp.arange(4) % 2 == 0).reshape([-1] + (x.ndim - axis - 1) * [1]), x, y
    )
    text = jax.tree.map(
        lambda x, y: mine(x, y, 1), given.context.text, other.context.text
    )
    other = other._replace(context=given.context._replace(text=text))
    state = along(PATHS["in turn"], model, other, noise(0, 5), plan, solver)
    jax.tree.map(np.testing.assert_array_equal, row(state, 0), row(once, 0))
    assert np.abs(state.latents[1] - once.latents[1]).max() > 0.1


@pytest.mark.parametrize("cache", CACHES)
def test_a_request_of_a_batch_is_it_alone(model, cache):
    plan = StepPlan.plain(STEPS, CACHES[cache])
    both = along(PATHS["in turn"], model, batch(model), noise(0, 1), plan)
    alone = run(model, batch_row(model, 0), noise(0), plan)
    assert both.work[0] == alone.work[0]
    np.testing.assert_allclose(both.latents[0], alone.latents[0], atol=1e-5)


def batch_row(model, index):
    """The conditions of one request of `batch`."""
    given = batch(model)
    rows = jnp.array([index, 2 + index])
    context = given.context
    text = jax.tree.map(lambda x: x[:, rows], context.text)
    context = context._replace(text=text, bias=context.bias[rows])
    return given._replace(context=context, guidance=given.guidance[index : index + 1])


def test_same_bytes_whatever_the_position_in_a_batch(model):
    plan = StepPlan.plain(STEPS)
    given, latents = batch(model), noise(0, 1)
    here = run(model, given, latents, plan).latents
    order = jnp.array([1, 0, 3, 2])
    text = jax.tree.map(lambda x: x[:, order], given.context.text)
    context = given.context._replace(text=text, bias=given.context.bias[order])
    swapped = given._replace(context=context, guidance=given.guidance[::-1])
    there = run(model, swapped, latents[::-1], plan).latents
    np.testing.assert_array_equal(here, there[::-1])


def test_a_run_that_begins_later_goes_on_as_it_would_have(model):
    given = conditions(model)
    ours = stepwise(model, given, noise(), StepPlan.plain(STEPS))
    again = run(model, given, ours[2], StepPlan.plain(STEPS, first=3))
    np.testing.assert_allclose(again.latents, ours[-1], rtol=1e-5, atol=1e-5)
    assert (again.work == 3).all()


def test_skipped_steps_take_over_the_last_velocity(model):
    given, latents, cache = conditions(model), noise(), SkipSteps((2, 4))
    ours = run(model, given, latents, StepPlan.plain(STEPS, cache=cache))
    want, state, now = latents, SOLVER.init(latents), None
    for i in range(STEPS):
        if i not in cache.steps:
            now = velocity(model, given, want, at(i))
        want, state = SOLVER.step(i, want, now, state)
    np.testing.assert_allclose(ours.latents, want, rtol=1e-5, atol=1e-5)
    assert ours.work.tolist() == [STEPS - 2]


@pytest.mark.parametrize("skipped", [(0, 1), (3, 4, 5)])
def test_what_is_computed_is_what_the_plan_says(model, skipped):
    plan = StepPlan.plain(STEPS, cache=SkipSteps(skipped), first=1)
    state = run(model, conditions(model), noise(), plan)
    assert state.work.tolist() == [equivalents(plan, GEOMETRY.tiling.count)]


def test_unit_gains_are_plain_cross_attention_bit_for_bit(model):
    given, plan = conditions(model), StepPlan.plain(STEPS)
    without = run(model, given, noise(), plan)
    ours = run(model, given, noise(), plan, gains=gains())
    np.testing.assert_array_equal(ours.latents, without.latents)


def test_gains_act_on_the_prompt_and_not_on_the_negative_prompt(model):
    plan, given = StepPlan.plain(STEPS), conditions(model, seed=1)
    twice = run(model, given, noise(), plan, gains=gains(2.0, 2.0)).latents
    assert np.abs(twice - run(model, given, noise(), plan).latents).max() > 0.01
    # At a guidance of 0 the prompt does not count.
    negative = given._replace(guidance=jnp.zeros(1))
    plain = run(model, negative, noise(), plan).latents
    ours = run(model, negative, noise(), plan, gains=gains(2.0, 2.0)).latents
    np.testing.assert_allclose(ours, plain, atol=1e-6)


EXPERTS = ("high",) * 2 + ("low",) * 4


@pytest.fixture(scope="module")
def experts(model):
    other = jax.tree.map(lambda x: 1.2 * x, model)
    return {"high": model, "low": other}


def of_experts(experts, given, latents, plan, every=None):
    program = Program(plan.with_experts(EXPERTS), SOLVER, GEOMETRY)
    inputs = Inputs(experts, given)
    state = loop.start(inputs, latents, program=program)
    for _, state in loop.in_pieces(inputs, state, program, every):
        pass
    return state


@pytest.mark.parametrize(
    "cache", [EveryStep(), SkipSteps((1, 2, 4))], ids=["every", "skip"]
)
def test_experts_run_their_own_steps(experts, cache):
    """Where they change nothing is taken over from the one before."""
    given = {name: conditions(x, seed=2) for name, x in experts.items()}
    plan = StepPlan.plain(STEPS, cache)
    programs = loop.advance._cache_size()
    ours = of_experts(experts, given, noise(), plan)
    for every in (1, 4):
        pieces = of_experts(experts, given, noise(), plan, every)
        jax.tree.map(np.testing.assert_array_equal, pieces, ours)
    assert loop.advance._cache_size() == programs + 1
    skipped = set(getattr(cache, "steps", ())) - {2}
    want, state, now = noise(), SOLVER.init(noise()), None
    for i, name in enumerate(EXPERTS):
        if i not in skipped:
            now = velocity(experts[name], given[name], want, at(i))
        want, state = SOLVER.step(i, want, now, state)
    np.testing.assert_allclose(ours.latents, want, rtol=1e-5, atol=1e-5)
    assert ours.work.tolist() == [STEPS - len(skipped)]
    alone = run(experts["low"], given["low"], noise(), plan)
    assert np.abs(alone.latents - ours.latents).max() > 0.01


def test_rows_of_two_experts_share_a_call(experts):
    """One request is still at the first expert's steps, the other at the second's."""
    given = {name: batch(x) for name, x in experts.items()}
    plan = StepPlan.plain(STEPS, SkipSteps((1, 2, 4)))
    once = of_experts(experts, given, noise(0, 1), plan)
    program = Program(plan.with_experts(EXPERTS), SOLVER, GEOMETRY)
    inputs = Inputs(experts, given)
    state = loop.start(inputs, noise(0, 1), program=program)
    for until in [(5, 1), (5, 3), (6, 6)]:
        until = jnp.array(until, jnp.int32)
        state, _ = loop.advance(inputs, state, until, program=program)
    jax.tree.map(np.testing.assert_array_equal, state, once)
