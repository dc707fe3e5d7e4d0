"""Loads in threads."""

import os
import threading

import pytest

from chorus_jax.inter_request.store.loading import Loads

WAIT = 10


@pytest.fixture
def slow():
    """Loads that wait until they are let go; `calls` tells which were begun."""

    class Slow:
        def __init__(self):
            self.calls, self.begun = [], threading.Semaphore(0)
            self.free = threading.Event()
            self.loads = Loads(self.load, threads=1)

        def load(self, id):
            self.calls.append(id)
            self.begun.release()
            assert self.free.wait(WAIT)
            if id == "bad":
                raise KeyError(id)
            return id.upper()

    slow = Slow()
    yield slow
    slow.free.set()
    slow.loads.close()


def test_a_get_waits_for_the_prefetch(slow):
    slow.loads.prefetch("a")
    assert slow.begun.acquire(timeout=WAIT)
    slow.loads.prefetch("a")
    threading.Timer(0.05, slow.free.set).start()
    assert slow.loads("a") == "A"
    assert slow.calls == ["a"]


def test_a_prefetch_after_the_end_is_none(slow):
    """A server that ends may have requests at work."""
    slow.loads.close()
    slow.loads.prefetch("a")
    slow.free.set()
    assert slow.loads("a") == "A" and slow.calls == ["a"]


def test_a_get_does_not_wait_for_a_thread(slow):
    slow.loads.prefetch("a")
    assert slow.begun.acquire(timeout=WAIT)
    slow.loads.prefetch("b")
    found = []
    other = threading.Thread(target=lambda: found.append(slow.loads("b")))
    other.start()
    assert slow.begun.acquire(timeout=WAIT), "b waits for the one thread, busy with a"
    slow.free.set()
    other.join(WAIT)
    slow.loads.close()
    assert found == ["B"]
    assert slow.calls == ["a", "b"]


def test_two_gets_load_once(slow):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(slow.loads("a"))) for _ in range(8)
    ]
    threads[0].start()
    assert slow.begun.acquire(timeout=WAIT)
    for thread in threads[1:]:
        thread.start()
    threading.Timer(0.05, slow.free.set).start()
    for thread in threads:
        thread.join(WAIT)
    assert found == ["A"] * 8
    # One that came after the end may have loaded anew.
    assert len(slow.calls) < 8


def test_errors_reach_the_caller_and_are_not_kept(slow):
    slow.free.set()
    for _ in range(2):
        with pytest.raises(KeyError, match="bad"):
            slow.loads("bad")
    assert slow.calls == ["bad", "bad"]
    assert slow.loads("a") == "A"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
def test_a_fork_while_a_thread_loads_waits_for_nothing(slow):
    slow.loads.prefetch("a")
    assert slow.begun.acquire(timeout=WAIT)
    child = os.fork()
    if not child:  # the parent's thread is not here
        slow.free.set()
        os._exit(0 if slow.loads("a") == "A" else 1)
    slow.free.set()
    assert os.waitpid(child, 0)[1] == 0
    assert slow.loads("a") == "A"
