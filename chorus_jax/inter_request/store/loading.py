"""Loads in threads: nothing is loaded twice at once, and a caller may ask ahead."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Loads(Generic[T]):
    """Runs `load(id)` at most once at a time for each id."""

    def __init__(self, load: Callable[[str], T], threads: int = 2):
        self._load = load
        self._lock = threading.Lock()
        self._running: dict[str, Future] = {}
        self._pool = ThreadPoolExecutor(threads, "chorus-load")

    def prefetch(self, id: str) -> None:
        """Begins to load in another thread, unless that is under way."""
        with self._lock:
            if id in self._running:
                return
            future = self._running[id] = Future()
        self._pool.submit(self._begin, id, future)

    def __call__(self, id: str) -> T:
        """The loaded value; raises what `load` raises."""
        with self._lock:
            running = self._running.get(id)
            # A load that still waits for a thread is quicker done here.
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
        """Ends the threads; what is under way is finished."""
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
            with self._lock:
                del self._running[id]
