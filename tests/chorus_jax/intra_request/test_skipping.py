"""A fixed list of skipped steps: which steps are computed, and which reused."""

import jax.numpy as jnp
import pytest

from chorus_jax.families.forward import Forward, Held
from chorus_jax.intra_request import EveryStep, SkipSteps, StepCache
from chorus_jax.schedulers import Euler
from tests.chorus_jax.intra_request.fake import FakeForward, run


def ran(cache, first, last):
    velocities, held, work = run(cache, first, last)
    return [x[:, 0].tolist() for x in (velocities, held, work)]


@pytest.mark.parametrize("cache", [EveryStep(), SkipSteps(())], ids=["every", "none"])
def test_every_step_is_computed(cache):
    assert isinstance(cache, StepCache) and isinstance(
        FakeForward(jnp.arange(1)), Forward
    )
    assert ran(cache, 0, 4) == [[0, 11, 22, 33], [1, 2, 3, 4], [1, 1, 1, 1]]


def test_skipped_steps_leave_what_was_left_last():
    found = ran(SkipSteps((1, 3, 4)), 0, 6)
    assert found[0] == [0, 0, 22, 22, 22, 55]
    assert found[1] == [1, 1, 3, 3, 3, 6]
    assert found[2] == [1, 0, 1, 0, 0, 1]


def test_the_first_step_is_computed_even_if_it_is_to_be_skipped():
    found = ran(SkipSteps((2, 3)), 2, 5)
    assert found == [[22, 22, 44], [3, 3, 5], [1, 0, 1]]


def test_rows_skip_each_their_own_steps():
    cache, schedule = SkipSteps((2,)), Euler.spaced(4).schedule
    state = cache.init(FakeForward(jnp.array([1, 2])))
    held = Held(jnp.zeros(2, jnp.int32))
    for i in ([1, 0], [2, 1], [3, 2]):
        forward = FakeForward(jnp.array(i))
        velocity, held, state, work = cache.step(
            forward.i, schedule, forward, held, state
        )
        if i == [2, 1]:
            assert velocity[:, 0].tolist() == [11, 11] and work.tolist() == [0, 1]
    assert velocity[:, 0].tolist() == [33, 11] and work.tolist() == [1, 0]


def test_equal_caches_are_one_program():
    assert hash(SkipSteps((1, 2))) == hash(SkipSteps((1, 2)))
    assert SkipSteps((1, 2)) == SkipSteps((1, 2)) != SkipSteps((1,))


@pytest.mark.parametrize("steps", [(3, 2), (2, 2), (-1,), [1]])
def test_steps_that_do_not_rise_are_refused(steps):
    with pytest.raises(Exception, match="rising from 0|Type-check error"):
        SkipSteps(steps)
