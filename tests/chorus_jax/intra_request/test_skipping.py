"""Step caches: what is computed, and what is taken over."""

import jax
import jax.numpy as jnp
import pytest

from chorus_jax.intra_request import EveryStep, SkipSteps, StepCache


def run(cache, steps):
    def step(state, i):
        compute = lambda: (10 * i.astype(jnp.float32), i + 1)
        left, state = cache.step(i, compute, state)
        return state, left

    start = cache.init((jnp.float32(0), jnp.int32(0)))
    velocities, others = jax.lax.scan(step, start, jnp.arange(*steps))[1]
    return velocities.tolist(), others.tolist()


@pytest.mark.parametrize("cache", [EveryStep(), SkipSteps(())], ids=["every", "none"])
def test_every_step_is_computed(cache):
    assert isinstance(cache, StepCache)
    assert run(cache, (0, 4)) == ([0, 10, 20, 30], [1, 2, 3, 4])


def test_skipped_steps_leave_what_was_left_last():
    found = run(SkipSteps((1, 3, 4)), (0, 6))
    assert found == ([0, 0, 20, 20, 20, 50], [1, 1, 3, 3, 3, 6])


def test_the_first_step_is_computed_even_if_it_is_to_be_skipped():
    assert run(SkipSteps((2, 3)), (2, 5)) == ([20, 20, 40], [3, 3, 5])


def test_equal_caches_are_one_program():
    assert hash(SkipSteps((1, 2))) == hash(SkipSteps((1, 2)))
    assert SkipSteps((1, 2)) == SkipSteps((1, 2)) != SkipSteps((1,))
