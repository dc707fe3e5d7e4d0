"""A progress bar of bytes, which several threads may move."""

import threading
from collections.abc import Callable

from tqdm import tqdm


def shown(total: int) -> tqdm:
    """A progress bar for `total` bytes, shown only in a terminal."""
    return tqdm(total=total, unit="B", unit_scale=True, mininterval=0.5, disable=None)


def counting(bar: tqdm) -> Callable[[int], None]:
    """A thread-safe function that advances the bar by a number of bytes."""
    lock = threading.Lock()

    def update(count: int) -> None:
        with lock:
            bar.update(count)

    return update
