"""The block of a Triton kernel; apart from Triton, which takes long to import."""

from typing import NamedTuple


class GpuBlock(NamedTuple):
    """Rows of queries and of keys in a block; warps of a program, loads under way."""

    query: int
    key: int
    warps: int
    stages: int
