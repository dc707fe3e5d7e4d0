"""The block of a Triton kernel, without importing Triton, which takes long."""

from typing import NamedTuple


class GpuBlock(NamedTuple):
    """The size of a block on a GPU, and how its program runs.

    Attributes:
        query: rows of queries.
        key: rows of keys.
        warps: warps of a program.
        stages: pipeline stages of loads.
    """

    query: int
    key: int
    warps: int
    stages: int


# Device kinds (prefixes) with 163 KiB or more of shared memory per program. Queries,
# and keys and values of all stages, take 128 KiB with heads of 128 in bfloat16.
LARGE = ("NVIDIA A100", "NVIDIA H100", "NVIDIA H200", "NVIDIA GH200", "NVIDIA B200")
LARGE_BLOCK = GpuBlock(query=128, key=64, warps=4, stages=3)
# Takes 80 KiB of the 99 that an L4 or a GeForce has.
DEFAULT = GpuBlock(query=64, key=64, warps=4, stages=2)
WIDEST = 128


def fitted(table: dict[str, GpuBlock], kind: str, itemsize: int) -> GpuBlock:
    """The block for a GPU kind; float32 halves its keys and removes a stage."""
    block = table.get(kind, LARGE_BLOCK if kind.startswith(LARGE) else DEFAULT)
    if itemsize < 4:
        return block
    return block._replace(key=block.key // 2, stages=max(1, block.stages - 1))
