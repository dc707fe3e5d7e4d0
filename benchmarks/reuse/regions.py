"""The cost of a region step compared with a full step.

    python -m benchmarks.reuse.regions

The model is a small Wan with random weights in float32, with guidance and 1280 video
tokens (5 x 16 x 16) in tiles of 1x2x2. Every run has one full step, followed by further
full steps or by region steps, which run the `active` share of the tiles with held keys
and values of the inactive tiles. With half of the tiles active, there are also cases in
which a quarter of them are a halo, active for half of the region steps, and cases with
a sampled or a dropped context.

All cases are run in turns, with 12 and with 4 such steps; the time of a step is an
eighth of the difference. `once_seconds` is the further cost of a region, once per run:
choosing it, writing held keys and values in the full step, and closing the halo.
`computed` is the mean share of tiles that a region step runs: the core, the halo while
it is active, and sampled tiles. `ratio` is the time of a region step divided by a full
step's, and `over_share` is `ratio` divided by `computed` (goal: at most 1.15). First, a
check ensures that with all tiles active, held and dropped contexts give the latents of
full steps.
"""

import argparse
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.lib import rows, timing
from benchmarks.lib.wan import LoopRun, geometry, inputs
from chorus_jax.denoise import loop
from chorus_jax.denoise.cost import equivalents
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.program import Program
from chorus_jax.denoise.region import Region
from chorus_jax.denoise.state import Inputs, SourceLatents
from chorus_jax.engine import planned
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.families.wan.model import prepare
from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.schedulers import Euler

CONFIG = WanConfig(
    heads=6,
    head_width=64,
    depth=4,
    mlp_width=1536,
    in_channels=8,
    out_channels=8,
    text_width=64,
    text_limit=64,
    patch=(1, 1, 1),
    tile=(1, 2, 2),
    dtype="float32",
)
GRID = (5, 16, 16)
GEOMETRY = geometry(CONFIG, GRID)
TILING = GEOMETRY.tiling
FULL_STEPS, LONG, SHORT = 1, 12, 4
EARLY = 1  # the step at which long runs begin, from the source's latents
STEPS = EARLY + FULL_STEPS + LONG
LATE = STEPS - SHORT - FULL_STEPS  # the step at which short runs begin
SOLVER = Euler.spaced(STEPS, 3.0)
TOLERANCE = 1e-4
WHOLE = "whole"
COLUMNS = (
    *("row", "computed", "seconds", "spread", "baseline_seconds", "ratio"),
    *("over_share", "once_seconds"),
)


@dataclass(frozen=True)
class RegionCase:
    """A region and how it is run.

    Attributes:
        active: the share of the tiles that is active, core and halo, 0 to 1.
        halo: the share of the active tiles that is active only in the first region
            steps, 0 to 1.
        context: what the region attends to (see `Regions`).
    """

    active: float
    halo: float = 0.0
    context: str = "held"

    def plan(self, first: int) -> StepPlan:
        """The plan that a policy would make from step `first`, without a limit.

        Raises a ValueError if the share is so large that the plan has no region.
        """
        regions = Regions(halo=self.halo, context=self.context, limit=math.inf)
        policy, tier = (
            Policy(STEPS, (), regions),
            Tier(0.0, first, STEPS, self.active),
        )
        plan = planned(policy, tier, TILING)
        if plan.region is None:
            raise ValueError(f"{self} is not a region: take a smaller share")
        return plan

    @property
    def computed(self) -> float:
        """The mean share of the tiles that a region step runs."""
        plan = self.plan(EARLY)
        return (equivalents(plan, TILING.count) - FULL_STEPS) / LONG


CASES = {
    **{f"active_{share:g}": RegionCase(share) for share in (0.25, 0.5, 0.75)},
    "active_0.5_halo": RegionCase(0.5, halo=0.25),
    "active_0.5_sampled": RegionCase(0.5, context="sampled"),
    "active_0.5_dropped": RegionCase(0.5, context="dropped"),
}


def timed(name: str, first: int) -> str:
    """The name of a timed run: of a case or `WHOLE`, beginning at step `first`."""
    return f"{name} from {first}"


def full_steps(first: int) -> StepPlan:
    """The plan of full steps from step `first` on."""
    return StepPlan.plain(STEPS, first=first)


@dataclass(frozen=True)
class RegionBench:
    """Makes runs of plans, with the same weights and latents.

    Attributes:
        inputs: the arrays of all runs, with the latents that they begin from.
    """

    inputs: Inputs

    @classmethod
    def ready(cls) -> "RegionBench":
        """A bench with random weights and latents."""
        model = jax.jit(lambda: WanDiT(CONFIG, rngs=nnx.Rngs(0)))()
        text = jax.random.normal(jax.random.key(1), (2, 32, CONFIG.text_width))
        lengths = jnp.array([32, 32])
        conditions = prepare(
            model, text, lengths, jnp.array([3.0]), solver=SOLVER, grid=GRID
        )
        source = SourceLatents(
            *(loop.noise(jnp.array([i]), GEOMETRY) for i in range(3))
        )
        return cls(inputs(model, conditions, source))

    def run(self, plan: StepPlan) -> LoopRun:
        """A run of a plan from the source's latents."""
        source = self.inputs.source
        assert source is not None
        return LoopRun(Program(plan, SOLVER, GEOMETRY), self.inputs, source.start)

    def error(self) -> float:
        """The largest relative error of runs with all tiles active against full steps.

        Raises SystemExit if it is larger than rounding errors are.
        """
        want, worst = self.run(full_steps(EARLY))(), 0.0
        for context in ("held", "dropped"):
            region = Region(GEOMETRY.tile, TILING.count, reach=0, context=context)
            plan = StepPlan.staged(STEPS, EARLY, STEPS, region)
            off = np.abs(self.run(plan)() - want).max() / np.abs(want).max()
            if not off <= TOLERANCE:
                raise SystemExit(
                    f"all tiles active, {context}: relative error {off:.2g}, not timed"
                )
            worst = max(worst, float(off))
        return worst


def row(
    name: str, case: RegionCase, times: Mapping[str, timing.Timing]
) -> dict[str, Any]:
    """A case's row, from the times of its runs and of the runs of all tokens."""
    median = lambda name, first: times[timed(name, first)].median
    slope = lambda name: (median(name, EARLY) - median(name, LATE)) / (LONG - SHORT)
    step, region = slope(WHOLE), slope(name)
    part = times[timed(name, EARLY)]
    return {
        "row": name,
        "tokens": int(np.prod(GRID)),
        "width": CONFIG.width,
        "layers": CONFIG.depth,
        **asdict(case),
        "computed": case.computed,
        "seconds": region,
        "spread": part.spread,
        "baseline_seconds": step,
        "baseline_spread": times[timed(WHOLE, EARLY)].spread,
        "ratio": region / step,
        "over_share": region / step / case.computed,
        "once_seconds": part.median - FULL_STEPS * step - LONG * region,
    }


def main() -> None:
    """Checks, measures, prints the table, writes the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    rows.commit()  # rows need it: better to fail here than after the rounds
    bench = RegionBench.ready()
    error = bench.error()
    things = {
        timed(name, first): bench.run(plan(first))
        for name, plan in [
            (WHOLE, full_steps),
            *((k, v.plan) for k, v in CASES.items()),
        ]
        for first in (EARLY, LATE)
    }
    times = timing.interleaved(things, options.rounds, "regions")
    measured = [
        {**row(name, case, times), "error": error} for name, case in CASES.items()
    ]
    rows.save("regions", measured)
    print(rows.table(measured, COLUMNS))


if __name__ == "__main__":
    main()
