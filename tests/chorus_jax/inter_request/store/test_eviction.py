"""The order in which entries are evicted."""

import pytest

from chorus_jax.inter_request.store import Eviction, FairShare, Secret, Store
from chorus_jax.inter_request.store.eviction import StoredItem
from chorus_jax.inter_request.store.record import packed


def stored(id, *, created=0.0, used=None, size=100, namespace="us"):
    last = created if used is None else used
    return StoredItem(id, namespace, size, last, created)


def order(policy, *items):
    """What is evicted, one after the other, until nothing is left."""
    rest, gone = list(items), []
    while rest:
        gone.append(policy.victim(rest))
        rest = [item for item in rest if item.id != gone[-1]]
    return gone


def test_the_least_recently_used_goes_first_then_the_oldest():
    items = [
        stored("a", created=3.0),
        stored("b", created=1.0, used=9.0),
        stored("c", created=2.0, used=5.0, size=1),
        stored("d", created=1.0, used=5.0),
    ]
    assert isinstance(FairShare(), Eviction)
    assert order(FairShare(), *items) == ["a", "d", "c", "b"]


def test_the_largest_namespace_loses_first():
    items = [
        stored("old", created=1.0, namespace="small"),
        stored("a", created=2.0, namespace="large"),
        stored("b", created=3.0, namespace="large"),
        stored("c", created=4.0, namespace="large", size=50),
    ]
    assert order(FairShare(), *items) == ["a", "b", "old", "c"]


@pytest.mark.parametrize("tier", ["memory", "disk"])
def test_a_namespace_cannot_evict_the_share_of_another(open_store, make, tier):
    size = len(packed(make(0), Secret(bytes(32))))
    if tier == "memory":
        store = Store(4 * make(0).nbytes)
    else:
        store = open_store(0, disk_bytes=4 * size + 100)
    with store:
        for i in range(2):
            store.admit(make(i))
        for i in range(10, 40):
            store.admit(make(i, namespace="them", created=1e6))
        assert all(store.head(make(i).id, "us") is not None for i in range(2))


@pytest.mark.parametrize("tier", ["memory", "disk"])
def test_an_entry_from_the_future_goes_like_others(open_store, make, tier):
    """A clock was set back."""
    times = iter(range(1000, 10_000))
    clock = lambda: float(next(times))
    size = len(packed(make(0), Secret(bytes(32))))
    if tier == "memory":
        store = Store(3 * make(0).nbytes, clock=clock)
    else:
        store = open_store(0, disk_bytes=3 * size + 100, clock=clock)
    with store:
        store.admit(make(0, created=1e9))
        for i in range(1, 8):
            store.admit(make(i, created=clock()))
        assert store.head(make(0).id, "us") is None


class Noting:
    """Keeps what it was shown."""

    def __init__(self):
        self.shown = []

    def victim(self, items, coming=None):
        self.shown.append({item.id: item for item in (*items, coming)})
        return FairShare().victim(items)


@pytest.mark.parametrize("tier", ["memory", "disk"])
def test_a_policy_sees_bytes_and_use_of_the_tier_that_needs_room(
    open_store, make, tier
):
    policy, entries = Noting(), [make(i, side=4 + i) for i in range(3)]
    if tier == "memory":
        sizes = [entry.nbytes for entry in entries]
        store = Store(sum(sizes) - 1, eviction=policy)
    else:
        sizes = [len(packed(entry, Secret(bytes(32)))) for entry in entries]
        store = open_store(0, disk_bytes=sum(sizes) - 1, eviction=policy)
    with store:
        for entry in entries:
            store.admit(entry)
            store.hit(entries[0].id)
        [shown] = policy.shown
        assert [shown[entry.id].size for entry in entries] == sizes
        used = shown[entries[0].id]
        assert used.created == 100.0 and used.last_used > 1e9
        assert {head.id for head in store} == {entries[0].id, entries[2].id}
