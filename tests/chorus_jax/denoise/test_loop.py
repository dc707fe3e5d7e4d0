"""The denoising loop: equalities, pieces, compilations, and what reaches the host."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.denoise import loop
from chorus_jax.denoise.noise import of_step
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.program import Program
from chorus_jax.denoise.state import SourceLatents
from chorus_jax.families.forward import Geometry
from chorus_jax.intra_request import SkipSteps
from chorus_jax.intra_request.tea import TeaCache
from chorus_jax.schedulers import SOLVERS, Euler, explicit
from tests.chorus_jax.denoise.tiny import (
    GEOMETRY,
    SHAPE,
    SOLVER,
    STEPS,
    at,
    begun,
    conditions,
    earlier,
    gains,
    hit,
    noise,
    region,
    run,
    velocity,
)

PLAIN = StepPlan.plain(STEPS)
HOST = ("callback", "infeed", "outfeed", "stablehlo.send", "stablehlo.recv")


# The other solvers space the same rules in another way.
RULES = ("euler", "unipc", "dpmpp", "renoise", "res_2s")


def batch(model, solver=SOLVER, **more):
    given = {"guidance": (5.0, 2.0), "lengths": (3, 5, 4, 2), **more}
    return conditions(model, solver, **given)


@pytest.mark.parametrize(
    "solver",
    [
        *(SOLVERS[name].spaced(STEPS, 3.0) for name in RULES),
        Euler(explicit((1.0, 0.75, 0.5, 0.25), 5.0)),
    ],
    ids=[*RULES, "sigmas"],
)
def test_equals_a_loop_in_python(model, solver):
    given, latents = batch(model, solver), noise(0, 1)
    want, state = latents, jax.vmap(solver.init)(latents)
    for i in range(solver.schedule.steps):
        now = velocity(model, given, want, at(i, 2))
        fresh = (
            (of_step(jnp.arange(2), at(i, 2), GEOMETRY),) if solver.stochastic else ()
        )
        step = jax.vmap(lambda *of_video: solver.step(i, *of_video))
        want, state = step(want, now, state, *fresh)
    plan = StepPlan.plain(solver.schedule.steps)
    got = run(model, given, latents, plan, solver=solver)
    np.testing.assert_allclose(got.latents, want, rtol=1e-5, atol=1e-5)
    assert got.work.tolist() == [solver.schedule.steps] * 2


TEA = TeaCache(0.5, (1.0, 0.0))
PLANS = {
    "plain": PLAIN,
    "tea": StepPlan.plain(STEPS, TEA),
    "held": StepPlan.staged(STEPS, 1, 5, region(3), opening=2),
    "sampled": StepPlan.staged(
        STEPS, 1, STEPS, region(3, context="sampled", sampled=2)
    ),
    "halo": StepPlan.staged(STEPS, 1, 5, region(3, halo=2, open_until=3, limit=1e6)),
    "beyond": StepPlan.staged(STEPS, 1, 5, region(3, limit=0.0)),
    "skipped region": StepPlan.staged(
        STEPS, 1, 5, region(3, halo=2, open_until=3), cache=SkipSteps((3, 4, 5))
    ),
    "skipped beyond": StepPlan.staged(
        STEPS, 1, 5, region(3, limit=0.0), cache=SkipSteps((3, 5))
    ),
    "tea region": StepPlan.staged(STEPS, 1, 5, region(3), cache=TEA),
}


@pytest.mark.parametrize("name", PLANS)
def test_one_call_and_pieces_give_the_same_bytes_by_one_program(model, name):
    plan = PLANS[name]
    given, (_, source) = conditions(model, seed=1), earlier(model, 1, 4)
    latents = noise() if plan.start == 0 else source.start
    programs = loop.advance._cache_size()
    once = run(model, given, latents, plan, source, gains=gains(1.5, 1.2))
    assert loop.advance._cache_size() == programs + 1
    assert np.isfinite(once.latents).all() and (once.step == STEPS).all()
    for every in (1, 2, 3):
        pieces = run(
            model, given, latents, plan, source, every=every, gains=gains(1.5, 1.2)
        )
        jax.tree.map(np.testing.assert_array_equal, pieces, once)
    assert loop.advance._cache_size() == programs + 1


@pytest.mark.parametrize("name", ["unipc", "renoise"])
def test_pieces_are_one_call_for_every_solver(model, name):
    solver = SOLVERS[name].spaced(STEPS, 3.0)
    plan = StepPlan.staged(STEPS, 1, 4, region(3))
    _, source = earlier(model, 1, 4, solver=solver)
    given = conditions(model, solver, seed=1)
    once = hit(model, given, source, plan, solver=solver)
    pieces = hit(model, given, source, plan, solver=solver, every=1)
    jax.tree.map(np.testing.assert_array_equal, pieces, once)


@pytest.mark.parametrize("every", [1, 2, 4, None])
@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_pieces_say_how_many_steps_are_done(model, every, ahead):
    program, inputs, state = begun(model, batch(model), noise(0, 1), PLAIN)
    found = [d for d, _ in loop.in_pieces(inputs, state, program, every, ahead)]
    want = {1: [1, 2, 3, 4, 5, 6], 2: [2, 4, 6], 4: [4, 6], None: [6]}
    assert found == want[every]


def test_a_replay_is_the_sources_latents(model):
    latents = noise()
    source = SourceLatents(latents, latents, latents)
    plan = StepPlan.plain(STEPS, first=STEPS)
    ours = hit(model, conditions(model), source, plan)
    np.testing.assert_array_equal(ours.latents, latents)
    assert ours.work.tolist() == [0]


def test_compiles_once_a_schedule_and_never_for_values(model):
    programs = loop.advance._cache_size()
    solver = Euler.spaced(STEPS, 2.5)
    for seed, scale in ((1, 5.0), (2, 7.5)):
        given = batch(model, solver, guidance=(scale, 1.5))
        run(model, given, noise(seed, 9), PLAIN, solver=solver)
        run(model, given, noise(seed, 3), PLAIN, solver=solver, every=1)
    assert loop.advance._cache_size() == programs + 1
    other = Euler.spaced(STEPS, 4.0)
    run(model, batch(model, other), noise(0, 1), PLAIN, solver=other)
    assert loop.advance._cache_size() == programs + 2


def test_one_program_for_each_plan_whatever_the_source(model):
    _, source = earlier(model, 1, 4)
    programs = loop.advance._cache_size()
    plan = StepPlan.staged(STEPS, 1, 4, region(3, limit=0.6))
    for seed in range(3):
        other = source._replace(start=source.start + seed)
        # Within the limit or beyond: one program.
        given = conditions(model, seed=seed)
        hit(model, given, other, plan, gains=gains(), every=2)
    assert loop.advance._cache_size() == programs + 1
    later = StepPlan.staged(STEPS, 2, 4, region(3, limit=0.6))
    hit(model, conditions(model, seed=1), source, later, gains=gains())
    assert loop.advance._cache_size() == programs + 2


@pytest.mark.parametrize("name", ["plain", "halo", "skipped beyond", "tea region"])
def test_the_loop_never_talks_to_the_host(model, name):
    """A run is one program, and that program calls nobody."""
    plan, (_, source) = PLANS[name], earlier(model, 1, 4)
    given = conditions(model, seed=1)
    program, inputs, state = begun(
        model, given, source.start, plan, source, gains=gains()
    )
    lowered = loop.advance.lower(inputs, state, at(STEPS), program=program).as_text()
    assert "while" in lowered
    assert not any(word in lowered for word in HOST)


def test_guidance_one_is_the_conditional_branch_alone(model):
    guided = batch(model, guidance=(1.0, 1.0))
    alone = conditions(model, guidance=None, lengths=(3,))
    got = run(model, guided, noise(0, 1), PLAIN).latents
    want = run(model, alone, noise(0), PLAIN).latents
    # Texts are drawn row by row, so both have the same first one.
    np.testing.assert_allclose(got[:1], want, atol=2e-5)


def test_noise_depends_on_its_own_seed_only():
    many = loop.noise(jnp.array([7, 3, 7]), GEOMETRY)
    np.testing.assert_array_equal(many[0], many[2])
    np.testing.assert_array_equal(many[1], noise(3)[0])
    assert abs(float(many[:2].mean())) < 0.2 and abs(float(many[:2].std()) - 1) < 0.1


def test_noise_of_the_first_stream_is_that_of_a_model_with_one():
    sound = ("sound", (5, 2))
    two = Geometry((("video", SHAPE), sound), (2, 4, 4), (1, 2, 2), (1, 2, 2))
    found = loop.noise(jnp.array([7, 3]), two)
    np.testing.assert_array_equal(found["video"], noise(7, 3))
    assert found["sound"].shape == (2, 5, 2)
    again = loop.noise(jnp.array([3]), two)["sound"]
    np.testing.assert_array_equal(found["sound"][1:], again)
    assert np.abs(found["sound"][0] - found["sound"][1]).min() > 0


@pytest.mark.parametrize("every", [1, 3])
def test_a_caller_that_stops_iterating_stops_the_run(model, monkeypatch, every):
    solver = Euler.spaced(20, 3.0)
    given = batch(model, solver)
    program, inputs, state = begun(
        model, given, noise(0, 1), StepPlan.plain(20), solver=solver
    )
    called, advance = [], loop.advance

    def counted(inputs, state, until, **more):
        called.append(int(until[0]))
        return advance(inputs, state, until, **more)

    monkeypatch.setattr(loop, "advance", counted)
    for done, _ in loop.in_pieces(inputs, state, program, every):
        if done == 3:
            break
    assert max(called) <= 3 + loop.AHEAD * every


def test_with_nothing_ahead_every_state_may_be_read(model):
    given, want = conditions(model), noise()
    program, inputs, state = begun(model, given, want, PLAIN)
    for i, (_, now) in enumerate(loop.in_pieces(inputs, state, program, 1, ahead=0)):
        want, _ = SOLVER.step(i, want, velocity(model, given, want, at(i)), ())
        np.testing.assert_allclose(now.latents, want, rtol=1e-5, atol=1e-5)


def test_latents_stay_the_callers(model):
    latents = noise()
    run(model, conditions(model), latents, PLAIN)
    np.testing.assert_array_equal(latents, noise())


@pytest.mark.parametrize("shape", [(1, 2, 4, 4, 1), (1, 2, 8, 10, 1), (2, 2, 8, 8, 1)])
def test_a_mask_on_another_grid_is_refused(model, shape):
    plan = StepPlan.staged(STEPS, 1, 4, region(2))
    source = SourceLatents(noise(), noise(), noise())
    with pytest.raises(ValueError, match=r"these latents is \(1, 2, 8, 8, 1\), got"):
        hit(model, conditions(model), source, plan, mask=jnp.ones(shape))


def test_a_region_without_a_source_is_refused(model):
    plan = StepPlan.staged(STEPS, 1, 4, region(2))
    with pytest.raises(ValueError, match="needs a source's latents, got none"):
        run(model, conditions(model), noise(), plan)


@pytest.mark.parametrize(
    "plan, message",
    [
        (StepPlan.plain(9), "for 9 steps, but the solver has 6"),
        (StepPlan.staged(6, 1, 4, region(9)), "8 in all: ask for a smaller share"),
    ],
    ids=["steps", "region"],
)
def test_a_plan_that_does_not_fit_is_refused(plan, message):
    make = partial(Program, plan, SOLVER, GEOMETRY)
    with pytest.raises(ValueError, match=message):
        make()
