"""The block of a Triton kernel; apart from Triton, which takes long to import."""

from typing import NamedTuple


class GpuBlock(NamedTuple):
    """Rows of queries and of keys in a block; warps of a program, loads under way."""

    query: int
    key: int
    warps: int
    stages: int


DEFAULT = GpuBlock(query=128, key=64, warps=4, stages=3)


def fitted(table: dict[str, GpuBlock], kind: str, itemsize: int) -> GpuBlock:
    """The block of a GPU kind; of float32 numbers half as many fit on the chip."""
    block = table.get(kind, DEFAULT)
    return block if itemsize < 4 else block._replace(key=block.key // 2, stages=2)
