"""All step caches side by side on the shapes model, against fewer steps.

    python -m benchmarks.caches --steps 50
    python -m benchmarks.caches --steps 4

A row per method and setting: `computed` is the full steps' worth of work over the full
run's, as the loop counts it (for branch-level caches every branch counts alike), `psnr`
and `ssim` are to the full run from the same noise. `--time METHOD...` times these
methods instead: `share` is the seconds of the loop over the full run's, in the same
process; run it alone on the machine.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.caches.arms import FULL, CacheArm, arms_of
from benchmarks.caches.running import CacheBench
from benchmarks.caches.thresholds import Foreseen, embedding_changes
from benchmarks.lib import rows
from benchmarks.reuse.models import add_options, load_model
from chorus_jax.calibration.recorders import MagnitudeRecorder
from chorus_jax.calibration.step_plans import (
    StepPlanner,
    growth_of,
    probed_steps,
    scaled_products,
)
from chorus_jax.calibration.velocity_runs import (
    HeldOnce,
    VelocityRecorder,
    holding,
    velocities_of,
    velocity_products,
)
from chorus_jax.intra_request import registry
from chorus_jax.intra_request.planned import PlannedCache
from chorus_jax.training.world.attributes import (
    held_out_combinations,
    training_combinations,
)
from chorus_jax.training.world.examples import prompts

KEY = ("row", "steps", "setting")
PROBED = 3  # prompts for which errors in single steps are measured
FITTED = 8  # prompts that ratios and plans are fitted to


def foreseen(
    bench: CacheBench, fitted: CacheBench, steps: int, wanted: Sequence[str]
) -> Foreseen:
    """Measures what step caches need to know before a run, if a wanted method needs it.

    Args:
        bench: the batch that caches are compared on.
        fitted: another batch, of prompts from training, that ratios and plans are
            fitted to.
        steps: number of steps of a run.
        wanted: names of methods; empty for all.
    """
    changes = embedding_changes(bench.pipeline, bench.requests()[0])
    needed = lambda name: not wanted or any(x.startswith(name) for x in wanted)
    ratios = ratios_of(fitted, steps) if needed("mag") else (1.0,) * steps
    planner = planner_of(fitted, steps) if needed("planned") else None
    return Foreseen(changes, ratios, planner)


def ratios_of(bench: CacheBench, steps: int) -> tuple[float, ...]:
    """MagCache's magnitude ratio per step, in the prompt's branch of guidance.

    The mean over the batch.
    """
    run = bench.run(CacheArm("record", MagnitudeRecorder(steps)))
    [record] = run.state.caches
    rows_of_prompt = np.asarray(record.ratios)[: len(bench.prompts)]
    return tuple(round(float(x), 5) for x in rows_of_prompt.mean(axis=0))


def planner_of(bench: CacheBench, steps: int) -> StepPlanner:
    """A planner fitted to the velocities of the batch.

    The growth of errors is measured on its first prompts, by an error in one step.
    """
    full = bench.run(CacheArm("record", VelocityRecorder(steps))).state
    products, moves = velocity_products(velocities_of(full)), moves_of(bench)
    probed = probed_steps(steps)
    growths = []
    for number in range(min(PROBED, len(bench.prompts))):
        alike = (bench.prompts[number],) * len(probed)
        seeds = (bench.seeds[number],) * len(probed)
        runs = CacheBench(bench.pipeline, bench.request, alike, seeds)
        begin = partial(holding, steps=probed)
        held = runs.run(CacheArm("record", HeldOnce()), begin=begin).state
        off = np.asarray(held.latents) - np.asarray(full.latents)[number]
        errors = dict(zip(probed, np.square(off).reshape(len(off), -1).sum(axis=1)))
        growths.append(growth_of(products[number], moves, errors))
    growth = np.exp(np.log(growths).mean(axis=0))
    return StepPlanner(scaled_products(products), moves, growth)


def moves_of(bench: CacheBench) -> np.ndarray:
    """The change of the noise level in each step."""
    return np.diff(bench.requests()[0].make_solver().schedule.sigmas)


def setting(arm: CacheArm) -> str:
    """The setting of an arm as text, such as `steps=20, shift=5`."""
    fields = registry.describe(arm.cache)
    if isinstance(arm.cache, PlannedCache):
        fields["steps"] = f"{fields['of'] - len(arm.cache.steps)} of {fields['of']}"
    for name in ("name", "ratios", "forecasts", "of"):
        fields.pop(name, None)
    words = [f"{name}={value}" for name, value in fields.items()]
    of_run = [f"steps={arm.steps}"] * bool(arm.steps)
    of_run += [f"shift={arm.shift:g}"] * bool(arm.shift)
    of_run += [f"solver={arm.solver}"] * bool(arm.solver)
    return ", ".join([*of_run, *words])


def measured(
    bench: CacheBench, arms: Sequence[CacheArm], facts: dict[str, Any]
) -> list[dict[str, Any]]:
    """Measures work and fidelity of each arm; writes and returns a row per arm.

    A row is written as soon as it is measured.
    """
    steps, full = bench.request.step_count, bench.run(arms[0])
    made = []
    for arm in tqdm(arms, desc="caches", unit="arm"):
        run = full if arm.method == FULL else bench.run(arm)
        row = {
            **{"row": arm.method, "steps": steps, "setting": setting(arm)},
            "prompts": len(bench.prompts),
            "computed": run.work / full.work,
            **bench.scores(run, full),
            **facts,
        }
        rows.update("caches", [row], KEY)
        made.append(row)
    return made


def timed(
    bench: CacheBench, arms: Sequence[CacheArm], facts: dict[str, Any]
) -> list[dict[str, Any]]:
    """Times each arm relative to the full run; writes and returns a row per arm.

    A row is written as soon as it is measured.
    """
    bench.run(arms[0], repeats=2)  # warms the machine up; the first runs are slower
    full, made = bench.run(arms[0], repeats=4), []
    for arm in tqdm(arms, desc="caches", unit="arm"):
        run = full if arm.method == FULL else bench.run(arm, repeats=2)
        row = {
            **{"row": arm.method, "steps": bench.request.step_count},
            **{"setting": setting(arm), "computed": run.work / full.work},
            **{"seconds": run.seconds, "share": run.seconds / full.seconds},
            **facts,
        }
        rows.update("caches_time", [row], KEY)
        made.append(row)
    return made


def main() -> None:
    """Measures, prints the table, writes the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--prompts", type=int, default=6)
    parser.add_argument("--methods", nargs="+", help="only these")
    parser.add_argument("--time", action="store_true")
    options = parser.parse_args()
    loaded = load_model(options, None, options.steps)
    chosen = tuple(prompts(held_out_combinations(), options.prompts, seed=0))
    bench = CacheBench(loaded.pipeline, loaded.request, chosen, range(len(chosen)))
    # The time of a plan does not depend on the prompts that it was fitted to.
    count = 1 if options.time else FITTED
    trained = tuple(prompts(training_combinations(), count, seed=5))
    fitted = CacheBench(
        loaded.pipeline, loaded.request, trained, range(1000, 1000 + count)
    )
    wanted = options.methods or ()
    arms = arms_of(options.steps, foreseen(bench, fitted, options.steps, wanted))
    if wanted:
        arms = [arm for arm in arms if arm.method in (FULL, *wanted)]
    made = (timed if options.time else measured)(bench, arms, loaded.facts)
    figures = ("computed", "share", "psnr", "ssim", "accuracy", "detail")
    print(rows.table(made, ["row", "setting", *figures]))


if __name__ == "__main__":
    main()
