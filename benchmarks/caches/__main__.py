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
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.caches.arms import FULL, CacheArm, arms_of
from benchmarks.caches.running import CacheBench, CachedRun
from benchmarks.caches.thresholds import Foreseen, embedding_changes
from benchmarks.lib import rows
from benchmarks.reuse.models import add_options, load_model
from chorus_jax.calibration.recorders import MagnitudeRecorder
from chorus_jax.intra_request import registry
from chorus_jax.training.world.attributes import held_out_combinations
from chorus_jax.training.world.examples import prompts

KEY = ("row", "steps", "setting")


def ratios_of(bench: CacheBench, steps: int) -> tuple[float, ...]:
    """The magnitude ratios of the prompt's branch, the mean over the batch."""
    run = bench.run(CacheArm("record", MagnitudeRecorder(steps)))
    [record] = run.state.caches
    rows_of_prompt = np.asarray(record.ratios)[: len(bench.prompts)]
    return tuple(round(float(x), 5) for x in rows_of_prompt.mean(axis=0))


def setting(arm: CacheArm) -> str:
    """The setting of an arm in words."""
    fields = registry.describe(arm.cache)
    del fields["name"]
    fields.pop("ratios", None)
    words = [f"{name}={value}" for name, value in fields.items()]
    of_run = [f"steps={arm.steps}"] * bool(arm.steps)
    of_run += [f"shift={arm.shift:g}"] * bool(arm.shift)
    of_run += [f"solver={arm.solver}"] * bool(arm.solver)
    return ", ".join([*of_run, *words])


def measured(
    bench: CacheBench, arms: Sequence[CacheArm], facts: dict[str, Any]
) -> list[dict[str, Any]]:
    """A row per arm; each is written as soon as it is measured."""
    steps, full = bench.request.step_count, bench.run(arms[0])
    found = []
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
        found.append(row)
    return found


def timed(
    bench: CacheBench, arms: Sequence[CacheArm], facts: dict[str, Any]
) -> list[dict[str, Any]]:
    """A row per arm with its seconds over the full run's."""
    runs: list[tuple[CacheArm, CachedRun]] = [
        (arm, bench.run(arm, repeats=2)) for arm in arms
    ]
    full = runs[0][1]
    found = [
        {
            **{"row": arm.method, "steps": bench.request.step_count},
            **{"setting": setting(arm), "computed": run.work / full.work},
            **{"seconds": run.seconds, "share": run.seconds / full.seconds},
            **facts,
        }
        for arm, run in runs
    ]
    rows.update("caches_time", found, KEY)
    return found


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
    bench = CacheBench(loaded.pipeline, loaded.request, chosen)
    wanted = options.methods
    needs = not wanted or "mag" in wanted
    ratios = ratios_of(bench, options.steps) if needs else (1.0,) * options.steps
    changes = embedding_changes(loaded.pipeline, bench.requests()[0])
    arms = arms_of(options.steps, Foreseen(changes, ratios))
    if wanted:
        arms = [arm for arm in arms if arm.method in (FULL, *wanted)]
    found = (timed if options.time else measured)(bench, arms, loaded.facts)
    figures = ("computed", "share", "psnr", "ssim", "accuracy", "detail")
    print(rows.table(found, ["row", "setting", *figures]))


if __name__ == "__main__":
    main()
