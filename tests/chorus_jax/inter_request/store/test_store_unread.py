"""Records that cannot be read for a while: counted as misses, and found again."""

import errno
import os

import pytest

from chorus_jax.inter_request.store import Secret, Store
from chorus_jax.inter_request.store.record import packed

CALLS = {
    "get": lambda store, entry: store.get(entry.id, "us"),
    "prefetch": lambda store, entry: store.prefetch(entry.id, "us"),
}


@pytest.fixture
def unreadable(monkeypatch):
    """A function: makes records of these entries fail to open, until `undo`."""

    def start(*entries, number=errno.EIO, call="open"):
        names, true = {f"{entry.id}.record" for entry in entries}, getattr(os, call)

        def fail(path, *rest, **options):
            if os.path.basename(path) in names:
                raise OSError(number, os.strerror(number), str(path))
            return true(path, *rest, **options)

        monkeypatch.setattr(os, call, fail)
        return monkeypatch

    return start


def in_files(store):
    """The bytes of all records, as the folder has them."""
    records = store._tiers.disk.folder.path.glob("*.record")
    return sum(path.stat().st_size for path in records)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("call", CALLS)
def test_an_error_of_reading_is_a_miss_and_forgets_nothing(
    open_store, make, same, mirror, unreadable, caplog, call, number
):
    store = open_store(0)
    store.admit(make(1))
    store.watch(mirror)
    broken = unreadable(make(1), number=number)
    assert CALLS[call](store, make(1)) is None
    store._loads.close()
    broken.undo()
    assert "cannot read the record" in caplog.text
    assert os.strerror(number) in caplog.text
    assert mirror.ids == [make(1).id] and len(store) == 1
    assert store.disk_used == in_files(store) > 0
    assert store.find(make(1).exact, "us") == make(1).id
    assert same(store.get(make(1).id, "us"), make(1))


def test_a_use_that_cannot_be_noted_is_no_error(open_store, make, unreadable, caplog):
    store = open_store(0)
    store.admit(make(1))
    broken = unreadable(make(1), call="utime")
    store.hit(make(1).id)
    broken.undo()
    assert "cannot note the use of the record" in caplog.text
    assert store.head(make(1).id, "us").last_used > 1e9


def test_an_error_of_looking_whether_it_is_there_forgets_nothing(
    open_store, make, same, unreadable
):
    store = open_store()
    store.admit(make(1))
    broken = unreadable(make(1), call="stat")
    assert same(store.get(make(1).id, "us"), make(1)), "it is in memory"
    broken.undo()
    assert len(store) == 1


def test_what_could_not_be_read_never_overruns_the_budget(open_store, make, unreadable):
    room = 3 * len(packed(make(0), Secret(bytes(32))))
    store = open_store(0, disk_bytes=room)
    for i in range(2):
        store.admit(make(i))
    broken = unreadable(make(0), make(1))
    assert store.get(make(0).id, "us") is store.get(make(1).id, "us") is None
    broken.undo()
    for i in range(2, 9):
        store.admit(make(i))
        assert in_files(store) == store.disk_used <= room


def test_a_record_that_cannot_be_read_at_the_start_is_counted_and_found_later(
    open_store, make, same, mirror, unreadable
):
    with open_store() as store:
        for i in range(3):
            store.admit(make(i))
    broken = unreadable(make(1))
    store = open_store()
    store.watch(mirror)
    assert len(store) == 2 and store.disk_used == in_files(store)
    store.admit(make(3))
    assert store.get(make(1).id, "us") is None
    broken.undo()
    store.admit(make(4))
    assert len(store) == len(mirror.ids) == 5 and store.disk_used == in_files(store)
    assert same(store.get(make(1).id, "us"), make(1))


def test_what_cannot_be_read_is_evicted_last(open_store, make, unreadable):
    with open_store() as store:
        for i in range(3):
            store.admit(make(i))
        size = store.disk_used // 3
    unreadable(make(0))
    store = open_store(disk_bytes=2 * size + size // 2)
    assert {head.id for head in store} == {make(2).id}
    assert store.disk_used == in_files(store) <= 2 * size + size // 2
    store = open_store(disk_bytes=0)
    assert store.disk_used == in_files(store) == 0


def test_a_listing_that_fails_is_made_up_for(open_store, make, monkeypatch, caplog):
    one, two = open_store(), open_store()
    one.admit(make(1))

    def fail(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("os.listdir", fail)
        two.admit(make(2))
        assert two.degraded and "Too many open files" in caplog.text
    two.admit(make(3))
    assert {head.id for head in two} == {make(i).id for i in (1, 2, 3)}


def test_a_damaged_record_that_cannot_be_removed_is_counted(
    open_store, make, unreadable
):
    store = open_store(0)
    store.admit(make(1))
    [path] = store._tiers.disk.folder.path.glob("*.record")
    data = path.read_bytes()
    path.write_bytes(data[:200] + bytes(len(data) - 200))
    broken = unreadable(make(1), call="unlink")
    assert store.get(make(1).id, "us") is None
    assert store.disk_used == in_files(store) > 0
    broken.undo()
    assert store.get(make(1).id, "us") is None
    assert len(store) == store.disk_used == in_files(store) == 0


def test_what_could_not_be_deleted_can_be_asked_for_again(make, unreadable, tmp_path):
    with Store(0, folder=tmp_path, disk_bytes=2**24) as store:
        store.admit(make(1))
        broken = unreadable(make(1), call="unlink")
        with pytest.raises(OSError, match="Input/output error"):
            store.delete(make(1).id)
        assert store.disk_used == in_files(store) > 0
        broken.undo()
        assert store.delete(make(1).id)
        assert store.disk_used == in_files(store) == 0
