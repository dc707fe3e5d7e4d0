"""The cost of a miss, compared with a request without a cache.

    python -m benchmarks.reuse.miss                  # the 50-step model
    python -m benchmarks.reuse.miss --steps 4

The same request is made in turns in three ways:

    plain        the pipeline of the shipped model
    miss         an engine with a cache in memory
    miss_folder  an engine with a cache in a temporary folder: the entry is written
                 before `generate` returns, and survives a power failure moments later.
                 TMPDIR chooses the disk; a folder in memory would cost nothing.

Both caches hold entries of the request's recipe whose prompts are too different to be
sources, and admit the new latents. Each round begins with another way, and each way
embeds the prompt anew. `ratio` is the time of a miss divided by that of `plain` in the
same round, the median over the rounds (goal: at most 1.03); `admit_seconds` is the time
that the ledger does not account for, mostly admission. Every round checks that the
frames are equal.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from benchmarks.lib import rows
from benchmarks.lib.timing import Timing
from benchmarks.reuse.models import Loaded, add_options, load_model
from chorus_jax.engine import Cache, Engine, Result, Video, default_for
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.inter_request.store import Entry
from chorus_jax.request import Request

PROMPT = "a red circle moves left on a gray background"
PLAIN = "plain"
DISK = 2**30
KEY = ("row", "steps")
Row = dict[str, Any]


class Taken(NamedTuple):
    """The measured time of a request, in seconds.

    Attributes:
        seconds: wall-clock time.
        other_seconds: the part of this time that the ledger does not account for.
    """

    seconds: float
    other_seconds: float = 0.0


Round = dict[str, Taken]


def never(request: Request) -> Policy:
    """The default policy with a threshold that no request of this benchmark reaches."""
    ours = default_for(request)
    return replace(ours, tiers=(replace(ours.tiers[-1], least=0.99),))


def filled(loaded: Loaded, cache: Cache, entries: int) -> Engine:
    """An engine whose cache holds `entries` entries with random embeddings.

    The entries have the recipe of the timed requests.
    """
    engine, store = Engine(loaded.pipeline, cache, never), cache.store
    first = engine.generate(replace(loaded.request, prompt=PROMPT, seed=0)).entry
    like = None if first is None else store.get(first, "default")
    if like is None:
        raise SystemExit("the cache took no entry: give it more memory")
    store.delete(like.id)
    rng = np.random.default_rng(0)
    for number in range(entries):
        store.admit(other(like, number, rng))
    return engine


def other(like: Entry, number: int, rng: np.random.Generator) -> Entry:
    """A copy of an entry with another id, request digest and random embedding."""
    vector = rng.standard_normal(like.embedding.shape).astype(np.float32)
    return replace(
        like,
        id=f"{number:032x}",
        exact=f"{number:064x}",
        embedding=vector / np.linalg.norm(vector),
    )


def rounds(
    loaded: Loaded, engines: Mapping[str, Engine], count: int
) -> Iterator[Round]:
    """Times a plain request and a miss of each engine, for `count` rounds.

    A first round, which compiles, is left out.
    """
    ways: dict[str, Callable[[Request], Any]] = {
        PLAIN: lambda request: loaded.pipeline(request)[0],
        **{name: engine.generate for name, engine in engines.items()},
    }
    for turn in tqdm(range(count + 1), unit="round"):
        request = replace(loaded.request, prompt=PROMPT, seed=turn)
        forget = loaded.pipeline.model.forget_prompts
        made, seconds = in_turn(ways, request, turn, forget)
        taken = {PLAIN: Taken(seconds[PLAIN])}
        for name, engine in engines.items():
            check(made[PLAIN], made[name])
            engine.cache.store.delete(str(made[name].entry))
            other_seconds = seconds[name] - made[name].ledger.total
            taken[name] = Taken(seconds[name], other_seconds)
        if turn:
            yield taken


def in_turn(
    ways: Mapping[str, Callable[[Request], Any]],
    request: Request,
    turn: int,
    forget: Callable[[], None],
) -> tuple[dict[str, Any], dict[str, float]]:
    """Runs a request in each way; returns results and seconds by the way's name.

    Each turn begins with another way, so that delayed disk writes affect all alike.

    Args:
        ways: functions that run a request, by name.
        request: the request.
        turn: the number of the turn.
        forget: clears the memory of embedded prompts; called before each run.
    """
    names = list(ways)
    first = turn % len(names)
    made, seconds = {}, {}
    for name in names[first:] + names[:first]:
        forget()
        began = time.perf_counter()
        made[name] = ways[name](request)
        seconds[name] = time.perf_counter() - began
    return made, seconds


def check(plain: Video, miss: Result) -> None:
    """Raises SystemExit unless the result is a miss and both videos are equal."""
    if miss.ledger.kind != "miss" or miss.entry is None:
        raise SystemExit(f"expected a miss that leaves an entry, got {miss.ledger}")
    if not np.array_equal(plain.frames, miss.video.frames):
        raise SystemExit("a miss is not what the pipeline makes: find out why first")


def row(name: str, loaded: Loaded, entries: int, rounds: Sequence[Round]) -> Row:
    """The row of one engine's misses, over all rounds."""
    pairs = [(turn[PLAIN], turn[name]) for turn in rounds]
    plain = Timing(tuple(ours.seconds for ours, _ in pairs))
    miss = Timing(tuple(ours.seconds for _, ours in pairs))
    return {
        "row": name,
        "steps": loaded.steps,
        "entries": entries,
        "seconds": miss.median,
        "spread": miss.spread,
        "baseline_seconds": plain.median,
        "baseline_spread": plain.spread,
        "ratio": statistics.median(b.seconds / a.seconds for a, b in pairs),
        "admit_seconds": statistics.median(ours.other_seconds for _, ours in pairs),
        **loaded.facts,
    }


def measure(options: argparse.Namespace, steps: int) -> list[Row]:
    """Measures the model for this number of steps; returns its rows."""
    loaded = load_model(options, None, steps)
    with tempfile.TemporaryDirectory() as folder:
        caches = {
            "miss": Cache.in_memory(),
            "miss_folder": Cache.in_folder(folder, DISK),
        }
        engines = {
            name: filled(loaded, cache, options.entries)
            for name, cache in caches.items()
        }
        measured = list(rounds(loaded, engines, options.rounds))
        for cache in caches.values():
            cache.close()
    return [row(name, loaded, options.entries, measured) for name in engines]


def main() -> None:
    """Checks, measures, prints the table, writes the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--steps", type=int, nargs="+", default=[50, 4])
    parser.add_argument("--entries", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    rows.commit()  # rows need it: better to fail here than after the rounds
    measured = [row for steps in options.steps for row in measure(options, steps)]
    rows.update("miss", measured, KEY)
    columns = ["row", "steps", "entries", "seconds", "spread", "baseline_seconds"]
    print(rows.table(measured, [*columns, "baseline_spread", "ratio", "admit_seconds"]))


if __name__ == "__main__":
    main()
