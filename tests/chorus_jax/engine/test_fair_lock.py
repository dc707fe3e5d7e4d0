"""The lock of the devices: in the order of tickets, and given up by who waits."""

import threading
import time

import pytest

from chorus_jax.engine.fair_lock import FairLock


def wait_for(lock, count):
    """Waits until so many threads wait for the lock."""
    end = time.monotonic() + 20
    while len(lock._waiting) < count:
        assert time.monotonic() < end
        time.sleep(0.005)


def test_threads_get_it_in_the_order_of_their_tickets():
    lock, order = FairLock(), []
    tickets = [lock.ticket() for _ in range(4)]

    def work(ticket):
        with lock.held(ticket):
            assert lock.locked()
            order.append(ticket)

    threads = [threading.Thread(target=work, args=(tickets[i],)) for i in (2, 0, 3, 1)]
    with lock.held():  # a later ticket, but nobody waits yet
        for count, thread in enumerate(threads, start=1):
            thread.start()
            wait_for(lock, count)
    for thread in threads:
        thread.join(20)
    assert order == tickets and not lock.locked()


class StopError(Exception):
    pass


def test_who_gives_up_lets_the_next_one_in():
    lock, stop, entered = FairLock(), threading.Event(), threading.Event()
    first, second = lock.ticket(), lock.ticket()

    def check():
        if stop.is_set():
            raise StopError

    def impatient():
        with pytest.raises(StopError), lock.held(first, check):
            pytest.fail("it got the lock")

    def patient():
        with lock.held(second):
            entered.set()

    threads = [threading.Thread(target=work) for work in (impatient, patient)]
    with lock.held():
        for thread in threads:
            thread.start()
        wait_for(lock, 2)
        stop.set()
        threads[0].join(20)
        assert not entered.is_set()
    assert entered.wait(20)
    threads[1].join(20)


def test_a_thread_that_holds_it_is_told_and_keeps_it():
    lock = FairLock()
    with lock.held():
        with pytest.raises(RuntimeError, match="observer called its own engine"):
            with lock.held():
                pytest.fail("it got the lock twice")
        assert lock.locked()
    with lock.held():
        pass
