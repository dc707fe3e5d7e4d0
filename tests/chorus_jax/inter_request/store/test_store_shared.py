"""Stores of several processes on one folder see each other's changes."""

import errno
import os
import threading

import pytest

from chorus_jax.inter_request.store.folder import Folder
from chorus_jax.inter_request.store.record import packed
from chorus_jax.inter_request.store.secret import Secret

WAIT = 10
# One that waits after all would wait for ever.
never_waits = pytest.mark.timeout(60)
LOOK_UPS = {
    "find": lambda store, entry: store.find(entry.exact, entry.namespace),
    "get": lambda store, entry: store.get(entry.id, entry.namespace),
    "head": lambda store, entry: store.head(entry.id, entry.namespace),
}


@pytest.fixture
def two(open_store):
    return open_store(), open_store()


@pytest.fixture
def other(two, tmp_path):
    """The folder as a third process has it."""
    folder = Folder(tmp_path / "s")
    yield folder
    folder.close()


def write(folder, store, entry):
    folder.write(f"{entry.id}.record", [packed(entry, store.secret)], 100.0)


@pytest.fixture
def quiet(monkeypatch):
    """A function: from then on nothing may be listed or locked."""

    def start():
        for name in ("os.listdir", "fcntl.flock"):
            monkeypatch.setattr(name, lambda *_, name=name: pytest.fail(name))

    return start


@pytest.mark.parametrize("look_up", LOOK_UPS)
def test_a_look_up_finds_what_another_process_left(two, make, mirror, look_up):
    one, store = two
    store.watch(mirror)
    one.admit(make(1))
    assert LOOK_UPS[look_up](store, make(1)) is not None
    assert mirror.ids == [make(1).id]


def test_a_folder_whose_lock_is_held_says_so(open_store, other, monkeypatch):
    monkeypatch.setattr("chorus_jax.inter_request.store.folder.PATIENCE", 0.05)
    with other.locked(), pytest.raises(ValueError, match="for 0.05 s: is it stopped"):
        open_store()


def test_what_another_process_uses_is_evicted_last(open_store, make, tmp_path):
    size = len(packed(make(0), Secret()))
    one, store = (open_store(disk_bytes=int(2.5 * size)) for _ in range(2))
    for number in (0, 1):  # of which store knows the last uses
        one.admit(make(number))
        assert store.head(make(number).id, "us") is not None
    one.hit(make(0).id, "us")
    store.admit(make(2))
    assert not (tmp_path / "s" / f"{make(1).id}.record").exists()
    assert (tmp_path / "s" / f"{make(0).id}.record").exists()


@pytest.mark.parametrize("look_up", LOOK_UPS)
def test_a_look_up_sees_what_another_process_took(two, make, mirror, look_up):
    one, store = two
    store.watch(mirror)
    for i in range(3):
        one.admit(make(i))
    store.refresh()
    one.delete(make(1).id)
    assert LOOK_UPS[look_up](store, make(2)) is not None
    assert set(mirror.ids) == {make(0).id, make(2).id}
    assert LOOK_UPS[look_up](store, make(1)) is None


def test_a_folder_is_listed_once_a_change(two, make, quiet):
    one, store = two
    one.admit(make(1))
    assert store.find(make(1).exact, "us") == make(1).id
    store.admit(make(2))
    assert one.find(make(2).exact, "us") == make(2).id
    # Looking is no change that the others would look for.
    quiet()
    for each in two:
        for i in (1, 2):
            assert all(look_up(each, make(i)) for look_up in LOOK_UPS.values())
        assert each.find(make(3).exact, "us") is None


@never_waits
def test_a_look_up_waits_for_no_other_process(two, make, other):
    one, store = two
    one.admit(make(1))
    with other.locked():
        assert store.find(make(1).exact, "us") == make(1).id, "it was finished before"
        write(other, store, make(2))
    assert store.find(make(2).exact, "us") == make(2).id


@never_waits
def test_what_a_killed_process_wrote_last_is_found(two, make, other):
    store = two[1]
    with pytest.raises(KeyboardInterrupt), other.locked():
        store.refresh()
        write(other, store, make(1))
        raise KeyboardInterrupt
    assert store.find(make(1).exact, "us") == make(1).id


@never_waits
def test_a_look_up_waits_for_no_admission(two, make, same, monkeypatch):
    store, begun, free = two[0], threading.Event(), threading.Event()
    store.admit(make(1))

    true = os.rename

    def rename(*names):
        begun.set()
        assert free.wait(WAIT)
        true(*names)

    monkeypatch.setattr("os.rename", rename)
    thread = threading.Thread(target=lambda: store.admit(make(2)))
    thread.start()
    assert begun.wait(WAIT)
    assert same(store.get(make(1).id, "us"), make(1))
    assert store.find(make(2).exact, "us") is None
    assert not free.is_set()
    free.set()
    thread.join()
    assert store.find(make(2).exact, "us") == make(2).id


def test_threads_that_look_up_at_once_all_find(two, make, monkeypatch):
    one, store = two
    one.admit(make(1))
    true, found = os.listdir, []
    begun, free = threading.Event(), threading.Event()

    def listdir(path):
        begun.set()
        assert free.wait(WAIT)
        return true(path)

    monkeypatch.setattr("os.listdir", listdir)
    look = lambda: found.append(store.find(make(1).exact, "us"))
    threads = [threading.Thread(target=look) for _ in range(4)]
    threads[0].start()
    assert begun.wait(WAIT)
    for thread in threads[1:]:
        thread.start()
    threading.Timer(0.1, free.set).start()
    for thread in threads:
        thread.join()
    assert found == [make(1).id] * 4


def test_a_folder_that_cannot_be_listed_is_looked_at_again(
    two, make, monkeypatch, caplog
):
    one, store = two
    one.admit(make(1))

    def fail(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("os.listdir", fail)
        assert store.find(make(1).exact, "us") is None
        assert "cannot see what other processes left" in caplog.text
    assert store.find(make(1).exact, "us") == make(1).id


def test_a_record_that_a_listing_misses_is_not_forgotten(
    two, make, mirror, monkeypatch
):
    one, store = two
    one.admit(make(1))
    store.watch(mirror)
    store.refresh()
    one.admit(make(2))
    true = os.listdir
    monkeypatch.setattr(
        "os.listdir", lambda path: [n for n in true(path) if make(1).id not in n]
    )
    store.refresh()
    assert mirror.ids == [make(1).id, make(2).id]
