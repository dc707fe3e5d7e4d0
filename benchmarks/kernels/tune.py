"""Tries block sizes of the kernels on this machine's accelerator.

    python -m benchmarks.kernels.tune

The shapes are Wan 1.3B's at 480p, with a quarter of the tiles active. Nothing is
written: enter the fastest sizes into the `blocks.py` of the kernels, by device kind.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import jax

from benchmarks.kernels.cases import Case, functions
from benchmarks.kernels.timing import REPEATED, Repeated, timed
from kernels_pallas import dispatch
from kernels_pallas.amplified_cross_attention import blocks as cross
from kernels_pallas.gpu_block import GpuBlock
from kernels_pallas.masked_region_attention import blocks as region

CASES = (
    Case("region", "1.3b", "480p", 0.25),
    Case("cross", "1.3b", "480p", 1.0, 128),
)
# The first leaves room for two programs on a multiprocessor, so that the products of
# one overlap with the exponentials of the other; 128 x 64 with three stages leaves room
# for one program only.
GPU_BLOCKS = (
    (128, 64, 4, 2),
    (128, 128, 8, 2),
    *itertools.product((64, 128), (32, 64, 128), (4, 8), (3, 4)),
)


def candidates(case: Case, platform: str) -> Iterator[tuple[dict, Any]]:
    """Yields pairs of a kernel's table of block sizes and a block size to try in it."""
    blocks = region if case.kernel == "region" else cross
    if platform == "gpu":
        for block in GPU_BLOCKS:
            yield blocks.TRITON, GpuBlock(*block)
    elif case.kernel == "region":
        for query, key in itertools.product((416, 832, 1248), (1260, 2520, 3780)):
            yield region.ROWS, region.Rows(query, key)
    else:
        for rows, mib in itertools.product((512, 1024, 2048), (3, 6, 9)):
            yield cross.WANTED, cross.Wanted(rows, mib * 2**20)


def with_block(case: Case, kind: str, table: dict, block: Any) -> Repeated | None:
    """The kernel compiled with a block; None if the device has no room for it."""
    table[kind] = block
    try:
        made = jax.jit(functions(case)["ours"])
        thing = Repeated(made, case)
        # Compiled here, while the table has the block.
        thing.prepare()
        thing()
        return thing
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        print(f"{block}: {str(error).splitlines()[0]}")
        return None
    finally:
        del table[kind]


def main() -> None:
    """Tries all candidates, and prints them, the fastest first."""
    platform, kind = dispatch.device()
    if platform == "cpu":
        raise SystemExit("tuning needs a TPU or GPU")
    for case in CASES:
        things = {
            str(block): with_block(case, kind, table, block)
            for table, block in candidates(case, platform)
        }
        fitting = {name: thing for name, thing in things.items() if thing}
        times = timed(fitting, case)
        for name, time in sorted(times.items(), key=lambda x: x[1].median):
            print(f"{case.name}: {time.median / REPEATED:.3e} s  {kind!r}: {name}")


if __name__ == "__main__":
    main()
