"""A progress bar of bytes, which several threads may move."""

import threading
from collections.abc import Callable

from tqdm import tqdm


def shown(total: int) -> tqdm:
    """A bar of so many bytes, if there is a terminal."""
    return tqdm(total=total, unit="B", unit_scale=True, mininterval=0.5, disable=None)


def counting(bar: tqdm) -> Callable[[int], None]:
    """A function that moves the bar by bytes that have passed."""
    lock = threading.Lock()

    def update(count: int) -> None:
        with lock:
            bar.update(count)

    return update
