"""Times the kernels on this machine's accelerator, against the plain path and XLA.

First, the error of each function against float32 is printed and recorded. If a function
fails or our kernel's error is too large, the row says so and the next case is measured;
another function with too large an error is not timed. Operands are random, fresh in
every round, and functions run in turns. The peaks of the device are measured with a
large matrix product and a copy of a large array, not taken from a data sheet.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from benchmarks.kernels.cases import Case, functions
from benchmarks.kernels.errors import error, maker, reference
from benchmarks.lib import rows, timing
from kernels_pallas import dispatch

ROUNDS = 7
# Calls of a few hundred microseconds are repeated, to be well above the clock's error.
REPEATED = 5
# The largest accepted error of bfloat16 outputs, relative to the largest output.
TOLERANCE = 0.03
COLUMNS = (
    "row",
    "implementation",
    "seconds",
    "spread",
    "ratio",
    "error",
    "teraflops",
    "share_of_peak",
    "over_bytes",
    "failed",
)


def time_all(cases: Sequence[Case]) -> None:
    """Times the cases, writes a row for each, and prints the table.

    Raises SystemExit without an accelerator, and at the end if a case failed.
    """
    implementation = dispatch.choose()
    if implementation == "reference":
        raise SystemExit("timing needs a TPU or GPU; --aot compiles without one")
    peak = Peak(matrix_peak(), memory_peak())
    print(
        f"{peak.operations / 1e12:.0f} TFLOP/s, {peak.bytes / 1e12:.2f} TB/s measured"
    )
    timings = []
    for case in cases:
        row = {"row": case.name, "implementation": implementation}
        row |= measured_or_error(case, peak)
        timings.append(row)
        rows.update("kernels", [row], ("row", "implementation"))
        print(rows.table([row], COLUMNS))
    print(rows.table(timings, COLUMNS))
    wrong = [row["row"] for row in timings if "failed" in row]
    if wrong:
        raise SystemExit(f"{len(wrong)} rows failed: {', '.join(wrong)}")


class Peak(NamedTuple):
    """The highest rates of a device.

    Attributes:
        operations: floating-point operations per second.
        bytes: bytes read and written per second.
    """

    operations: float
    bytes: float


def measured_or_error(case: Case, peak: Peak) -> dict[str, Any]:
    """The figures of a case, or the message of its error in the field `failed`."""
    try:
        return measured(case, peak)
    except (jax.errors.JaxRuntimeError, NotImplementedError, ValueError) as error:
        return {"failed": str(error).splitlines()[0]}


def measured(case: Case, peak: Peak) -> dict[str, Any]:
    """Measures the errors and times of a case; returns the fields of its row."""
    made = {name: jax.jit(function) for name, function in functions(case).items()}
    if case.kernel == "cross":
        del made["plain"]  # the same as XLA's
    want = reference(case)
    errors = {name: error(case, function, want) for name, function in made.items()}
    print(case.name, {name: f"{x:.2g}" for name, x in errors.items()})
    right = [name for name, x in errors.items() if x <= TOLERANCE]
    figures = {f"{name}_error": x for name, x in errors.items() if name != "ours"}
    figures["error"] = errors["ours"]
    if "ours" not in right:
        return {**figures, "failed": f"error above {TOLERANCE}"}
    times = timed({name: Repeated(made[name], case) for name in right}, case)
    return {**figures, **compared(case, times, peak)}


def compared(
    case: Case, times: Mapping[str, timing.Timing], peak: Peak
) -> dict[str, Any]:
    """Our seconds, compared with the peaks and with the other functions."""
    seconds = {name: time.median / REPEATED for name, time in times.items()}
    ours = seconds["ours"]
    figures: dict[str, Any] = {
        "seconds": ours,
        "spread": times["ours"].spread,
        "teraflops": case.operations / ours / 1e12,
        "share_of_peak": case.operations / ours / peak.operations,
        "over_bytes": ours / (case.bytes / peak.bytes),
        "peak_teraflops": peak.operations / 1e12,
        "peak_terabytes": peak.bytes / 1e12,
    }
    for name in set(seconds) - {"ours"}:
        figures[f"{name}_seconds"] = seconds[name]
        figures[f"{name}_spread"] = times[name].spread
    for baseline in [name for name in ("plain", "xla") if name in seconds][:1]:
        figures |= {"baseline": baseline, "ratio": ours / seconds[baseline]}
    return figures


class Repeated:
    """Repeated calls of a function, each on new operands."""

    def __init__(self, function: Callable[..., Any], case: Case):
        self.function, self.make, self.round = function, maker(case), 0
        self.ready: list[Any] = []

    def prepare(self) -> None:
        """Makes the operands of the next calls."""
        for _ in range(REPEATED):
            self.round += 1
            self.ready.append(self.make(jax.random.key(self.round)))
        jax.block_until_ready(self.ready)

    def __call__(self) -> None:
        ready, self.ready = self.ready, []
        jax.block_until_ready([self.function(*x) for x in ready])


def timed(things: Mapping[str, Repeated], case: Case) -> dict[str, timing.Timing]:
    """The seconds of each function's repeated calls, in turns."""
    prepare = lambda name: things[name].prepare()
    return timing.interleaved(things, ROUNDS, case.name, prepare)


def matrix_peak(size: int = 8192) -> float:
    """The highest measured operations per second of a bfloat16 matrix product.

    Its numbers are random: with constant ones a chip draws less power and runs faster.
    """
    x = jax.random.normal(jax.random.key(0), (size, size), jnp.bfloat16)
    return 2 * size**3 / best(jax.jit(jnp.matmul), x, x)


def memory_peak(size: int = 2**28) -> float:
    """The highest measured bytes per second that a copy reads and writes."""
    x = jax.random.normal(jax.random.key(0), (size,), jnp.bfloat16)
    return 2 * x.nbytes / best(jax.jit(lambda x: x + 1), x)


def best(function: Callable[..., Any], *given: Any) -> float:
    """The seconds per call in the fastest of five rounds of ten calls."""
    run = lambda: jax.block_until_ready([function(*given) for _ in range(10)])
    return min(timing.interleaved({"": run}, 5, "peak")[""].seconds) / 10
