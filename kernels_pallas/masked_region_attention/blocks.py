"""Block sizes of masked region attention, in whole tiles."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from kernels_pallas.gpu_block import GpuBlock

LANES = 128
# The most tiles per block: tiles of queries that `active` names are each an operand of
# their own, and the tiles of a block of keys are concatenated one by one.
MOST_TILES = 24


@dataclass(frozen=True)
class Rows:
    """The wanted rows of a block, from which its number of whole tiles follows.

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
    """The numbers of tiles in a block.

    Attributes:
        query: tiles of queries.
        key: tiles of keys.
    """

    query: int
    key: int


# For bfloat16 heads that fill one group of lanes; for others see `shrunk`.
DEFAULT = Rows(832, 2520)
# By device kind, from `python -m benchmarks.kernels.tune`.
ROWS: dict[str, Rows] = {}

# Blocks of the Triton kernel, by device kind.
TRITON: dict[str, GpuBlock] = {}


def fitted(kind: str, weight: int, size: int, active: int, count: int) -> Tiles:
    """Tiles per block on a device kind.

    Args:
        kind: the device kind.
        weight: the memory of a row; see `weight`.
        size: tokens in a tile.
        active: number of active tiles.
        count: number of tiles of keys.
    """
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
    """On-chip memory of a row of a block, in units of a head of 128 in bfloat16.

    Each head of a block has its own sums, which fill whole groups of lanes.
    """
    return together(heads, width) * math.ceil(width / LANES) * itemsize // 2


def largest(weight: int) -> int:
    """The most tokens that a tile may have if its rows have this weight.

    A block of one such tile and its logits fits in the 16 MiB that a kernel has on TPU
    v4 and v5 (checked by compiling 1024 tokens of weight 1, 768 of 2, 512 of 4).
    """
    return int(1024 / math.sqrt(weight))


def shrunk(rows: Rows, weight: int) -> Rows:
    """Halves the rows of keys and of queries in turn, once per doubling of `weight`."""
    halvings = math.ceil(math.log2(weight))
    queries, keys = halvings // 2, halvings - halvings // 2
    return Rows(max(1, rows.query >> queries), max(1, rows.key >> keys))


def dividing(count: int, most: int) -> int:
    """Tiles per block for `count` tiles: the largest divisor of `count` up to a limit.

    The limit is `most`, or `count` if that is smaller. If the divisor is at most half
    of the limit, the result is the limit instead, since a last block that is not full
    is better than many small blocks.
    """
    best = max(x for x in range(1, min(count, most) + 1) if count % x == 0)
    return best if 2 * best > min(count, most) else min(count, most)
