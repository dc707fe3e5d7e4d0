"""The two Pallas kernels at the real shapes of Wan: compiled for TPUs, or timed here.

    JAX_PLATFORMS=cpu python -m benchmarks.kernels --aot
    python -m benchmarks.kernels                            # on a TPU or GPU

`--rows WORD ...` selects the rows whose name has all these words, `--missing` the rows
that are not in the results yet; a row is written as soon as it is measured. By default,
`--aot` compiles all rows, but only the rows of Wan 1.3B are timed.
"""

import argparse
from collections.abc import Sequence

from tqdm import tqdm

from benchmarks.kernels import aot as kernel_aot
from benchmarks.kernels import steps as kernel_steps
from benchmarks.kernels.cases import CASES
from benchmarks.lib import rows
from chorus_jax.devices.compilation import enable_cache

AOT_COLUMNS = (
    "row",
    "cycles",
    "baseline_cycles",
    "ratio",
    "body_cycles",
    "baseline_body_cycles",
    "vmem_mib",
    "temporary_mib",
    "baseline_temporary_mib",
)


TIMED = ("1.3b",)


def selected(names: Sequence[str], words: Sequence[str], missing: bool) -> list[str]:
    """The names selected by the options. Raises SystemExit if no name has all words."""
    chosen = [name for name in names if all(word in name.split() for word in words)]
    if not chosen:
        known = sorted({word for name in names for word in name.split()})
        raise SystemExit(
            f"--rows {' '.join(words)}: no row has all these words; there are rows "
            f"with {', '.join(known)}"
        )
    there = {row["row"] for row in rows.load("kernels")} if missing else set()
    return [name for name in chosen if name not in there]


def compile_all(words: Sequence[str], missing: bool) -> None:
    """Compiles the cases for all TPUs, and the whole steps; prints the table."""
    cases = {
        f"{case.name} {generation}": (case, generation)
        for generation in kernel_aot.TOPOLOGIES
        for case in CASES
    }
    chosen = selected([*cases, *kernel_steps.ROWS], words, missing)
    kernel_rows, steps = [], []
    for name in tqdm(chosen, desc="kernels", leave=False):
        if name in cases:
            kernel_rows.append(kernel_aot.row(*cases[name]))
            rows.update("kernels", kernel_rows[-1:])
        else:
            steps.append(kernel_steps.row(name))
            rows.update("kernels", steps[-1:])
    for measured, columns in (
        (kernel_rows, AOT_COLUMNS),
        (steps, kernel_steps.COLUMNS),
    ):
        if measured:
            print(rows.table(measured, columns))


def main() -> None:
    """Compiles or times the selected rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--aot", action="store_true")
    parser.add_argument("--rows", nargs="*", default=[])
    parser.add_argument("--missing", action="store_true")
    options = parser.parse_args()
    if options.aot:
        compile_all(options.rows, options.missing)
        return
    # Imported here, since it initialises the accelerator.
    from benchmarks.kernels import timing as kernel_timing

    enable_cache()
    names = [case.name for case in CASES]
    chosen = selected(names, options.rows or TIMED, options.missing)
    kernel_timing.time_all([case for case in CASES if case.name in chosen])
