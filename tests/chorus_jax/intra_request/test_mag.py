"""MagCache: published skip lists, and runs for which its ratios are not valid."""

import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.intra_request.mag import MagCache
from chorus_jax.intra_request.mag_curves import CURVES
from chorus_jax.schedulers import Euler, named
from tests.chorus_jax.intra_request.fake import FakeForward, run


def computed(variant, threshold, **more):
    cache = MagCache.published(variant, threshold, **more)
    return np.flatnonzero(cache.computes(len(CURVES[variant].ratios))).tolist()


# The authors' counts for Wan 2.1, MaxDiffusion's for Wan 2.2.
@pytest.mark.parametrize(
    ("variant", "threshold", "longest", "count"),
    [
        ("wan21_t2v_1_3b", 0.12, 2, 25),
        ("wan21_t2v_1_3b", 0.12, 4, 21),
        ("wan21_t2v_1_3b", 0.24, 6, 18),
        ("wan21_t2v_14b", 0.24, 6, 18),
        ("wan22_t2v_a14b", 0.04, 2, 40 - 18),
        ("wan22_i2v_a14b", 0.06, 2, 40 - 17),
    ],
)
def test_published_counts(variant, threshold, longest, count):
    assert len(computed(variant, threshold, longest=longest)) == count


def test_the_published_list_of_the_fast_setting():
    steps = computed("wan21_t2v_1_3b", 0.12, longest=4)
    assert steps == [*range(10), 14, 19, 24, 29, 34, 38, 41, 44, 46, 48, 49]


def test_each_expert_has_its_own_first_steps():
    steps = computed("wan22_t2v_a14b", 0.04)
    assert {0, 1, 2, 3, 4, 26, 27} <= set(steps) and 5 not in steps


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 20}, "ratios are of 50 steps, the run has 20"),
        ({"shift": 1.0}, "measured at shift 5, the run's steps are spaced as with 1"),
    ],
)
def test_other_runs_are_refused_unless_asked(change, message):
    steps, shift = change.get("steps", 50), change.get("shift", 5.0)
    solver = named("unipc").spaced(steps, shift)
    strict = MagCache.published("wan21_t2v_1_3b", 0.12)
    with pytest.raises(ValueError, match=message):
        run(strict, 0, 2, schedule=solver.schedule)
    free = MagCache.published("wan21_t2v_1_3b", 0.12, anywhere=True)
    assert run(free, 0, 2, schedule=solver.schedule)[2].tolist() == [[1], [1]]


class Sized(FakeForward):
    """A pass of 480p latents."""

    @property
    def latents(self):
        return jnp.zeros((1, 1, 60, 104, 1))


def test_another_size_is_refused_unless_asked():
    forward = Sized(jnp.zeros(1, jnp.int32))
    MagCache.published("wan21_t2v_1_3b", 0.12).init(forward)
    with pytest.raises(ValueError, match="on latents of 90 x 160, the run's are 60 x"):
        MagCache.published("wan21_t2v_14b", 0.24).init(forward)
    MagCache.published("wan21_t2v_14b", 0.24, anywhere=True).init(forward)


def test_a_reused_residual_is_added_unchanged():
    """The stem of each step is its own."""
    cache = MagCache(1.0, (1.0,) * 4, longest=2, retention=0.0)
    velocities, held, work = run(cache, 0, 4)
    assert velocities[:, 0].tolist() == [0, 1, 2, 33]
    assert held[:, 0].tolist() == [1, 1, 1, 4] and work[:, 0].tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: MagCache(-1.0, (1.0,)), "a threshold is 0 or more"),
        (lambda: MagCache(0.1, ()), "one ratio per step"),
        (lambda: MagCache(0.1, (1.0,), switch=1), "begins at a step below 1, got 1"),
        (lambda: MagCache.published("wan", 0.1), "published for 'wan': choose one of"),
    ],
)
def test_impossible_caches_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_shift_of_every_solver_is_recognised():
    for name in ("euler", "unipc", "dpmpp", "wan_unipc", "wan_dpmpp"):
        schedule = named(name).spaced(40, 12.0).schedule
        cache = MagCache(0.1, (1.0,) * 40, shift=12.0)
        assert run(cache, 0, 1, schedule=schedule)[2].tolist() == [[1]]
    with pytest.raises(ValueError, match="measured at shift 12"):
        run(cache, 0, 1, schedule=Euler.spaced(40, 5.0).schedule)


def test_the_second_expert_begins_computed_however_short_it_is():
    """Its first step has no residual of its own to reuse."""
    cache = MagCache(10.0, (1.0,) * 6, longest=6, switch=4)
    assert cache.computes(6) == (True, False, False, False, True, False)
