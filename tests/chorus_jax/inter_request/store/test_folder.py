"""The folder's lock and its files."""

import subprocess
import sys
import threading

import pytest

from chorus_jax.inter_request.store.folder import Folder

WAIT = 10


@pytest.fixture
def two(tmp_path):
    """As two processes would have it: each with a handle of its own."""
    folders = Folder(tmp_path / "f"), Folder(tmp_path / "f")
    yield folders
    for folder in folders:
        folder.close()


def test_the_lock_keeps_others_out(two):
    one, other = two
    entered = threading.Event()

    def enter():
        with other.locked():
            entered.set()

    thread = threading.Thread(target=enter)
    with one.locked():
        thread.start()
        assert not entered.wait(0.2)
    assert entered.wait(WAIT)
    thread.join()


def test_the_lock_is_free_after_an_error(two):
    one, other = two
    with pytest.raises(KeyError), one.locked():
        raise KeyError
    with other.locked():
        pass


def test_who_locks_learns_whether_another_did(two):
    one, other = two

    def changed(folder):
        with folder.locked() as found:
            return found

    assert changed(one) and not changed(one)
    assert changed(other) and not changed(other)
    assert changed(one)


def test_changes_are_told_again_after_an_error(two):
    one, other = two
    for folder in two:
        with folder.locked():
            pass
    with pytest.raises(KeyError), one.locked() as changed:
        assert changed
        raise KeyError
    with one.locked() as changed:
        assert changed, "nobody came to look at what the other did"
    with one.locked() as changed:
        assert not changed


def test_a_file_is_replaced_at_the_end_or_not_at_all(tmp_path):
    folder = Folder(tmp_path / "f")
    folder.write("a", [b"old"], 100.0)

    def pieces():
        yield b"new"
        assert (tmp_path / "f" / "a").read_bytes() == b"old"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.write("a", pieces(), 100.0)
    assert (tmp_path / "f" / "a").read_bytes() == b"old"
    folder.write("a", [b"ne", memoryview(b"w")], 200.5)
    assert (tmp_path / "f" / "a").read_bytes() == b"new"
    assert (tmp_path / "f" / "a").stat().st_mtime == 200.5
    assert {path.name for path in (tmp_path / "f").iterdir()} == {"a", "lock"}
    folder.remove("a")
    folder.remove("a")
    folder.close()
    folder.close()


def test_a_stopped_holder_is_told_and_not_waited_for(two, monkeypatch):
    one, other = two
    monkeypatch.setattr("chorus_jax.inter_request.store.folder.PATIENCE", 0.1)
    with one.locked():
        with pytest.raises(TimeoutError, match="has held .*lock for 0.1 s"):
            with other.locked():
                pass
    with other.locked():
        pass


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_lock_file_that_is_gone_is_made_again_for_all(two, how):
    one, other = two
    (one.path / "lock").unlink()
    if how == "replaced":
        (one.path / "lock").write_bytes(bytes(8))
    entered = threading.Event()

    def enter():
        with other.locked():
            entered.set()

    thread = threading.Thread(target=enter)
    with one.locked():
        thread.start()
        assert not entered.wait(0.2), "both were let in"
    assert entered.wait(WAIT)
    thread.join()


def test_a_child_that_only_reads_leaves_its_parents_lock(tmp_path):
    script = f"""
import os, pathlib, sys
from chorus_jax.inter_request.store.folder import Folder
path = pathlib.Path({str(tmp_path / "f")!r})
folder = Folder(path)
with folder.locked():
    if (child := os.fork()) == 0:
        with folder.looking():
            os._exit(0)
    os.waitpid(child, 0)
    if (other := os.fork()) == 0:
        os._exit(0 if Folder(path)._settled() is None else 3)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0


def test_a_fork_locks_for_itself(tmp_path):
    """In a process of its own: jax's threads do not survive a fork."""
    script = f"""
import os, pathlib, sys, time
from chorus_jax.inter_request.store.folder import Folder
folder = Folder(pathlib.Path({str(tmp_path / "f")!r}))
inside = pathlib.Path({str(tmp_path / "inside")!r})
child = os.fork()
for _ in range(40):
    with folder.locked():
        try:
            inside.touch(exist_ok=False)
        except FileExistsError:
            os._exit(3)
        time.sleep(0.001)
        inside.unlink()
if child == 0:
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0
