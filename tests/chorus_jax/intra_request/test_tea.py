"""TeaCache: its decisions against a transcription in NumPy, and its equalities."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus_jax.families.forward import Held
from chorus_jax.intra_request import EveryStep, StepCache
from chorus_jax.intra_request.sizes import check_size
from chorus_jax.intra_request.tea import PUBLISHED, TeaCache, TeaState
from chorus_jax.schedulers import Euler
from tests.chorus_jax.intra_request.fake import FakeForward, run

CHANGE = TeaCache(0.1, (1.0, 0.0))


def published_decisions(signals, threshold, coefficients, forced_first, forced_last):
    """Which steps are computed; as LiewFeng/TeaCache writes it, in float64."""
    steps, total, previous, computed = len(signals), 0.0, None, []
    for cnt in range(steps):
        modulated = signals[cnt]
        if cnt < forced_first or cnt >= steps - forced_last:
            should_calc, total = True, 0.0
        else:
            change = np.abs(modulated - previous).mean() / np.abs(previous).mean()
            total += np.poly1d(coefficients)(change)
            if total < threshold:
                should_calc = False
            else:
                should_calc, total = True, 0.0
        # Too near to the threshold for float32 to be sure of it.
        near = abs(total - threshold) < 1e-4 * max(1.0, threshold)
        computed.append(None if near else should_calc)
        previous = modulated
    return computed


@functools.cache
def decide(cache, steps):
    """The decisions of all steps, compiled once."""

    def step(state, scanned):
        i, signal = scanned
        computed, total = cache.decide(i[None], steps, signal[None], state)
        known = jnp.ones(1, bool)
        return TeaState(signal[None], total, None, known), computed[0]

    def all_steps(signals):
        start = TeaState(
            jnp.zeros_like(signals[:1]), jnp.zeros(1), None, jnp.zeros(1, bool)
        )
        return jax.lax.scan(step, start, (jnp.arange(steps), signals))[1]

    return jax.jit(all_steps)


# Models, each with and without retention steps where both are published.
VARIANTS = [(name, retention) for name in PUBLISHED for retention in PUBLISHED[name]]


@pytest.mark.parametrize(("variant", "retention"), VARIANTS)
@given(seed=st.integers(0, 2**31), speed=st.floats(0.003, 0.3))
def test_decisions_are_the_published_ones(variant, retention, seed, speed):
    """Over random smooth signals of 20 steps."""
    steps, rng = 20, np.random.default_rng(seed)
    phases = rng.uniform(0, 2 * np.pi, 16) + speed * rng.normal(1, 0.3, 16) * (
        np.arange(steps)[:, None] ** rng.uniform(0.7, 1.3)
    )
    signals = (rng.normal(size=16) + np.cos(phases)).astype(np.float32)
    for threshold in (0.05, 0.2):
        cache = TeaCache.published(variant, threshold, retention=retention)
        coefficients = PUBLISHED[variant][retention].coefficients
        assert cache.coefficients == coefficients
        assert (cache.first, cache.last) == ((5, 0) if retention else (1, 1))
        modulated = retention or variant.startswith("ltx")
        assert cache.signal == ("modulation" if modulated else "embedding")
        forced = (5, 0) if retention else (1, 1)
        want = published_decisions(
            signals.astype(np.float64), threshold, coefficients, *forced
        )
        got = decide(cache, steps)(jnp.asarray(signals)).tolist()
        for ours, theirs in zip(got, want):
            if theirs is None:
                break  # from here on both may go on differently
            assert ours == theirs


def steps_computed(cache, first, last, table, **more):
    *_, work = run(cache, first, last, table=np.asarray(table)[:, None], **more)
    return [first + i for i in np.flatnonzero(np.asarray(work)[:, 0])]


def test_the_worked_case():
    """Changes of 5 percent of the step before add up to 10 in two steps."""
    table = 1.05 ** np.arange(9)
    assert steps_computed(TeaCache(0.0999, (1.0, 0.0)), 0, 9, table) == [0, 2, 4, 6, 8]
    never = TeaCache(100.0, (1.0, 0.0), first=3, last=2)
    assert steps_computed(never, 0, 9, table) == [0, 1, 2, 7, 8]
    assert steps_computed(never, 4, 9, table) == [4, 7, 8]
    # The last steps are those of the whole run.
    assert steps_computed(never, 4, 7, table, steps=9) == [4]


def experts(**changes):
    """Of a second expert it foresees twice the change of the signal."""
    fields = {"second": (2.0, 0.0), "switch": 4, "last": 0}
    return TeaCache(0.0999, (1.0, 0.0), **{**fields, **changes})


def test_the_second_expert_has_its_own_polynomial():
    """Changes of 5 percent of the step before: 10 in two steps, or in one."""
    table = 1.05 ** np.arange(9)
    assert steps_computed(experts(), 0, 9, table) == [0, 2, 4, 5, 6, 7, 8]
    assert steps_computed(experts(switch=7), 0, 9, table) == [0, 2, 4, 6, 7, 8]
    halved = experts(second=(0.5, 0.0))
    assert steps_computed(halved, 0, 9, table) == [0, 2, 5]
    # The state begins anew with the second expert.
    assert steps_computed(halved, 4, 9, table) == [4, 8]


@given(seed=st.integers(0, 2**31))
def test_a_second_expert_with_the_same_polynomial_changes_no_decision(seed):
    signals = jnp.asarray(np.random.default_rng(seed).normal(1, 0.1, (8, 16)))
    same = experts(second=(1.0, 0.0))
    alone = experts(second=(), switch=0)
    ours, want = (decide(x, 8)(signals.astype(jnp.float32)) for x in (same, alone))
    assert ours.tolist() == want.tolist()


def test_a_run_without_the_second_expert_is_refused():
    with pytest.raises(ValueError, match="begins at a step below 3, got 4"):
        run(experts(), 0, 3, table=np.ones((3, 1)))


def test_a_skipped_step_adds_what_the_layers_added_last():
    """The stem of each step is its own, and what is held stays."""
    never = TeaCache(100.0, (1.0, 0.0))
    velocities, held, work = run(never, 0, 4, table=np.ones((4, 1)))
    assert velocities[:, 0].tolist() == [0, 1, 2, 33]
    assert held[:, 0].tolist() == [1, 1, 1, 4] and work[:, 0].tolist() == [1, 0, 0, 1]


def test_each_branch_has_its_own_state():
    """One branch's signal moves and the other's does not."""
    table = np.stack([1.2 ** np.arange(6), np.ones(6)], axis=1)
    cache, steps = TeaCache(0.1, (1.0, 0.0)), 6

    class Branches(FakeForward):
        def signal(self, name):
            return jnp.asarray(table, jnp.float32)[self.i[0]][:, None]

    def forward(i):
        return Branches(jnp.array([i]), passes=2)

    schedule, state = Euler.spaced(steps).schedule, cache.init(forward(0))
    held, shares = Held(jnp.zeros(2, jnp.int32)), []
    for i in range(steps):
        here = forward(i)
        _, held, state, work = cache.step(here.i, schedule, here, held, state)
        shares.append(float(work[0]))
    assert shares == [1, 0.5, 0.5, 0.5, 0.5, 1]


@pytest.mark.parametrize(("variant", "retention"), VARIANTS)
def test_at_threshold_0_every_step_is_computed(variant, retention):
    """Though the polynomials fall below 0."""
    cache = TeaCache.published(variant, 0.0, retention=retention, anywhere=True)
    table = 1 + 0.001 * np.arange(12.0)
    assert steps_computed(cache, 0, 12, table) == list(range(12))


@pytest.mark.parametrize(
    ("steps", "shift", "message"),
    [(20, 5.0, "measured over 50 steps, the run has 20"), (50, 1.0, "at shift 5")],
)
def test_other_runs_than_the_published_are_refused(steps, shift, message):
    cache = TeaCache.published("wan21_t2v_1_3b", 0.08)
    schedule = Euler.spaced(steps, shift).schedule
    with pytest.raises(ValueError, match=message):
        run(cache, 0, 2, table=np.ones((2, 1)), schedule=schedule)


def test_other_sizes_than_the_published_are_refused():
    cache = TeaCache.published("wan21_i2v_720p", 0.2)
    for size in ((90, 160), (160, 90)):
        check_size("They", cache.size, jnp.zeros((1, 21, *size, 16)))
    with pytest.raises(ValueError, match="on latents of 90 x 160, the run's are 60 x"):
        check_size("They", cache.size, jnp.zeros((1, 21, 60, 104, 16)))
    check_size("They", cache.size, jnp.zeros((1, 8, 4, 64)))  # tiles of a region


def test_equal_caches_are_one_program():
    one, other = (TeaCache.published("wan21_t2v_14b", 0.2) for _ in range(2))
    assert one == other and hash(one) == hash(other) and one != CHANGE
    assert isinstance(one, StepCache) and one != EveryStep()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: TeaCache(-0.1, (1.0,)), "a threshold is 0 or more, got -0.1"),
        (lambda: TeaCache(float("nan"), (1.0,)), "a threshold is 0 or more, got nan"),
        (lambda: TeaCache(float("inf"), (1.0,)), "a threshold is 0 or more, got inf"),
        (lambda: TeaCache(0.1, ()), "one coefficient or more"),
        (lambda: TeaCache(0.1, (1.0,), first=-1), "no negative first, last or sw"),
        (lambda: TeaCache(0.1, (1.0,), last=-1), "no negative first, last or sw"),
        (lambda: experts(switch=-1), "no negative first, last or switch"),
        (lambda: experts(switch=0), "give both second and switch, or neither"),
        (lambda: experts(second=()), r"or neither, got \(\) and 4"),
        (lambda: experts(steps=4), "begins at a step below 4, got 4: give the step"),
        (lambda: TeaCache.published("wan", 0.1), "published for 'wan': choose one of"),
    ],
)
def test_impossible_caches_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_signal_that_a_family_lacks_is_refused():
    with pytest.raises(ValueError, match="no signal 'sound'"):
        run(TeaCache(0.1, (1.0,), signal="sound"), 0, 2, table=np.ones((2, 1)))
