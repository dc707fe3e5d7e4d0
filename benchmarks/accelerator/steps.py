"""Times steps of Wan 1.3B on a device: of a region, and with token budgets.

    python -m benchmarks.accelerator.steps --out DIR [--rows NAME ...] [--rehearse]

The weights are random, in bfloat16, and there are two guidance branches. The denoising
loop runs one step per call. In `region` rows the `share` of the tiles is active, with
held keys and values of the others, and `seconds` is the median of such steps. In `hsa`
rows it is the time of a whole run of 50 steps, whose calls are queued one ahead, and
`share` is the work that is computed. `ratio` divides it by the time of full steps,
measured alternately. `error` is that of a small model in which all tiles are active,
relative to the largest latent of full steps; above 0.05 nothing is timed. A row is
written to DIR/accelerator.jsonl as soon as it is measured.
"""

import argparse
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.accelerator.time_left import TimeLeft
from benchmarks.lib import rows
from benchmarks.lib.tables import Row
from benchmarks.lib.timing import Timing
from benchmarks.lib.wan import geometry, inputs
from chorus_jax.denoise import loop
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.program import Program
from chorus_jax.denoise.region import Region
from chorus_jax.denoise.state import Inputs, RunState, SourceLatents
from chorus_jax.families.forward import Geometry
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.families.wan.model import prepare
from chorus_jax.nets.tokens import Size
from chorus_jax.schedulers import Euler
from chorus_jax.token_budgets.presets import PRESETS, named

SHIFT, GUIDANCE, WORDS = 3.0, 5.0, 128
REGION_STEPS: Final = 4  # one of all tokens, the others of the region
BUDGET_STEPS: Final = 50
ROUNDS: Final = 2
TOLERANCE: Final = 0.05  # in bfloat16
LEAST: Final = 40.0  # seconds that must be left for another row


@dataclass(frozen=True)
class StepCase:
    """A region or token budgets, timed against full steps of a video of one size.

    Attributes:
        row: `region`, or the name of token budgets.
        size: the size in words.
        grid: tokens along frames, height and width.
        share: the share of the tiles that is active, or of the work, 0 to 1.
    """

    row: str
    size: str
    grid: Size
    share: float

    @property
    def steps(self) -> int:
        """Denoising steps of the schedule."""
        return REGION_STEPS if self.row == "region" else BUDGET_STEPS

    def plan(self, geometry: Geometry) -> StepPlan:
        """The plan of the timed run; with a region, its first step is a full one."""
        if self.row != "region":
            return StepPlan.plain(self.steps, budgets=named(self.row, self.steps))
        tiles = max(1, round(self.share * geometry.tiling.count))
        region = Region(geometry.tile, tiles, reach=0)
        return StepPlan.staged(self.steps, 0, self.steps, region)

    def timing(self, rounds: Sequence[Sequence[float]]) -> Timing:
        """The times of region steps, or of whole runs, from each round's steps."""
        if self.row == "region":
            return Timing(tuple(x for steps in rounds for x in steps[1:]))
        return Timing(tuple(map(sum, rounds)))


def budgets(name: str, size: str, grid: Size) -> StepCase:
    """The case of token budgets of a preset."""
    return StepCase(name, size, grid, PRESETS[name].work)


# The most important first.
CASES: Final = (
    StepCase("region", "480p", (21, 30, 52), 0.25),
    budgets("hsa-50", "480p, 17 frames", (5, 30, 52)),
    budgets("hsa-25", "480p, 17 frames", (5, 30, 52)),
    StepCase("region", "720p", (21, 45, 80), 0.25),
    StepCase("region", "480p", (21, 30, 52), 0.5),
    StepCase("region", "480p", (21, 30, 52), 0.1),
)
TINY: Final = (
    StepCase("region", "tiny", (2, 4, 8), 0.5),
    budgets("hsa-25", "tiny", (2, 4, 8)),
)


NAMES: Final = tuple(dict.fromkeys(case.row for case in CASES))


@dataclass(frozen=True)
class StepBench:
    """A transformer of random weights, and videos of one size.

    Attributes:
        config: the transformer.
        grid: tokens along frames, height and width.
        steps: denoising steps of the schedule.
        inputs: the arrays of all runs.
    """

    config: WanConfig
    grid: Size
    steps: int
    inputs: Inputs

    @classmethod
    def of(
        cls, config: WanConfig, grid: Size, steps: int, model: WanDiT
    ) -> "StepBench":
        """A bench with random text and latents."""
        text = jax.random.normal(jax.random.key(1), (2, WORDS, config.text_width))
        conditions = prepare(
            model,
            text.astype(config.dtype),
            jnp.array([WORDS, WORDS]),
            jnp.array([GUIDANCE]),
            solver=Euler.spaced(steps, SHIFT),
            grid=grid,
        )
        shapes = geometry(config, grid)
        source = SourceLatents(*(loop.noise(jnp.array([i]), shapes) for i in range(3)))
        return cls(config, grid, steps, inputs(model, conditions, source))

    @property
    def geometry(self) -> Geometry:
        """The shapes of latents and tokens."""
        return geometry(self.config, self.grid)

    def run(
        self, plan: StepPlan, last: int | None = None, ahead: int = 0
    ) -> tuple[list[float], RunState]:
        """Runs a plan one step per call, to its end or for `last` steps.

        With calls queued ahead, as in the library's runs, the device is never idle, but
        the time of a single step is not exact. Returns each step's seconds and the
        state.
        """
        source, seconds = self.inputs.source, []
        assert source is not None
        program = Program(plan, Euler.spaced(self.steps, SHIFT), self.geometry)
        state = loop.start(self.inputs, source.start, program=program)
        jax.block_until_ready(state)
        began = time.perf_counter()
        pieces = loop.in_pieces(self.inputs, state, program, 1, ahead)
        for _, state in islice(pieces, last):
            ended = time.perf_counter()
            seconds.append(ended - began)
            began = ended
        jax.block_until_ready(state)
        return seconds, state

    def latents(self, plan: StepPlan) -> np.ndarray:
        """The latents after the last step of a plan."""
        return np.asarray(self.run(plan)[1].latents, np.float32)


def random_model(config: WanConfig) -> WanDiT:
    """A transformer of random weights, made on the device."""
    return jax.jit(lambda: WanDiT(config, rngs=nnx.Rngs(0)))()


def error(config: WanConfig) -> float:
    """The relative error of a region of all tiles against full steps, with two layers.

    Raises SystemExit if it is larger than rounding errors are.
    """
    case, config = StepCase("region", "", (2, 8, 8), 1.0), replace(config, depth=2)
    bench = StepBench.of(config, case.grid, case.steps, random_model(config))
    want = bench.latents(StepPlan.plain(case.steps))
    ours = bench.latents(case.plan(bench.geometry))
    off = float(np.abs(ours - want).max() / np.abs(want).max())
    if not off <= TOLERANCE:
        raise SystemExit(f"all tiles active: relative error {off:.2g}, nothing timed")
    return off


def timed(case: StepCase, config: WanConfig, model: WanDiT) -> Row:
    """A case's row, of runs of its plan and of full steps in turns.

    Before, one step of each compiles its program.
    """
    bench = StepBench.of(config, case.grid, case.steps, model)
    plans = (case.plan(bench.geometry), StepPlan.plain(case.steps))
    for plan in plans:
        bench.run(plan, last=1)
    ahead = 0 if case.row == "region" else loop.AHEAD
    run = lambda plan: bench.run(plan, ahead=ahead)[0]
    turns = [list(map(run, plans)) for _ in range(ROUNDS)]
    ours, full = map(case.timing, zip(*turns, strict=True))
    about = {"row": case.row, "size": case.size, "share": case.share}
    about |= {"tokens": int(np.prod(case.grid)), "steps": case.steps}
    return {**about, **compared(ours, full)}


def compared(ours: Timing, full: Timing) -> Row:
    """The columns of two times."""
    return {
        "seconds": ours.median,
        "spread": ours.spread,
        "baseline_seconds": full.median,
        "baseline_spread": full.spread,
        "ratio": ours.median / full.median,
    }


def measured(
    rehearse: bool, time_left: TimeLeft, names: Sequence[str] = ()
) -> Iterator[Row]:
    """All rows, or those of these names, or as many as there is time for."""
    config = WanConfig.t2v_1_3b()
    if rehearse:
        config = replace(config, heads=2, head_width=16, depth=2, mlp_width=64)
    off, model = error(config), random_model(config)
    for case in TINY if rehearse else CASES:
        if names and case.row not in names:
            continue
        if not rehearse and time_left.now() < LEAST:
            print(f"no time left for {case}")
            return
        try:
            row = timed(case, config, model)
        except Exception:  # such as too little memory: the next case may fit
            row = {"row": case.row, "failed": traceback.format_exc()[-1000:]}
        yield {**row, "error": off}


def main() -> int:
    """Measures, writes and prints the rows; returns 0 if nothing failed."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--out", type=Path, required=True)
    top.add_argument("--rows", nargs="+", default=[], choices=NAMES)
    top.add_argument("--rehearse", action="store_true", help="tiny sizes")
    options = top.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        time_left = TimeLeft.of_part(180.0)
        failed = False
        for row in measured(options.rehearse, time_left, options.rows):
            rows.append(options.out / "accelerator.jsonl", "accelerator", row)
            print(row, flush=True)
            failed |= "failed" in row
    except Exception:
        traceback.print_exc()
        return 1
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
