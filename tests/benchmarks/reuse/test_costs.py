"""Whole steps add up to what an arm computes, for each kind of targets."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.reuse.costs import even, shared_out


def test_halves_are_rounded_in_turns():
    assert shared_out([2.5, 2.5, 3.0, 2.5, 1.0], range(4, 0, -1)) == [3, 2, 3, 3, 1]


def test_a_missing_option_is_made_up_for():
    assert shared_out([7.0] * 5, (10, 5)) == [5, 10, 5, 10, 5]


@given(st.lists(st.floats(1, 50), max_size=50))
def test_sums_are_equal_to_half_a_step(costs):
    found = shared_out(costs, range(50, 0, -1))
    assert abs(sum(found) - sum(costs)) <= 0.5 + 1e-4
    assert all(abs(x - y) <= 1 + 1e-4 for x, y in zip(found, costs, strict=True))


def test_kinds_do_not_pay_for_each_other():
    kinds = ["size", "", "size", ""]
    targets = [SimpleNamespace(number=n, changed=x) for n, x in enumerate(kinds)]
    assert even(targets, lambda _: 2.5, (2, 3)) == {0: 3, 1: 3, 2: 2, 3: 2}
