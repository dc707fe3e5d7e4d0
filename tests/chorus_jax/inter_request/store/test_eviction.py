"""The order in which entries are evicted."""

import pytest

from chorus_jax.inter_request.store import LRU, Eviction, Secret, Statistics, Store
from chorus_jax.inter_request.store.eviction import StoredItem
from chorus_jax.inter_request.store.record import packed


def stored(id, *, created=0.0, used=None, size=100):
    last = created if used is None else used
    return StoredItem(id, size, Statistics(created, 10.0, last))


def order(policy, *items):
    """What is evicted, one after the other, until nothing is left."""
    rest, gone = list(items), []
    while rest:
        gone.append(policy.victim(rest))
        rest = [item for item in rest if item.id != gone[-1]]
    return gone


def test_lru_evicts_by_last_use_then_by_age():
    items = [
        stored("a", created=3.0),
        stored("b", created=1.0, used=9.0),
        stored("c", created=2.0, used=5.0, size=1),
        stored("d", created=1.0, used=5.0),
    ]
    assert isinstance(LRU(), Eviction)
    assert order(LRU(), *items) == ["a", "d", "c", "b"]


class Noting:
    """LRU that keeps what it was shown."""

    def __init__(self):
        self.shown = []

    def victim(self, items):
        self.shown.append({item.id: item for item in items})
        return LRU().victim(items)


@pytest.mark.parametrize("tier", ["memory", "disk"])
def test_a_policy_sees_bytes_and_use_of_the_tier_that_needs_room(
    open_store, make, tier
):
    policy, entries = Noting(), [make(i, side=4 + i) for i in range(3)]
    if tier == "memory":
        store, sizes = Store(2**24, eviction=policy), [x.nbytes for x in entries]
    else:
        store = open_store(0, eviction=policy)
        sizes = [packed(entry, Secret(bytes(32))).size for entry in entries]
    with store:
        for entry in entries:
            store.admit(entry)
        store.hit(entries[0].id, 2.5)
        store.evict(*[sum(sizes) - 1] * 2)
        [shown] = policy.shown
        assert [shown[entry.id].size for entry in entries] == sizes
        used = shown[entries[0].id].statistics
        assert (used.hits, used.saved, used.created) == (1, 2.5, 100.0)
        assert used.last_used > 1e9
        assert {head.id for head in store} == {entries[0].id, entries[2].id}
