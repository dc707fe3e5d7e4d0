"""What a region step costs beside a full step.

    python -m benchmarks.regions

A Wan of random weights, float32, guidance, 1280 video tokens (5 x 16 x 16) in tiles of
1x2x2. Two runs in turns: one opening step and then steps of all tokens, or of a share
of the tiles with the keys and values of the others held. `ratio` is a region step's
seconds over a full step's, `over_share` that over the active share (the goal is 1.2 at
most). First checked: with all tiles active both runs give the same latents.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks import rows, timing
from chorus_jax import sampler, staged_sampler
from chorus_jax.inter_request.regions import RegionPlan
from chorus_jax.inter_request.stages import StagePlan
from chorus_jax.models.wan import WanDiT
from chorus_jax.models.wan_config import WanConfig
from chorus_jax.region_steps import Source
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
SHARES = (0.25, 0.5, 0.75)
REGION_STEPS = 4
SOLVER = Euler.spaced(REGION_STEPS + 2, 3.0)
PLAN = StagePlan(REGION_STEPS + 2, 1, REGION_STEPS + 2)
TOLERANCE = 1e-4


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

    def run(self, share: float | None) -> Callable[[], np.ndarray]:
        """A run with that share of the tiles in its region steps, None for none."""
        tiles = GRID[0] * GRID[1] * GRID[2] // 4
        region = None
        if share is not None:
            region = RegionPlan(CONFIG.tile, round(share * tiles), 0, 0)

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


def row(share: float, times: dict[str, timing.Timing]) -> dict[str, Any]:
    """A share's row. Both runs have one more full step, which is taken off."""
    whole, part = times["whole"], times[f"{share}"]
    step = whole.median / (REGION_STEPS + 1)
    region = (part.median - step) / REGION_STEPS
    return {
        "row": f"active_{share:g}",
        "tokens": int(np.prod(GRID)),
        "width": CONFIG.width,
        "layers": CONFIG.depth,
        "active": share,
        "seconds": region,
        "spread": part.spread,
        "baseline_seconds": step,
        "baseline_spread": whole.spread,
        "ratio": region / step,
        "over_share": region / step / share,
    }


def main() -> None:
    """Checks, measures, prints the table, writes the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    bench = Bench.ready()
    want, ours = bench.run(None)(), bench.run(1.0)()
    error = float(np.abs(ours - want).max() / np.abs(want).max())
    if not error <= TOLERANCE:
        raise SystemExit(f"all tiles active: relative error {error:.2g}, not timed")
    things = {"whole": bench.run(None)}
    things |= {f"{share}": bench.run(share) for share in SHARES}
    times = timing.interleaved(things, options.rounds, "regions")
    measured = [{**row(share, times), "error": error} for share in SHARES]
    rows.save("regions", measured)
    columns = ["row", "seconds", "spread", "baseline_seconds", "ratio", "over_share"]
    print(rows.table(measured, columns))


if __name__ == "__main__":
    main()
