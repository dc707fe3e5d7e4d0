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
        rows: the number of rows of queries.
        bytes: the most on-chip memory that a block may fill. Queries, residual and
            outputs count twice, since the next block is fetched meanwhile.
    """

    rows: int
    bytes: int


DEFAULT = Wanted(1024, 6 * 2**20)
# By device kind, from `python -m benchmarks.kernels.tune`.
WANTED: dict[str, Wanted] = {}

# Blocks of the Triton kernel, by device kind.
TRITON: dict[str, GpuBlock] = {}


def fitted(kind: str, keys: int, heads: int, width: int, itemsize: int) -> QueryBlock:
    """The size of a block on a device kind.

    Args:
        kind: the device kind.
        keys: the number of keys.
        heads: the number of heads.
        width: the width of a head.
        itemsize: the bytes of a number.
    """
    wanted = WANTED.get(kind, DEFAULT)
    column = (6 * wanted.rows + 4 * keys) * width * itemsize
    return QueryBlock(
        wanted.rows, together(heads, width, max(1, wanted.bytes // column))
    )


def together(heads: int, width: int, most: int) -> int:
    """The number of heads in a block.

    It divides `heads` and, unless it is all heads, fills whole groups of lanes. The
    largest such number up to `most` is taken, or the smallest if all exceed `most`.
    """
    fitting = [
        count
        for count in range(1, heads + 1)
        if heads % count == 0 and (count * width % LANES == 0 or count == heads)
    ]
    return max([count for count in fitting if count <= most], default=fitting[0])
