"""The time of finding and loading a source at the size of Wan 1.3B.

    python -m benchmarks.index.look_up

A store on disk with nothing in memory, entries as Wan 1.3B leaves them at 480p and 81
frames (latents 21x60x104x16 at three key steps in bfloat16 and the clean ones in
float32: 21 MB), an index of 10 000 embeddings of its width, prompts of 12 words. Timed
for a request each: `look_up` (nearest, and the second look), `load` (the record read,
its checksum verified). `share` is both over a 4-step request's denoising by the time
that Wan's authors publish for 50 steps with guidance on one consumer GPU (RTX 4090: 4
minutes; Wan-Video/Wan2.1, README): 240 s / 50 steps / 2 branches x 4 steps = 9.6 s for
a model that was distilled with its guidance folded in. Goal: 0.02. Records come from
the page cache where memory allows; `cold` has it emptied for the record's file.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import ml_dtypes
import numpy as np
from tqdm import tqdm

from benchmarks.lib import rows
from benchmarks.lib.timing import Timing
from chorus_jax.inter_request.index import ExactIndex
from chorus_jax.inter_request.match import meaning
from chorus_jax.inter_request.match.matching import Match, Matcher, Query
from chorus_jax.inter_request.match.second_look import SecondLook
from chorus_jax.inter_request.match.words import word_keys
from chorus_jax.inter_request.store import Entry, Statistics, Store

LATENTS, WIDTH, STEPS = (21, 60, 104, 16), 1536, (1, 2, 3)
PUBLISHED = 240.0 / 50 / 2 * 4  # seconds of a 4-step request, see above
WORDS = "a red blue green small large circle star cat dog runs on snow sand".split()
RECIPE = "0" * 64


def prompt(rng: np.random.Generator) -> str:
    """Twelve words."""
    return " ".join(rng.choice(WORDS, 12))


def entry(store: Store, rng: np.random.Generator, exact: int) -> Entry:
    """An entry of random latents."""
    vector = rng.standard_normal(WIDTH).astype(np.float32)
    final = rng.standard_normal(LATENTS, np.float32)
    meanings = rng.standard_normal((12, meaning.WIDTH))
    return Entry(
        recipe=RECIPE,
        exact=f"{exact:064x}",
        namespace="default",
        steps=STEPS,
        embedding=vector / np.linalg.norm(vector),
        words=word_keys(prompt(rng), store.secret.for_words),
        meanings=meanings.astype(np.float16),
        statistics=Statistics.new(time.time(), PUBLISHED),
        latents=np.stack([final] * len(STEPS)).astype(ml_dtypes.bfloat16),
        final=final,
    )


def drop_pages(folder: Path) -> None:
    """Empties the page cache of all files in a folder, where the system can."""
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def requests(
    store: Store, matcher: Matcher, heads: list[Entry], rounds: int, cold: Path | None
) -> dict[str, Timing]:
    """The times of so many requests, each like an entry on disk."""
    rng = np.random.default_rng(1)
    spent: dict[str, list[float]] = {"look_up": [], "load": []}
    for _ in range(rounds):
        like = heads[int(rng.integers(len(heads)))]
        vector = like.embedding + 0.01 * rng.standard_normal(WIDTH).astype(np.float32)
        vector /= np.linalg.norm(vector)
        query = Query(RECIPE, "default", vector, like.words, like.meanings)
        if cold is not None:
            drop_pages(cold)
        began = time.perf_counter()
        match = matcher(query, SecondLook(), 0.5)
        between = time.perf_counter()
        assert isinstance(match, Match) and match.head.id == like.id
        loaded = store.get(match.head.id, "default")
        ended = time.perf_counter()
        assert loaded is not None
        np.testing.assert_array_equal(loaded.final, like.final)
        spent["look_up"].append(between - began)
        spent["load"].append(ended - between)
    return {name: Timing(tuple(times)) for name, times in spent.items()}


def row(name: str, times: dict[str, Timing], entries: int) -> dict[str, object]:
    """The row of warm or cold records."""
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
    parser.add_argument("--entries", type=int, default=10_000, help="in the index")
    parser.add_argument("--records", type=int, default=24, help="of them on disk")
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        with Store(0, folder=folder, disk_bytes=2**36) as store:
            matcher = Matcher(store, ExactIndex)
            made = [
                entry(store, rng, i) for i in tqdm(range(options.records), unit="entry")
            ]
            for record in made:
                store.admit(record)
            [index] = matcher.shelves.indexes.values()
            for i in range(options.entries - options.records):
                index.add(f"{i}", rng.standard_normal(WIDTH))
            measured = []
            for name, cold in (("warm", None), ("cold", Path(folder))):
                times = requests(store, matcher, made, options.rounds, cold)
                measured.append(row(name, times, len(index)))
    rows.save("look_up", measured)
    print(rows.table(measured, [name for name in measured[0] if name != "benchmark"]))


if __name__ == "__main__":
    main()
