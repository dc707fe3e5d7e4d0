"""Block sizes of masked region attention: whole tiles, near a number of rows."""

from dataclasses import dataclass

# Each tile of a block is a copy of its own, with its own semaphore.
MOST_TILES = 16


@dataclass(frozen=True)
class Rows:
    """Rows of queries and of keys wanted in a block."""

    query: int
    key: int

    def __post_init__(self) -> None:
        if min(self.query, self.key) < 1:
            raise ValueError(f"a block needs rows, got {self}")


@dataclass(frozen=True)
class Tiles:
    """Tiles of queries and of keys in a block."""

    query: int
    key: int


DEFAULT = Rows(1024, 1024)
# By device kind, from `python -m benchmarks.tune_kernels`.
ROWS: dict[str, Rows] = {}


def fitted(kind: str, size: int, active: int, listed: int) -> Tiles:
    """Tiles a block on a device kind, for tiles of `size` tokens."""
    rows = ROWS.get(kind, DEFAULT)
    return Tiles(
        min(active, MOST_TILES, max(1, rows.query // size)),
        min(listed, MOST_TILES, max(1, rows.key // size)),
    )
