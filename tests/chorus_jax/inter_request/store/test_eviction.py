"""The order in which each policy evicts."""

import pytest

from chorus_jax.inter_request.store import LCBFU, LRU, ByValue, Statistics
from chorus_jax.inter_request.store.eviction import Held, Victim


def held(id, *, created=0.0, cost=10.0, used=None, saved=0.0, size=100, uses=None):
    uses = uses or {1: 0, 2: 0}
    last = created if used is None else used
    counts = tuple(uses.values())
    statistics = Statistics(created, cost, last, sum(counts), saved, counts)
    return Held(id, size, tuple(uses), statistics)


def order(policy, *entries, now=100.0):
    """What is evicted, one after the other, until nothing is left."""
    left, gone = list(entries), []
    while left:
        id, step = policy.victim(left, now)
        gone.append(id if step is None else (id, step))
        (one,) = [entry for entry in left if entry.id == id]
        left.remove(one)
        if step is not None:
            counts = dict(zip(one.steps, one.statistics.uses))
            del counts[step]
            left.append(held(id, uses=counts))
    return gone


def test_lru_evicts_by_last_use_then_by_age():
    entries = [
        held("a", created=3.0),
        held("b", created=1.0, used=9.0),
        held("c", created=2.0, used=5.0),
        held("d", created=1.0, used=5.0),
    ]
    assert order(LRU(), *entries) == ["a", "d", "c", "b"]


def test_by_value_evicts_the_least_saving_per_byte():
    entries = [
        held("often", saved=50.0),
        held("often but large", saved=50.0, size=10000),
        held("never"),
        held("never but costly", cost=300.0),
    ]
    wanted = ["often but large", "never", "never but costly", "often"]
    assert order(ByValue(), *entries, now=10.0) == wanted


def test_by_value_of_what_was_saved_long_ago_falls():
    old = held("old", created=0.0, saved=20.0)
    young = held("young", created=7000.0, saved=11.0)
    assert order(ByValue(), old, young, now=7200.0) == ["old", "young"]
    patient = ByValue(grace=1e6)
    assert order(patient, old, young, now=7200.0) == ["young", "old"]


def test_by_value_is_seconds_saved_per_second_and_byte():
    one = held("a", cost=20.0, saved=30.0, size=50)
    assert ByValue(prior=0.5, grace=100.0).value(one, 300.0) == 40.0 / 400.0 / 50


@pytest.mark.parametrize("wrong", [{"prior": -1.0}, {"grace": 0.0}])
def test_by_value_refuses_impossible_guesses(wrong):
    with pytest.raises(ValueError, match="expected prior >= 0 and grace > 0"):
        ByValue(**wrong)


def test_lcbfu_evicts_states_by_frequency_times_steps():
    # Scores: a5 5, a10 30, b5 15, b10 10.
    a, b = held("a", uses={5: 0, 10: 2}), held("b", uses={5: 2, 10: 0})
    assert order(LCBFU(), a, b) == [("a", 5), ("b", 10), "b", "a"]


def test_lcbfu_among_equals_the_least_recently_used():
    a, b = held("a", used=2.0), held("b", used=1.0)
    assert LCBFU().victim([a, b], 3.0) == Victim("b", 1)


def test_lcbfu_first_what_has_no_key_step():
    bare = Held("bare", 10, (), Statistics(0.0, 1.0, 50.0, 9))
    assert LCBFU().victim([held("a"), bare], 100.0) == Victim("bare")
