"""What a region step costs beside a full step.

    python -m benchmarks.reuse.regions

A Wan of random weights, float32, guidance, 1280 video tokens (5 x 16 x 16) in tiles of
1x2x2. In turns: one opening step and then steps of all tokens, or of the `active` share
of the tiles with the keys and values of the others held; of half of them also with a
quarter of these as a halo, which is open for half of the region steps, and with the
background sampled or dropped. `computed` is the share of the tiles that is run, the
mean over the region steps: the core, the halo while it is open, and sampled tiles,
which are run too. `ratio` is a region step's seconds over a full step's, `over_share`
that over `computed` (the goal is 1.2 at most). First checked: with all tiles active,
held and dropped contexts give the latents of full steps.
"""

import argparse
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.lib import rows, timing
from chorus_jax.denoise import sampler, staged_sampler
from chorus_jax.denoise.region_steps import Source
from chorus_jax.denoise.regions import DroppedContext, HeldContext, RegionPlan
from chorus_jax.denoise.stages import StagePlan
from chorus_jax.engine.plans import Planned, region_plan
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.inter_request.policy.policy import Regions
from chorus_jax.nets.tokens import Tiling
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
TILING = Tiling.fitting(GRID, CONFIG.tile)
REGION_STEPS = 4
SOLVER = Euler.spaced(REGION_STEPS + 2, 3.0)
PLAN = StagePlan(REGION_STEPS + 2, 1, REGION_STEPS + 2)
TOLERANCE = 1e-4
WHOLE = "whole"
COLUMNS = (
    *("row", "computed", "seconds", "spread", "baseline_seconds", "ratio"),
    "over_share",
)


@dataclass(frozen=True)
class Case:
    """A share of the tiles, core and halo, and how they are run."""

    active: float
    halo: float = 0.0
    context: str = "held"

    @property
    def region(self) -> RegionPlan:
        """The region that a policy would have; it never gives way."""
        regions = Regions(halo=self.halo, context=self.context, limit=math.inf)
        found = region_plan(regions, self.active, TILING, PLAN.regional)
        if found is None:
            raise ValueError(f"{self} is not a region: take a smaller share")
        return found

    @property
    def computed(self) -> float:
        """The share of the tiles that is run, the mean over the region steps."""
        full = PLAN.steps - PLAN.start - len(PLAN.regional)
        done = Planned(PLAN, self.region).equivalents(TILING.count)
        return (done - full) / len(PLAN.regional)


CASES = {
    **{f"active_{share:g}": Case(share) for share in (0.25, 0.5, 0.75)},
    "active_0.5_halo": Case(0.5, halo=0.25),
    "active_0.5_sampled": Case(0.5, context="sampled"),
    "active_0.5_dropped": Case(0.5, context="dropped"),
}


@dataclass(frozen=True)
class Bench:
    """A model, what it conditions on, and a source."""

    model: WanDiT
    conditions: sampler.Conditions
    source: Source

    @classmethod
    def ready(cls) -> "Bench":
        """Random weights and latents."""
        model = jax.jit(lambda: WanDiT(CONFIG, rngs=nnx.Rngs(0)))()
        text = jax.random.normal(jax.random.key(1), (2, 32, CONFIG.text_width))
        lengths = jnp.array([32, 32])
        conditions = sampler.prepare(
            model, text, lengths, jnp.array([3.0]), solver=SOLVER, grid=GRID
        )
        shape = (*GRID, CONFIG.in_channels)
        start, velocity, end = (sampler.noise(jnp.array([i]), shape) for i in range(3))
        return cls(model, conditions, Source(start, velocity, end))

    def run(self, region: RegionPlan | None = None) -> Callable[[], np.ndarray]:
        """A run with that region in its region steps, None for steps of all tokens."""

        def run() -> np.ndarray:
            staged = staged_sampler.denoise(
                self.model,
                self.conditions,
                self.source,
                solver=SOLVER,
                plan=PLAN,
                region=region,
            )
            return np.asarray(staged.latents)

        return run

    def error(self) -> float:
        """How far runs with all tiles active are from full steps. SystemExit if that is
        more than rounding."""
        want, found = self.run()(), 0.0
        for context in (HeldContext(), DroppedContext()):
            region = RegionPlan(CONFIG.tile, TILING.count, 0, 0, context=context)
            off = np.abs(self.run(region)() - want).max() / np.abs(want).max()
            if not off <= TOLERANCE:
                raise SystemExit(
                    f"all tiles active, {context}: relative error {off:.2g}, not timed"
                )
            found = max(found, float(off))
        return found


def row(name: str, case: Case, times: Mapping[str, timing.Timing]) -> dict[str, Any]:
    """A case's row. Both runs have one more full step, which is taken off."""
    whole, part = times[WHOLE], times[name]
    step = whole.median / (REGION_STEPS + 1)
    region = (part.median - step) / REGION_STEPS
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
        "baseline_spread": whole.spread,
        "ratio": region / step,
        "over_share": region / step / case.computed,
    }


def main() -> None:
    """Checks, measures, prints the table, writes the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    rows.commit()  # rows name it: better to fail here than after the rounds
    bench = Bench.ready()
    error = bench.error()
    things = {WHOLE: bench.run()}
    things |= {name: bench.run(case.region) for name, case in CASES.items()}
    times = timing.interleaved(things, options.rounds, "regions")
    measured = [
        {**row(name, case, times), "error": error} for name, case in CASES.items()
    ]
    rows.save("regions", measured)
    print(rows.table(measured, COLUMNS))


if __name__ == "__main__":
    main()
