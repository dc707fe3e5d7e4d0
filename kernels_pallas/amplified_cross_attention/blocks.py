"""Block sizes of amplified cross-attention: rows of queries, and heads at a time."""

from dataclasses import dataclass

from kernels_pallas.gpu_block import GpuBlock

LANES = 128


@dataclass(frozen=True)
class QueryBlock:
    """The size of a block.

    Attributes:
        rows: rows of queries, 1 or more.
        heads: heads whose columns it holds, 1 or more.
    """

    rows: int
    heads: int

    def __post_init__(self) -> None:
        if min(self.rows, self.heads) < 1:
            raise ValueError(f"a block needs rows and heads, got {self}")


@dataclass(frozen=True)
class Wanted:
    """Limits on the size of a block.

    Attributes:
        rows: rows of queries.
        bytes: the most of the chip's memory that a block's heads may fill. Queries,
            residual and outputs count twice, since the next block's are fetched
            meanwhile.
    """

    rows: int
    bytes: int


DEFAULT = Wanted(1024, 6 * 2**20)
# By device kind, from `python -m benchmarks.kernels.tune`.
WANTED: dict[str, Wanted] = {}

# Blocks of the Triton kernel, by device kind.
TRITON: dict[str, GpuBlock] = {}


def fitted(kind: str, keys: int, heads: int, width: int, itemsize: int) -> QueryBlock:
    """The block on a device kind."""
    wanted = WANTED.get(kind, DEFAULT)
    column = (6 * wanted.rows + 4 * keys) * width * itemsize
    return QueryBlock(
        wanted.rows, together(heads, width, max(1, wanted.bytes // column))
    )


def together(heads: int, width: int, most: int) -> int:
    """The most heads up to `most` that fill whole groups of lanes, else the fewest."""
    fitting = [
        count
        for count in range(1, heads + 1)
        if heads % count == 0 and (count * width % LANES == 0 or count == heads)
    ]
    return max([count for count in fitting if count <= most], default=fitting[0])
