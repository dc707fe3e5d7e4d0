"""The kernels timed on the accelerator at hand, beside the library's and XLA's.

First the error of each against float32 is printed and kept; one that is too far off is
not timed. Operands are fresh in every round and what is compared runs in turns. The
peaks of the device are measured, not read from a sheet: a large matrix product, and a
copy of a large array.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.kernels.cases import Case, functions
from benchmarks.kernels.errors import error, maker, reference
from benchmarks.lib import rows, timing
from kernels_pallas import dispatch

ROUNDS = 7
# A call of a few hundred microseconds is repeated to be well above a clock's.
REPEATED = 5
# Of bfloat16 outputs of attention, over their largest.
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
)


def time_all(cases: Sequence[Case]) -> None:
    """Times these cases; prints the table. SystemExit without an accelerator."""
    implementation = dispatch.choose()
    if implementation == "reference":
        raise SystemExit("timing needs a TPU or GPU; --aot compiles without one")
    peak, bandwidth = matrix_peak(), memory_peak()
    print(f"{peak / 1e12:.0f} TFLOP/s, {bandwidth / 1e12:.2f} TB/s measured")
    found = []
    for case in cases:
        found += measured(case, implementation, peak, bandwidth)
        rows.update("kernels", found[-1:], ("row", "implementation"))
        print(rows.table(found[-1:], COLUMNS))
    print(rows.table(found, COLUMNS))


def measured(
    case: Case, implementation: str, peak: float, bandwidth: float
) -> list[dict[str, Any]]:
    """The row of a case."""
    made = {
        name: jax.jit(function, donate_argnums=case.donated)
        for name, function in functions(case).items()
    }
    want = reference(case)
    errors = {name: error(case, function, want) for name, function in made.items()}
    print(case.name, {name: f"{x:.2g}" for name, x in errors.items()})
    right = [name for name, x in errors.items() if x <= TOLERANCE]
    if "ours" not in right:
        raise SystemExit(f"{case.name}: error {errors['ours']:.2g}, not timed")
    times = timed({name: Repeated(made[name], case) for name in right}, case)
    seconds = {name: time.median / REPEATED for name, time in times.items()}
    others = {name: x for name, x in seconds.items() if name != "ours"}
    row = {
        "row": case.name,
        "implementation": implementation,
        "seconds": seconds["ours"],
        "spread": times["ours"].spread,
        "error": errors["ours"],
        "teraflops": case.operations / seconds["ours"] / 1e12,
        "share_of_peak": case.operations / seconds["ours"] / peak,
        "over_bytes": seconds["ours"] / (case.bytes / bandwidth),
        "peak_teraflops": peak / 1e12,
        "peak_terabytes": bandwidth / 1e12,
    }
    for name, x in others.items():
        row |= {f"{name}_seconds": x, f"{name}_spread": times[name].spread}
    for baseline in [name for name in ("library", "xla") if name in others][:1]:
        row |= {"baseline": baseline, "ratio": seconds["ours"] / others[baseline]}
    return [row]


class Repeated:
    """Some calls of a function, each on operands that it has not seen."""

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
    """Seconds of each thing's repeated calls, in turns."""
    prepare = lambda name: things[name].prepare()
    return timing.interleaved(things, ROUNDS, case.name, prepare)


def matrix_peak(size: int = 8192) -> float:
    """Operations a second of a large product in bfloat16, the best of some."""
    x = jnp.ones((size, size), jnp.bfloat16)
    return 2 * size**3 / best(jax.jit(jnp.matmul), x, x)


def memory_peak(size: int = 2**28) -> float:
    """Bytes a second read and written, the best of some copies."""
    x = jnp.ones(size, jnp.bfloat16)
    return 2 * x.nbytes / best(jax.jit(lambda x: x + 1), x)


def best(function: Callable[..., Any], *given: Any) -> float:
    """Seconds of the fastest of some calls."""
    run = lambda: jax.block_until_ready([function(*given) for _ in range(10)])
    return min(timing.interleaved({"": run}, 5, "peak")[""].seconds) / 10
