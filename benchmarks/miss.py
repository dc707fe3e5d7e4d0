"""What a request that finds nothing costs, beside one without a cache.

    python -m benchmarks.miss                  # the 50-step model
    python -m benchmarks.miss --steps 4

The shipped model. In turns the same request is made by the pipeline (`plain`), and by
an engine whose cache holds so many entries of its recipe that are all too far, and
which leaves its latents there (`miss`). Both embed the prompt anew. `ratio` is the
median over the rounds of miss over plain, each pair from one round (the goal is 1.03 at
most); `admit_seconds` are those beside all parts of the ledger, mostly of admission.
Checked in every round: both make the same frames.
"""

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks import rows
from benchmarks.chorus_models import Loaded, add_options, load_model
from benchmarks.timing import Timing
from chorus_jax.engine import Cache, Engine, Result
from chorus_jax.engine.policies import default_for
from chorus_jax.inter_request.policy import Policy
from chorus_jax.inter_request.store import Entry
from chorus_jax.pipeline import Video
from chorus_jax.request import Request

PROMPT = "a red circle moves left on a gray background"
KEY = ("row", "steps")
Row = dict[str, Any]


def never(request: Request) -> Policy:
    """Our key steps, and a threshold that no request reaches here."""
    ours = default_for(request)
    return replace(ours, tiers=(replace(ours.tiers[-1], least=0.99),))


def filled(loaded: Loaded, entries: int) -> Engine:
    """An engine with so many entries of its recipe in random directions."""
    engine = Engine(loaded.pipeline, Cache.in_memory(), never)
    store = engine.cache.store
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
    """An entry as large, of another prompt."""
    vector = rng.standard_normal(like.embedding.shape).astype(np.float32)
    return replace(
        like,
        id=f"{number:032x}",
        exact=f"{number:064x}",
        embedding=vector / np.linalg.norm(vector),
    )


def rounds(
    loaded: Loaded, engine: Engine, count: int
) -> Iterator[tuple[float, float, float]]:
    """Seconds of plain, of miss, and of what the ledger's parts leave of the miss."""
    for seed in tqdm(range(count + 1), unit="round"):
        request = replace(loaded.request, prompt=PROMPT, seed=seed)
        forget = loaded.pipeline.prompts.forget
        forget()
        began = time.perf_counter()
        [plain] = loaded.pipeline(request)
        forget()
        between = time.perf_counter()
        miss = engine.generate(request)
        ended = time.perf_counter()
        check(plain, miss)
        engine.cache.store.delete(str(miss.entry))
        if seed:  # the first one compiles
            left = ended - between - miss.ledger.total
            yield between - began, ended - between, left


def check(plain: Video, miss: Result) -> None:
    """SystemExit unless it is a miss, and both are the same video."""
    if miss.ledger.kind != "miss" or miss.entry is None:
        raise SystemExit(f"expected a miss that leaves an entry, got {miss.ledger}")
    if not np.array_equal(plain.frames, miss.video.frames):
        raise SystemExit("a miss is not what the pipeline makes: find out why first")


def row(
    loaded: Loaded, entries: int, times: Sequence[tuple[float, float, float]]
) -> Row:
    """The row of these rounds."""
    plain, miss, left = (Timing(tuple(each)) for each in zip(*times, strict=True))
    return {
        "row": "miss",
        "steps": loaded.steps,
        "entries": entries,
        "seconds": miss.median,
        "spread": miss.spread,
        "baseline_seconds": plain.median,
        "baseline_spread": plain.spread,
        "ratio": statistics.median(b / a for a, b, _ in times),
        "admit_seconds": left.median,
        **loaded.told,
    }


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
    rows.commit()  # rows name it: better to fail here than after the rounds
    measured = []
    for steps in options.steps:
        loaded = load_model(options, None, steps)
        engine = filled(loaded, options.entries)
        times = list(rounds(loaded, engine, options.rounds))
        measured.append(row(loaded, options.entries, times))
    rows.update("miss", measured, KEY)
    columns = ["row", "steps", "entries", "seconds", "spread", "baseline_seconds"]
    print(rows.table(measured, [*columns, "baseline_spread", "ratio", "admit_seconds"]))


if __name__ == "__main__":
    main()
