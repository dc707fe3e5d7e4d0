"""Times adding a vector to an index: alone, and while a searcher is built."""

import math
import statistics
import threading
import time
from dataclasses import replace

from benchmarks.index.vectors import Vectors
from chorus_jax.inter_request.index import Index, ScannIndex

PAUSE = 1e-3  # seconds between two adds during a build, as on a busy server
NEVER = math.inf  # a growth at which a searcher is never rebuilt


def adds(index: Index, extra: Vectors) -> list[float]:
    """Adds these vectors under new ids; returns the seconds of each add."""
    return [_add(index, f"extra {i}", vector) for i, vector in enumerate(extra)]


def adds_while_building(index: ScannIndex, extra: Vectors) -> dict[str, float]:
    """Adds these vectors, and replaces them again and again, while a searcher is built.

    Returns the number of adds, the seconds of the build, and the median and the longest
    time of an add. The first add starts the build by copying all vectors; it is counted
    too.
    """
    began = time.perf_counter()
    index.rebuilds = replace(index.rebuilds, growth=0.0)
    spent = [_add(index, "extra 0", extra[0])]
    index.rebuilds = replace(index.rebuilds, growth=NEVER)
    waiting = threading.Thread(target=index.wait)
    waiting.start()
    while waiting.is_alive():
        time.sleep(PAUSE)
        number = len(spent) % len(extra)
        spent.append(_add(index, f"extra {number}", extra[number]))
    waiting.join()
    return {
        "adds_building": len(spent),
        "rebuild_seconds": time.perf_counter() - began,
        "add_seconds_building": statistics.median(spent),
        "add_seconds_worst": max(spent),
    }


def _add(index: Index, id: str, vector: Vectors) -> float:
    began = time.perf_counter()
    index.add(id, vector)
    return time.perf_counter() - began
