"""Deduplicated loading: concurrent calls share one load, which can be prefetched."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Loads(Generic[T]):
    """Calls `load(id)` at most once at a time per id."""

    def __init__(self, load: Callable[[str], T], threads: int = 2):
        self._load, self._threads = load, threads
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._process, self._lock = os.getpid(), threading.Lock()
        self._running: dict[str, Future] = {}
        self._pool = ThreadPoolExecutor(self._threads, "chorus-load")

    def _after_fork(self) -> None:
        """Starts afresh in a forked child, where the parent's threads do not exist.

        The child would wait for their loads without end.
        """
        if self._process != os.getpid():
            self._begin_anew()

    def prefetch(self, id: str) -> None:
        """Starts to load in another thread, unless a load of this id is running or the
        threads have ended."""
        self._after_fork()
        with self._lock:
            if id in self._running:
                return
            future = self._running[id] = Future()
        try:
            self._pool.submit(self._begin, id, future)
        except RuntimeError:  # it was closed; whoever needs the value loads it
            future.cancel()
            self._forget(id, future)

    def __call__(self, id: str) -> T:
        """The loaded value; raises what `load` raises."""
        self._after_fork()
        with self._lock:
            running = self._running.get(id)
            # A load that still waits for a free thread is done here, which is quicker.
            if running is not None and not running.cancel():
                starts, future = False, running
            else:
                starts, future = True, Future()
                future.set_running_or_notify_cancel()
                self._running[id] = future
        if starts:
            self._run(id, future)
        return future.result()

    def close(self) -> None:
        """Ends the threads; running loads are finished, waiting ones are cancelled."""
        self._pool.shutdown(cancel_futures=True)

    def _begin(self, id: str, future: Future) -> None:
        if future.set_running_or_notify_cancel():
            self._run(id, future)

    def _run(self, id: str, future: Future) -> None:
        try:
            future.set_result(self._load(id))
        except BaseException as error:
            future.set_exception(error)
        finally:
            self._forget(id, future)

    def _forget(self, id: str, future: Future) -> None:
        with self._lock:
            if self._running.get(id) is future:
                del self._running[id]
