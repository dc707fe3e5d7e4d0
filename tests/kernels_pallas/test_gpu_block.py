"""Blocks fit into the shared memory that a program has on each kind of GPU."""

import pytest

from kernels_pallas import gpu_block
from kernels_pallas.gpu_block import WIDEST, GpuBlock

KIB = 2**10


@pytest.mark.parametrize("itemsize", [2, 4])
@pytest.mark.parametrize(
    "kind, room",
    [
        ("NVIDIA L4", 99 * KIB),
        ("NVIDIA GeForce RTX 4090", 99 * KIB),
        ("one of next year", 99 * KIB),
        ("NVIDIA A100-SXM4-80GB", 163 * KIB),
        ("NVIDIA H200", 227 * KIB),
    ],
)
def test_the_widest_heads_fit(kind, room, itemsize):
    block = gpu_block.fitted({}, kind, itemsize)
    rows = block.query + 2 * block.stages * block.key
    assert rows * WIDEST * itemsize < room


def test_a_tuned_block_is_taken():
    tuned = GpuBlock(64, 128, 8, 4)
    assert gpu_block.fitted({"NVIDIA L4": tuned}, "NVIDIA L4", 2) == tuned
    assert gpu_block.fitted({}, "NVIDIA H200", 2) == GpuBlock(128, 64, 4, 3)
