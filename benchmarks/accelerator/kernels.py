"""Compares both kernels with cuDNN and XLA at the shapes of Wan 1.3B: errors, times.

    python -m benchmarks.accelerator.kernels --out DIR [--rows WORD ...] [--rehearse]

480p comes first, then 720p. A row is written to DIR/accelerator.jsonl as soon as it is
measured; its `peak` is the speed of a product of two large matrices on the device.
A row also records failures and wrong results, after which the next function is
measured. Operands are random, since constant ones run faster.
"""

import argparse
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import jax
import jax.numpy as jnp

from benchmarks.accelerator.attention import (
    Shape,
    error,
    exact,
    operands,
    ours,
    rival,
)
from benchmarks.accelerator.time_left import TimeLeft
from benchmarks.lib import rows
from benchmarks.lib.timing import interleaved
from chorus_jax.families.wan.config import WanConfig

GRIDS: Final = {"480p": (21, 30, 52), "720p": (21, 45, 80)}
CASES: Final = ((0.25, 0), (1.0, 0), (0.25, 512), (1.0, 512), (0.5, 0), (0.1, 0))
ROUNDS: Final = 5
TOLERANCE: Final = 0.03  # largest error in bfloat16, relative to the largest output
LEAST: Final = 20.0  # seconds that must be left for another row


def shapes(rehearse: bool) -> Iterator[tuple[str, Shape]]:
    """The problems by name, the most important first."""
    if rehearse:
        for text in (0, 8):
            yield f"tiny {text}", Shape((2, 4, 4), (1, 2, 2), 2, 16, 0.5, text)
        return
    config = WanConfig.t2v_1_3b()
    for size, grid in GRIDS.items():
        for share, text in CASES:
            kind = f"cross {text}" if text else "region"
            heads, width = config.heads, config.head_width
            shape = Shape(grid, config.tile, heads, width, share, text)
            yield f"{kind} 1.3b {size} {share:g}", shape


def candidates(shape: Shape) -> dict[str, Callable[..., Any]]:
    """The compiled functions that are timed, by name."""
    functions = {"ours": ours(shape)}
    if jax.default_backend() == "gpu":
        functions["cudnn"] = rival(shape, "cudnn")
    if shape.share < 1 or shape.text:
        functions["xla"] = rival(shape, "xla")
    return {name: jax.jit(function) for name, function in functions.items()}


def measured(name: str, shape: Shape) -> dict[str, Any]:
    """Measures a problem; returns the errors of all functions, and times if correct."""
    given = operands(shape, jax.random.key(0))
    want = exact(shape, given)
    row: dict[str, Any] = {"row": name, "operations": shape.operations}
    right: dict[str, Callable[[], Any]] = {}
    for label, function in candidates(shape).items():
        try:
            row[f"{label}_error"] = error(function, given, want)
        except Exception as failure:
            row[f"{label}_failed"] = f"{type(failure).__name__}: {failure}"[:500]
            continue
        if row[f"{label}_error"] <= TOLERANCE:
            right[label] = blocked(function, given)
    for label, timing in interleaved(right, ROUNDS, name).items():
        row |= {f"{label}_seconds": timing.median, f"{label}_spread": timing.spread}
    return row


def blocked(function: Callable[..., Any], given: dict[str, Any]) -> Callable[[], Any]:
    """A function that calls `function` and waits until its work is done."""
    return lambda: jax.block_until_ready(function(**given))


def peak(size: int) -> float:
    """The highest measured operations per second of a bfloat16 matrix product.

    The matrices are random, of `size` rows and columns.
    """
    x = jax.random.normal(jax.random.key(0), (size, size), jnp.bfloat16)
    product = jax.jit(lambda x: x @ x)
    run = lambda: jax.block_until_ready(product(x))
    timing = interleaved({"": run}, ROUNDS, "peak")[""]
    return 2 * size**3 / min(timing.seconds)


def main() -> int:
    """Measures all rows, or as many as there is time for; returns 0 if our kernels ran
    and were right in all of them."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--out", type=Path, required=True)
    top.add_argument("--rows", nargs="+", default=[], help="words that rows have")
    top.add_argument("--rehearse", action="store_true", help="tiny sizes")
    options = top.parse_args()
    time_left, path = TimeLeft.of_part(180.0), options.out / "accelerator.jsonl"
    wanted = {
        name: shape
        for name, shape in shapes(options.rehearse)
        if set(options.rows) <= set(name.split())
    }
    if not wanted:
        known = ", ".join(name for name, _ in shapes(options.rehearse))
        top.error(f"no row has all of the words {options.rows}: rows are {known}")
    about = {"jax": jax.__version__, "peak": peak(64 if options.rehearse else 8192)}
    wrong = False
    for name, shape in wanted.items():
        if time_left.now() < (0 if options.rehearse else LEAST):
            print(f"no time left for {name}")
            break
        try:
            row = measured(name, shape)
        except Exception:
            row = {"row": name, "failed": traceback.format_exc()[-1000:]}
        rows.append(path, "accelerator", {**row, **about})
        print(row, flush=True)
        wrong |= "ours_seconds" not in row
    return int(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
