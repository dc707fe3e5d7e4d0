"""A lock that threads get in the order of their tickets."""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PAUSE = 0.1  # seconds between two checks of a thread that waits


class FairLock:
    """A lock that threads get in the order of their tickets.

    A request that takes the lock several times keeps its ticket, so that it comes
    before those that began later. The requests that have begun, and have arrays on the
    devices, are therefore few, however many wait.
    """

    def __init__(self) -> None:
        self._tickets = itertools.count()
        self._changed = threading.Condition()
        self._waiting = set[int]()
        self._holder: int | None = None  # the identifier of a thread

    def ticket(self) -> int:
        """A place behind all tickets that were taken before."""
        return next(self._tickets)

    def locked(self) -> bool:
        """Whether a thread holds the lock."""
        return self._holder is not None

    @contextmanager
    def held(
        self, ticket: int | None = None, check: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """Context in which the calling thread holds the lock.

        Args:
            ticket: the place in the order; None for a new ticket.
            check: called every 0.1 seconds while the thread waits; what it raises ends
                the wait.

        Raises:
            RuntimeError: if the calling thread holds the lock already.
        """
        self._acquire(self.ticket() if ticket is None else ticket, check)
        try:
            yield
        finally:
            with self._changed:
                self._holder = None
                self._changed.notify_all()

    def _acquire(self, ticket: int, check: Callable[[], None]) -> None:
        caller = threading.get_ident()
        if self._holder == caller:
            raise RuntimeError(
                "a request's observer called its own engine, which waits for this "
                "request to end: call the engine from another thread"
            )
        with self._changed:
            self._waiting.add(ticket)
            try:
                while self._holder is not None or ticket != min(self._waiting):
                    self._changed.wait(PAUSE)
                    check()
                self._holder = caller
            finally:
                self._waiting.discard(ticket)
                # The next one may be first now, if this one gave up.
                self._changed.notify_all()
