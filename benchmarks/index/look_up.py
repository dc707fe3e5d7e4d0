"""Times finding and loading a source, at the sizes of Wan 1.3B.

    python -m benchmarks.index.look_up

The store is on disk and has 50 000 entries with headers like Wan 1.3B's (embeddings of
width 1536, prompts of 12 words). No latents are in memory. Some entries have latents of
480p and 81 frames (21x60x104x16 in float32: 8.4 MB); the requests look for these. The
index is ScaNN, after its searcher is built.

Two times are measured per request. `look_up` is the search for the nearest entries and
the second look at the best eight (goal: 0.5 ms). `load` reads the record and verifies
its checksum; records come from the page cache where memory allows, except in the row
`cold`. `share` is the sum of both over the time that a 4-step request takes to denoise
(goal: 0.02). That time follows from what Wan's authors publish for 50 steps with
guidance on one consumer GPU (RTX 4090: 4 minutes; Wan-Video/Wan2.1, README): 240 s / 50
steps / 2 branches x 4 steps = 9.6 s, for a guidance-distilled model.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.index.records import LATENTS, RECIPE, WIDTH, entry, fill
from benchmarks.lib import rows
from benchmarks.lib.timing import Timing
from chorus_jax.inter_request.index import ScannIndex
from chorus_jax.inter_request.match.matching import Match, Matcher, Query
from chorus_jax.inter_request.match.second_look import SecondLook
from chorus_jax.inter_request.store import Entry, Store

PUBLISHED = 240.0 / 50 / 2 * 4  # seconds of a 4-step request, see above


def drop_pages(file: Path) -> None:
    """Asks the operating system to drop a file from its page cache."""
    handle = os.open(file, os.O_RDONLY)
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


def requests(
    store: Store, matcher: Matcher, heads: list[Entry], rounds: int, cold: Path | None
) -> dict[str, Timing]:
    """Times `rounds` requests, each similar to an entry on disk.

    Args:
        store: the store with the entries.
        matcher: finds a request's source.
        heads: entries with full-size latents, which requests imitate.
        rounds: number of requests.
        cold: the store's folder, to drop each record from the page cache before it is
            loaded; None to keep them.

    Returns:
        The times of `look_up` and `load`.
    """
    rng = np.random.default_rng(1)
    spent: dict[str, list[float]] = {"look_up": [], "load": []}
    for _ in range(rounds):
        like = heads[int(rng.integers(len(heads)))]
        vector = like.embedding + 0.01 * rng.standard_normal(WIDTH).astype(np.float32)
        vector /= np.linalg.norm(vector)
        query = Query(RECIPE, "default", vector, like.words, like.meanings)
        if cold is not None:
            drop_pages(cold / f"{like.id}.record")
        began = time.perf_counter()
        match = matcher(query, SecondLook(), 0.5)
        between = time.perf_counter()
        assert isinstance(match, Match) and match.head.id == like.id
        loaded = store.get(match.head.id, "default")
        ended = time.perf_counter()
        assert loaded is not None
        np.testing.assert_array_equal(loaded.latents, like.latents)
        spent["look_up"].append(between - began)
        spent["load"].append(ended - between)
    return {name: Timing(tuple(times)) for name, times in spent.items()}


def row(name: str, times: dict[str, Timing], entries: int) -> dict[str, object]:
    """The row for warm or cold records (`name`)."""
    look_up, load = times["look_up"], times["load"]
    return {
        "row": name,
        "entries": entries,
        "look_up_seconds": look_up.median,
        "look_up_spread": look_up.spread,
        "load_seconds": load.median,
        "load_spread": load.spread,
        "published_seconds": PUBLISHED,
        "share": (look_up.median + load.median) / PUBLISHED,
    }


def main() -> None:
    """Fills a store, measures, prints the table, writes the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=50_000)
    parser.add_argument("--records", type=int, default=24, help="of them, full-size")
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), options.entries - options.records, rng)
        made = [entry(rng, -1 - i, LATENTS) for i in tqdm(range(options.records))]
        # A budget for headers only, so that no latents stay in memory.
        headers = options.entries * made[0].head.nbytes
        with Store(headers, folder=folder, disk_bytes=2**40) as store:
            matcher = Matcher(store, ScannIndex)
            for record in made:
                store.admit(record)
            [index] = matcher.shelves.indexes.values()
            assert isinstance(index, ScannIndex)
            index.wait()
            measured = []
            for name, cold in (("warm", None), ("cold", Path(folder))):
                times = requests(store, matcher, made, options.rounds, cold)
                measured.append(row(name, times, len(index)))
            matcher.shelves.close()
    rows.save("look_up", measured)
    print(rows.table(measured, [name for name in measured[0] if name != "benchmark"]))


if __name__ == "__main__":
    main()
