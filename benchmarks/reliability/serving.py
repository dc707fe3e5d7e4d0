"""Many requests to one engine: do memory and file handles grow?"""

import gc
import os
import threading
from pathlib import Path

from tqdm import tqdm

import chorus_jax as cj
from benchmarks.reliability.outcome import AttackOutcome
from chorus_jax.engine import StoppedError

COLOURS = ("red", "blue", "green", "yellow", "white")
MOTIONS = ("left", "right", "up", "down")
PAGE = 4096


def memory() -> int:
    """The resident memory of this process, in bytes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def handles() -> int:
    """The number of open file descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


def prompt(number: int) -> str:
    """The prompt of a number; there are twenty different ones, in turn."""
    colour, motion = COLOURS[number % 5], MOTIONS[number // 5 % 4]
    return f"a {colour} circle moves {motion} on a gray background"


def requests(folder: Path, count: int, model: str = "shapes") -> AttackOutcome:
    """Makes `count` requests to a small engine: repeats, hits, misses and stops.

    Growth is counted over the second half only, after programs are compiled and caches
    are full.
    """
    outcome = AttackOutcome(count)
    pipeline = cj.load(model)
    with_cache = cj.Cache.in_folder(folder, disk_bytes=2**28, memory_bytes=2**24)
    engine, before = cj.Engine(pipeline, with_cache), (0, 0)
    seen: dict[tuple[str, int], bytes] = {}
    for number in tqdm(range(count), desc="requests"):
        if number == count // 2:
            before = memory(), handles()
        request = pipeline.request(prompt(number), seed=number % 40, steps=2)
        stop = threading.Event()
        if number % 10 == 9:
            stop.set()
        try:
            result = engine.generate(request, stop=stop, every=1)
        except StoppedError:
            continue
        if result.ledger.kind == "exact":
            key = request.prompt, number % 40
            outcome.wrong += seen.get(key) != result.video.frames.tobytes()
        else:
            seen[request.prompt, number % 40] = result.video.frames.tobytes()
    outcome.figures["growth_bytes"] = memory() - before[0]
    outcome.figures["growth_handles"] = handles() - before[1]
    with_cache.close()
    return outcome
