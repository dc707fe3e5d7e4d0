"""Tests for every solver; enter a new solver in the table first."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.schedulers import SOLVERS, explicit
from chorus_jax.schedulers.flow import add_noise

# Those that add noise are not solved for: `test_renoise`.
SOLVING = {name: solver for name, solver in SOLVERS.items() if not solver.stochastic}
every = pytest.mark.parametrize("solver", SOLVING.values(), ids=SOLVING)


def solve(solver, velocity, latents, start=0):
    """Runs `velocity(sigma, latents)` from step `start` to the end, in one scan."""
    sigmas = jnp.asarray(solver.schedule.sigmas, jnp.float32)

    def step(carry, i):
        latents, state = carry
        return solver.step(i, latents, velocity(sigmas[i], latents), state), None

    steps = jnp.arange(start, solver.schedule.steps)
    return jax.lax.scan(step, (latents, solver.init(latents)), steps)[0][0]


def normal(key, shape=(2, 3, 4)):
    return jax.random.normal(jax.random.key(key), shape)


@every
@pytest.mark.parametrize("start", [0, 1, 4])
def test_a_straight_flow_is_solved_exactly(solver, start):
    clean, noise = normal(0), normal(1)
    method = solver.spaced(5, 3.0)
    latents = add_noise(clean, noise, method.schedule.sigmas[start])
    out = solve(method, lambda sigma, latents: noise - clean, latents, start)
    np.testing.assert_allclose(out, clean, atol=2e-6)


def deviation(sigma, spread):
    """Standard deviation of the latents when the data are normal about 0."""
    return ((1 - sigma) ** 2 * spread**2 + sigma**2) ** 0.5


def gaussian_velocity(sigma, latents, spread=2.0):
    """The flow of that data: every path keeps its place, latents ~ deviation(sigma)."""
    slope = sigma - (1 - sigma) * spread**2
    return slope / deviation(sigma, spread) ** 2 * latents


@every
def test_order_of_convergence(solver):
    # From 0.9: a first step from 1 is infinitely long to a method in log SNR.
    noise, first, spread = normal(0), 0.9, 2.0

    def error(steps):
        sigmas = tuple(np.linspace(first, 0, steps + 1).tolist())
        latents = deviation(first, spread) * noise
        out = solve(solver(explicit(sigmas)), gaussian_velocity, latents)
        return float(jnp.abs(out - spread * noise).max())

    errors = [error(16), error(64)]
    order = np.log2(errors[0] / errors[1]) / 2
    expected = 1 if solver is SOLVERS["euler"] else 2
    assert order == pytest.approx(expected, abs=0.25), errors


@every
def test_the_state_is_constant_in_tree_shapes_and_dtypes(solver):
    method = solver.spaced(4)
    latents = normal(0)
    state = method.init(latents)
    for i in range(4):
        before = jax.tree.map(lambda x: (x.shape, x.dtype), (latents, state))
        latents, state = method.step(i, latents, normal(i), state)
        assert jax.tree.map(lambda x: (x.shape, x.dtype), (latents, state)) == before


@every
def test_a_number_and_a_traced_step_give_the_same(solver):
    method, velocity = solver.spaced(6, 5.0), gaussian_velocity
    latents = normal(0)
    scanned = solve(method, velocity, latents)
    state = method.init(latents)
    for i, sigma in enumerate(method.schedule.sigmas[:-1]):
        latents, state = method.step(i, latents, velocity(sigma, latents), state)
    np.testing.assert_allclose(scanned, latents, atol=2e-6)


@every
@pytest.mark.parametrize("start", [1, 3, 5])
def test_a_later_start_equals_the_rest_of_the_schedule(solver, start):
    velocity, noise = gaussian_velocity, normal(0)
    whole = solver.spaced(6, 5.0)
    rest = solver(explicit(whole.schedule.sigmas[start:]))
    expected = solve(rest, velocity, noise)
    np.testing.assert_array_equal(solve(whole, velocity, noise, start), expected)


@every
def test_a_velocity_in_bfloat16_leaves_latents_in_float32(solver):
    method, latents = solver.spaced(2), normal(0)
    velocity = normal(1).astype(jnp.bfloat16)
    out, _ = method.step(0, latents, velocity, method.init(latents))
    assert out.dtype == jnp.float32


@every
def test_latents_in_bfloat16_are_refused(solver):
    with pytest.raises(ValueError, match="float32, got bfloat16"):
        solver.spaced(2).init(normal(0).astype(jnp.bfloat16))


@every
def test_a_solver_is_a_static_argument(solver):
    compiled = []

    def run(method, latents):
        compiled.append(method)
        return method.step(0, latents, latents, method.init(latents))[0]

    jitted = jax.jit(run, static_argnums=0)
    jitted(solver.spaced(3, 5.0), normal(0))
    jitted(solver.spaced(3, 5.0), normal(0))
    jitted(solver.spaced(3, 4.0), normal(0))
    assert compiled == [solver.spaced(3, 5.0), solver.spaced(3, 4.0)]
