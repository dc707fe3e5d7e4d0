"""The two Pallas kernels at the real shapes of Wan: compiled for TPUs, or timed here.

    JAX_PLATFORMS=cpu python -m benchmarks.kernels --aot
    python -m benchmarks.kernels                            # on a TPU or GPU

`--rows WORD ...` takes the rows whose name has all these words, `--missing` those that
have no row yet; a row is written as soon as it is there.
"""

import argparse
from collections.abc import Sequence

from tqdm import tqdm

from benchmarks import kernel_aot, kernel_steps, rows
from benchmarks.kernel_cases import CASES

AOT_COLUMNS = (
    "row",
    "cycles",
    "baseline_cycles",
    "ratio",
    "body_cycles",
    "baseline_body_cycles",
    "optimal_seconds",
    "baseline_optimal_seconds",
    "vmem_mib",
    "temporary_mib",
    "baseline_temporary_mib",
)


def selected(names: Sequence[str], words: Sequence[str], missing: bool) -> list[str]:
    """The rows that are asked for."""
    there = {row["row"] for row in rows.load("kernels")} if missing else set()
    every = lambda name: all(word in name.split() for word in words)
    return [name for name in names if every(name) and name not in there]


def compile_all(words: Sequence[str], missing: bool) -> None:
    """Compiles the cases for all TPUs, and the whole steps; prints the table."""
    cases = {
        f"{case.name} {generation}": (case, generation)
        for generation in kernel_aot.TOPOLOGIES
        for case in CASES
    }
    found = []
    for name in tqdm(selected([*cases], words, missing), desc="kernels", leave=False):
        found.append(kernel_aot.row(*cases[name]))
        rows.update("kernels", found[-1:])
    if found:
        print(rows.table(found, AOT_COLUMNS))
    steps = []
    for name in tqdm(selected(kernel_steps.ROWS, words, missing), leave=False):
        steps.append(kernel_steps.row(name))
        rows.update("kernels", steps[-1:])
    if steps:
        print(rows.table(steps, kernel_steps.COLUMNS))


def main() -> None:
    """Compiles or times the rows that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--aot", action="store_true")
    parser.add_argument("--rows", nargs="*", default=[])
    parser.add_argument("--missing", action="store_true")
    options = parser.parse_args()
    if options.aot:
        compile_all(options.rows, options.missing)
        return
    # Late: it looks for the accelerator.
    from benchmarks import kernel_timing

    kernel_timing.time_all(lambda names: selected(names, options.rows, options.missing))


if __name__ == "__main__":
    main()
