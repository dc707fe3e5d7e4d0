"""The gains of cross-attention."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus_jax.denoise.gains import Constant, Decay, make_gains
from chorus_jax.denoise.stages import StagePlan

PLAN = StagePlan(10, 2, 6)
MASK = np.array([False, True, True, False])
gains = st.floats(1, 4)
shares = st.floats(0, 1)
ends = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(sorted)


def test_decay_goes_from_the_gain_to_1():
    made = make_gains(PLAN, Decay(3.0), Decay(2.0), 0.5, MASK)
    want = np.array([1, 1, 2, 1.75, 1.5, 1.25, 1, 1, 1, 1], np.float32)
    np.testing.assert_array_equal(made.key[:, 1], want)
    np.testing.assert_array_equal(made.key[:, 2], want)
    np.testing.assert_array_equal(made.key[:, [0, 3]], np.float32(1))
    np.testing.assert_array_equal(made.output, 1 + (want - 1) / 2)


def test_constant_is_the_same_in_all_of_stage_2():
    made = make_gains(PLAN, Constant(1.5), Constant(1.25), 0.5, MASK)
    np.testing.assert_array_equal(made.output[2:6], np.float32(1.25))
    np.testing.assert_array_equal(made.key[2:6, 1], np.float32(1.5))
    assert (np.delete(made.output, range(2, 6)) == 1).all()
    assert (np.delete(made.key, range(2, 6), axis=0) == 1).all()


@pytest.mark.parametrize("kind", [Constant, Decay])
@given(gains, gains, shares, shares, ends)
def test_gains_fall_with_steps_and_scores(kind, key, output, one, other, ends):
    plan = StagePlan(12, *ends)
    made = [
        make_gains(plan, kind(key), kind(output), score, MASK)
        for score in sorted((one, other))
    ]
    for table in (*made[0], *made[1]):
        assert table.dtype == np.float32 and (table >= 1).all()
    for low, high in zip(*made):
        assert (high <= low).all()
    for table in made[0]:
        assert (np.diff(table[plan.start :], axis=0) <= 0).all()
        assert (table[plan.region_until :] == 1).all()


@given(shares, ends, st.sampled_from([Constant(1.0), Decay(1.0)]))
def test_a_gain_of_1_is_exactly_1(score, ends, schedule):
    made = make_gains(StagePlan(12, *ends), schedule, schedule, score, MASK)
    assert (made.key == 1).all() and (made.output == 1).all()


def test_nothing_is_amplified_at_a_score_of_1():
    made = make_gains(PLAN, Decay(3.0), Decay(2.0), 1.0, MASK)
    assert (made.key == 1).all() and (made.output == 1).all()


def test_impossible_values_are_refused():
    for score in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="score of a match is 0 to 1"):
            make_gains(PLAN, Decay(2.0), Decay(2.0), score, MASK)
    for gain in (0.9, float("inf"), float("nan")):
        for kind in (Constant, Decay):
            with pytest.raises(ValueError, match="gain is 1 or more and finite"):
                kind(gain)
