"""The denoising loop: equalities, compilations, and what reaches the host."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from chorus_jax.denoise import sampler
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.schedulers import SOLVERS, Euler, explicit

CONFIG = WanConfig(
    heads=2,
    head_width=12,
    depth=2,
    mlp_width=32,
    in_channels=4,
    out_channels=4,
    text_width=8,
    text_limit=32,
    dtype="float32",
)
SHAPE, GRID = (2, 4, 6, 4), (2, 2, 3)
STEPS = 5


@pytest.fixture(scope="module")
def model():
    return jax.jit(lambda: WanDiT(CONFIG, rngs=nnx.Rngs(0)))()


def text(seed, lengths, rows=8):
    rng = np.random.default_rng(seed)
    out = rng.standard_normal((len(lengths), rows, CONFIG.text_width))
    out *= (np.arange(rows) < np.array(lengths)[:, None])[..., None]
    return jnp.asarray(out, jnp.float32), jnp.array(lengths)


def conditions(
    model, solver, lengths=(3, 5, 4, 2), guidance=(5.0, 2.0), order=slice(None)
):
    rows, lengths = text(0, lengths)
    guidance = None if guidance is None else jnp.array(guidance)
    return sampler.prepare(
        model, rows[order], lengths[order], guidance, solver=solver, grid=GRID
    )


def whole(model, solver, given, latents):
    run = sampler.start(latents, solver=solver)
    return sampler.denoise(model, given, run, 0, solver.schedule.steps, solver=solver)[
        0
    ]


@pytest.mark.parametrize("name", SOLVERS)
def test_one_call_and_step_by_step_give_the_same_bytes(model, name):
    solver = SOLVERS[name].spaced(STEPS, 3.0)
    given, latents = conditions(model, solver), sampler.noise(jnp.arange(2), SHAPE)
    run = sampler.start(latents, solver=solver)
    steps = list(sampler.stepwise(model, given, run, solver))
    assert [done for done, _ in steps] == list(range(1, STEPS + 1))
    at_once = whole(model, solver, given, latents)
    np.testing.assert_array_equal(steps[-1][1].latents, at_once.latents)


@pytest.mark.parametrize(
    "solver",
    [
        *(solver.spaced(STEPS, 3.0) for solver in SOLVERS.values()),
        Euler(explicit((1.0, 0.75, 0.5, 0.25), 5.0)),
    ],
    ids=[*SOLVERS, "sigmas"],
)
def test_equals_a_loop_in_python(model, solver):
    given, latents = conditions(model, solver), sampler.noise(jnp.arange(2), SHAPE)
    step_velocity = jax.jit(lambda x, i: sampler.velocity(model, given, x, i))
    want, state = latents, solver.init(latents)
    for i in range(solver.schedule.steps):
        want, state = solver.step(i, want, step_velocity(want, i), state)
    got = whole(model, solver, given, latents).latents
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_compiles_once_a_schedule_and_never_for_values(model):
    sampler.denoise.clear_cache()
    solver = Euler.spaced(STEPS, 3.0)
    for seed, scale in ((1, 5.0), (2, 7.5)):
        given = conditions(model, solver, guidance=(scale, 1.5))
        whole(model, solver, given, sampler.noise(jnp.array([seed, 9]), SHAPE))
    run = sampler.start(sampler.noise(jnp.arange(2), SHAPE), solver=solver)
    list(sampler.stepwise(model, given, run, Euler.spaced(STEPS, 3.0)))
    assert sampler.denoise._cache_size() == 1
    other = Euler.spaced(STEPS, 4.0)
    whole(model, other, conditions(model, other), sampler.noise(jnp.arange(2), SHAPE))
    assert sampler.denoise._cache_size() == 2


def test_the_loop_never_talks_to_the_host(model):
    solver = Euler.spaced(STEPS, 3.0)
    given = conditions(model, solver)
    run = sampler.start(sampler.noise(jnp.arange(2), SHAPE), solver=solver)
    text = sampler.denoise.lower(model, given, run, 0, STEPS, solver=solver).as_text()
    assert not any(word in text for word in ("callback", "infeed", "outfeed", "send"))


def test_guidance_one_is_the_conditional_branch_alone(model):
    solver = Euler.spaced(STEPS, 3.0)
    latents = sampler.noise(jnp.arange(2), SHAPE)
    guided = conditions(model, solver, guidance=(1.0, 1.0))
    alone = conditions(model, solver, lengths=(3, 5), guidance=None)
    # text(0, ...) draws row by row, so both have the same first two rows
    got = whole(model, solver, guided, latents).latents
    want = whole(model, solver, alone, latents).latents
    np.testing.assert_allclose(got, want, atol=2e-5)


def test_same_bytes_whatever_the_position_in_a_batch(model):
    solver = SOLVERS["unipc"].spaced(STEPS, 3.0)
    latents = sampler.noise(jnp.arange(2), SHAPE)
    here = whole(model, solver, conditions(model, solver), latents).latents
    swapped = conditions(
        model, solver, guidance=(2.0, 5.0), order=np.array([1, 0, 3, 2])
    )
    there = whole(model, solver, swapped, latents[::-1]).latents
    np.testing.assert_array_equal(here, there[::-1])


def test_noise_depends_on_its_own_seed_only():
    many = sampler.noise(jnp.array([7, 3, 7]), SHAPE)
    np.testing.assert_array_equal(many[0], many[2])
    np.testing.assert_array_equal(many[1], sampler.noise(jnp.array([3]), SHAPE)[0])
    assert abs(float(many[:2].mean())) < 0.2 and abs(float(many[:2].std()) - 1) < 0.1


def test_a_caller_that_stops_iterating_stops_the_run(model, monkeypatch):
    solver = Euler.spaced(20, 3.0)
    given = conditions(model, solver)
    run = sampler.start(sampler.noise(jnp.arange(2), SHAPE), solver=solver)
    dispatched, denoise = [], sampler.denoise
    monkeypatch.setattr(
        sampler,
        "denoise",
        lambda *x, **y: (dispatched.append(x[3]), denoise(*x, **y))[1],
    )
    for done, _ in sampler.stepwise(model, given, run, solver):
        if done == 3:
            break
    assert len(dispatched) <= 3 + sampler.AHEAD + 1
