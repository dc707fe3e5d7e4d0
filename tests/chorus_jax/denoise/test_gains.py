"""The gains of cross-attention."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus_jax.denoise.gains import Decay, gain_tables

STAGE = (10, 2, 6)
MASK = np.array([False, True, True, False])
above = st.floats(1, 4, exclude_min=True)
shares = st.floats(0, 1)
ends = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(sorted)


def test_gains_decay_to_1():
    made = gain_tables(STAGE, 3.0, 2.0, 0.5, MASK)
    want = np.array([1, 1, 2, 1.75, 1.5, 1.25, 1, 1, 1, 1], np.float32)
    np.testing.assert_array_equal(made.key[:, 0, 1], want)
    np.testing.assert_array_equal(made.key[:, 0, 2], want)
    np.testing.assert_array_equal(made.key[:, 0, [0, 3]], np.float32(1))
    np.testing.assert_array_equal(made.output[:, 0], 1 + (want - 1) / 2)


@given(above, above, shares, shares, ends)
def test_gains_fall_with_steps_and_scores(key, output, one, other, ends):
    made = [
        gain_tables((12, *ends), key, output, score, MASK)
        for score in sorted((one, other))
    ]
    for table in (*made[0], *made[1]):
        assert table.dtype == np.float32 and (table >= 1).all()
    for low, high in zip(*made):
        assert (high <= low).all()
    for table in made[0]:
        assert (np.diff(table[ends[0] :], axis=0) <= 0).all()
        assert (table[ends[1] :] == 1).all() and (table[: ends[0]] == 1).all()


@given(shares, ends)
def test_a_gain_of_1_is_exactly_1(score, ends):
    assert (Decay(1.0).table(12, *ends, score) == 1).all()
    made = gain_tables((12, *ends), 1.0, 2.0, score, MASK)
    assert (made.key == 1).all()
    made = gain_tables((12, *ends), 2.0, 1.0, score, MASK)
    assert (made.output == 1).all()


@given(shares, ends)
def test_there_are_no_tables_if_nothing_is_amplified(score, ends):
    assert gain_tables((12, *ends), 1.0, 1.0, score, MASK) is None


def test_nothing_is_amplified_at_a_score_of_1():
    made = gain_tables(STAGE, 3.0, 2.0, 1.0, MASK)
    assert (made.key == 1).all() and (made.output == 1).all()


def test_impossible_values_are_refused():
    for score in (-0.1, 1.1, float("nan")):
        for gain in (1.0, 2.0):
            with pytest.raises(ValueError, match="score of a match is 0 to 1"):
                gain_tables(STAGE, gain, gain, score, MASK)
    for gain in (0.9, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="gain is 1 or more and finite"):
            Decay(gain)
