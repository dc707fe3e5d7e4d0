"""Block sizes of masked region attention: whole tiles, near a number of rows."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from kernels_pallas.gpu_block import GpuBlock

LANES = 128
# Named tiles of queries are fetched one by one, each as an operand of its own; those of
# a block of keys are put together one by one.
MOST_TILES = 24


@dataclass(frozen=True)
class Rows:
    """Rows wanted in a block; whole tiles are taken, as near as they come.

    Attributes:
        query: rows of queries, 1 or more.
        key: rows of keys, 1 or more.
    """

    query: int
    key: int

    def __post_init__(self) -> None:
        if min(self.query, self.key) < 1:
            raise ValueError(f"a block needs rows, got {self}")


class Tiles(NamedTuple):
    """Tiles in a block.

    Attributes:
        query: tiles of queries.
        key: tiles of keys.
    """

    query: int
    key: int


# Of bfloat16 heads that fill one group of lanes; of others `shrunk`.
DEFAULT = Rows(832, 2520)
# By device kind, from `python -m benchmarks.kernels.tune`.
ROWS: dict[str, Rows] = {}

# The same of Triton's blocks.
TRITON: dict[str, GpuBlock] = {}


def fitted(kind: str, weight: int, size: int, active: int, count: int) -> Tiles:
    """Tiles per block on a device kind, of so many active ones over `count` of keys,
    of `size` tokens; see `weight`."""
    rows = shrunk(ROWS.get(kind, DEFAULT), weight)
    return Tiles(
        min(active, MOST_TILES, max(1, rows.query // size)),
        dividing(count, min(MOST_TILES, max(1, rows.key // size))),
    )


def together(heads: int, width: int) -> int:
    """Heads in one block: the fewest that fill whole groups of lanes, else all."""
    for count in range(1, heads):
        if heads % count == 0 and count * width % LANES == 0:
            return count
    return heads


def weight(heads: int, width: int, itemsize: int) -> int:
    """Memory of a row of a block on the chip, in units of a head of 128 in bfloat16.

    Each head of a block has sums of its own, which fill whole groups of lanes.
    """
    return together(heads, width) * math.ceil(width / LANES) * itemsize // 2


def largest(weight: int) -> int:
    """The most tokens of a tile: a block of one and its logits fit in the 16 MiB that
    v4 and v5 let a kernel have (compiled: 1024 of weight 1, 768 of 2, 512 of 4)."""
    return int(1024 / math.sqrt(weight))


def shrunk(rows: Rows, weight: int) -> Rows:
    """Fewer rows where each takes more: half of the keys first, then of the queries."""
    halvings = math.ceil(math.log2(weight))
    queries, keys = halvings // 2, halvings - halvings // 2
    return Rows(max(1, rows.query >> queries), max(1, rows.key >> keys))


def dividing(count: int, most: int) -> int:
    """The largest divisor of `count` up to `most`, or `most` if that is half as large
    as it or less: a block that is not filled is better than many small ones."""
    best = max(x for x in range(1, min(count, most) + 1) if count % x == 0)
    return best if 2 * best > min(count, most) else min(count, most)
