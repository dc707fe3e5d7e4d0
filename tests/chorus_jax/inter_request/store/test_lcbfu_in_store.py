"""A policy that evicts single key steps, in both tiers."""

import pytest

from chorus_jax.inter_request.store import LCBFU, Secret, Store
from chorus_jax.inter_request.store.record import packed


@pytest.fixture
def room(make):
    """Bytes of memory and disk for three entries less two key steps."""
    entry = make(0)
    record = packed(entry, Secret(bytes(32))).size
    return [3 * size - 2 * entry.latents[0].nbytes for size in (entry.nbytes, record)]


@pytest.fixture(params=["memory", "disk", "both"])
def kept(request, open_store, room):
    memory, disk = room
    if request.param == "memory":
        with Store(memory, eviction=LCBFU()) as store:
            yield store
    else:
        memory = 0 if request.param == "disk" else memory
        yield open_store(memory, disk_bytes=disk, eviction=LCBFU())


def steps(store):
    return {int(head.id, 16): head.steps for head in store}


def test_low_key_steps_go_first(kept, make):
    for i in range(3):
        kept.admit(make(i))
    # Scores are the steps themselves: the first ones of the oldest entries go.
    assert steps(kept) == {0: (2, 3), 1: (2, 3), 2: (1, 2, 3)}
    for i in range(3):
        entry = kept.get(make(i).id, "us")
        assert entry.steps == steps(kept)[i]
        for step in entry.steps:
            assert entry.at(step).tobytes() == make(i).at(step).tobytes()
        assert entry.final.tobytes() == make(i).final.tobytes()


def test_used_key_steps_stay(kept, make):
    for i in range(2):
        kept.admit(make(i))
    for _ in range(4):
        kept.hit(make(0).id, 1.0, 1)
    kept.admit(make(2))
    assert kept.get(make(0).id, "us").statistics.uses == (4, 0, 0)
    assert steps(kept) == {0: (1, 2, 3), 1: (3,), 2: (1, 2, 3)}
    kept.hit(make(1).id, 1.0, 3)
    assert kept.get(make(1).id, "us").statistics.uses == (1,)


def test_a_restart_finds_what_is_left(open_store, make, room):
    with open_store(disk_bytes=room[1], eviction=LCBFU()) as store:
        for i in range(3):
            store.admit(make(i))
        for _ in range(3):
            store.hit(make(1).id, 2.0, 3)
        left = steps(store)
    with open_store(disk_bytes=room[1], eviction=LCBFU()) as store:
        assert steps(store) == left
        used = store.get(make(1).id, "us").statistics
        assert (used.hits, used.saved, used.uses) == (3, 6.0, (0, 3))


def test_what_is_shortened_while_it_is_loaded_stays_short(
    open_store, make, monkeypatch
):
    with open_store(eviction=LCBFU()) as store:
        store.admit(make(1))
    store = open_store(eviction=LCBFU())
    disk = store._tiers.disk
    true, left = disk.load, [store.disk_used - 1]

    def load(id):
        loaded = true(id)
        if left:
            store.evict(2**24, left.pop())
        return loaded

    monkeypatch.setattr(disk, "load", load)
    assert store.get(make(1).id, "us").steps == (2, 3)
    assert steps(store) == {1: (2, 3)}
    [file] = disk.folder.path.glob("*.record")
    assert store.disk_used == file.stat().st_size


def test_with_its_last_key_step_an_entry_goes(kept, make):
    for i in range(9):
        kept.admit(make(i))
    assert all(steps(kept).values())
    assert 8 in steps(kept)
    assert len(kept) < 8, "none would go if only key steps went"


def test_on_a_full_disk_whole_entries_go(open_store, make, monkeypatch, caplog):
    with open_store(0, eviction=LCBFU()) as store:
        for i in range(3):
            store.admit(make(i))

        def full(*_):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            store.evict(0, store.disk_used - 1)
        assert steps(store) == {1: (1, 2, 3), 2: (1, 2, 3)}
        assert "instead of step 1: [Errno 28]" in caplog.text
