"""The block of a Triton kernel; apart from Triton, which takes long to import."""

from typing import NamedTuple


class GpuBlock(NamedTuple):
    """The size of a block on a GPU, and how its program runs.

    Attributes:
        query: rows of queries.
        key: rows of keys.
        warps: warps of a program.
        stages: loads that are under way at once.
    """

    query: int
    key: int
    warps: int
    stages: int


# Queries, and keys and values of all stages, of heads of 128 in bfloat16: 128 KiB of
# shared memory, of 163 and more that these have for a program, by how a kind begins.
LARGE = ("NVIDIA A100", "NVIDIA H100", "NVIDIA H200", "NVIDIA GH200", "NVIDIA B200")
LARGE_BLOCK = GpuBlock(query=128, key=64, warps=4, stages=3)
# 80 KiB of the 99 that an L4 or a GeForce has.
DEFAULT = GpuBlock(query=64, key=64, warps=4, stages=2)
WIDEST = 128


def fitted(table: dict[str, GpuBlock], kind: str, itemsize: int) -> GpuBlock:
    """The block of a GPU kind; of float32 numbers half as many fit on the chip."""
    block = table.get(kind, LARGE_BLOCK if kind.startswith(LARGE) else DEFAULT)
    if itemsize < 4:
        return block
    return block._replace(key=block.key // 2, stages=max(1, block.stages - 1))
