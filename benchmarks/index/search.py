"""Search times of two indexes measured in turns, and the recall of one of them."""

from collections.abc import Callable, Mapping
from itertools import cycle

from benchmarks.index.vectors import Vectors
from benchmarks.lib.timing import Timing, interleaved
from chorus_jax.inter_request.index import Index, Neighbor

COUNT = 10  # number of nearest entries to search for; the matcher searches for 8
BLOCK = 20  # searches of one index in a row, so that its data are in the CPU's cache
NEAR = 0.8  # a nearest entry with at least this cosine is a hit that must be found
USABLE = 0.5  # only an entry with at least this cosine may be a source


def search_times(
    indexes: Mapping[str, Index], queries: Vectors, rounds: int, label: str
) -> dict[str, Timing]:
    """The seconds per search of each index, from rounds of BLOCK searches."""
    blocks = {name: _block(index, queries) for name, index in indexes.items()}
    timed = interleaved(blocks, rounds, label)
    return {
        name: Timing(tuple(seconds / BLOCK for seconds in timing.seconds))
        for name, timing in timed.items()
    }


def _block(index: Index, queries: Vectors) -> Callable[[], None]:
    endless = cycle(queries)

    def search() -> None:
        for _ in range(BLOCK):
            index.search(next(endless), COUNT)

    return search


def recall(exact: Index, other: Index, queries: Vectors) -> dict[str, float]:
    """The recall of another index, over all queries.

    Returns:
        `recall_1` and `recall_10`: the shares of the nearest and of the ten nearest
        entries that it finds. `recall_near`: the share that it finds of those among the
        ten nearest that have a cosine of at least USABLE. `hits_kept`: among queries
        whose nearest entry has a cosine of at least NEAR, the share for which its first
        result has such a cosine too. `recall_near` and `hits_kept` are left out if
        there are no such entries or queries.
    """
    pairs = [(exact.search(q, COUNT), other.search(q, COUNT)) for q in queries]
    return {
        "recall_1": _shared(pairs, 1),
        "recall_10": _shared(pairs, COUNT),
        **_usable(pairs),
        **_kept(pairs),
    }


def _shared(pairs: list[tuple[list[Neighbor], list[Neighbor]]], count: int) -> float:
    shares = []
    for true, answers in pairs:
        wanted = {match.id for match in true[:count]}
        got = {match.id for match in answers[:count]}
        shares.append(len(wanted & got) / len(wanted))
    return sum(shares) / len(shares)


def _usable(pairs: list[tuple[list[Neighbor], list[Neighbor]]]) -> dict[str, float]:
    wanted = [
        (match.id, {one.id for one in answers})
        for true, answers in pairs
        for match in true
        if match.similarity >= USABLE
    ]
    if not wanted:
        return {}
    return {"recall_near": sum(id in ids for id, ids in wanted) / len(wanted)}


def _kept(pairs: list[tuple[list[Neighbor], list[Neighbor]]]) -> dict[str, float]:
    close = [got for true, got in pairs if true[0].similarity >= NEAR]
    if not close:
        return {}
    recalled = sum(got[:1] != [] and got[0].similarity >= NEAR for got in close)
    return {"hits_kept": recalled / len(close)}
