"""All step caches side by side on the shapes model, against fewer steps.

    python -m benchmarks.caches --steps 50 --shares 0.5 --time
    python -m benchmarks.caches --steps 4

A row per method and share of the full run's work. `computed` is the full steps' worth
of work over the full run's, as the loop counts it (for branch-level caches every branch
counts alike), `psnr` and `ssim` are to the full run from the same noise, `NAME_error`
is the standard error of a mean over prompts. With `--time` there are rows of times too:
`share` is the seconds of one video's loop over the full run's, in the same process; run
it alone on the machine. A row is written as soon as it is measured, and the same
command with `--missing` goes on where it was.
"""

import argparse
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.caches.arms import FULL, SHARES, CacheArm, methods
from benchmarks.caches.choosing import arms_of, setting, undone, until
from benchmarks.caches.foreseen import foreseen
from benchmarks.caches.running import CacheBench
from benchmarks.lib import rows
from benchmarks.reuse.models import Loaded, add_options, load_model
from chorus_jax.calibration.time_limit import TimeLimit
from chorus_jax.training.world.attributes import (
    held_out_combinations,
    training_combinations,
)
from chorus_jax.training.world.examples import prompts

KEY = ("row", "steps", "setting")
FITTED = 4  # prompts that methods are fitted to


def measured(
    bench: CacheBench,
    arms: Iterable[CacheArm],
    facts: dict[str, Any],
    single: CacheBench | None,
) -> Iterator[dict[str, Any]]:
    """Runs each arm; yields a row of its work and fidelity.

    Rows are written as soon as they are measured.

    Args:
        bench: the prompts.
        arms: the arms.
        facts: the fields of rows that describe the model.
        single: one prompt, that each arm is timed on too; None for no times.
    """
    steps, full = bench.request.step_count, bench.run(CacheArm(FULL))
    whole = single.run(CacheArm(FULL), repeats=6).seconds if single else 0.0
    for arm in arms:
        run = full if arm.method == FULL else bench.run(arm)
        row = {
            **{"row": arm.method, "steps": steps, "setting": setting(arm)},
            "prompts": len(bench.prompts),
            "computed": run.work / full.work,
        }
        quality = {**row, **bench.scores(run, full), **facts}
        rows.update("caches", [quality], KEY)
        if single is None:
            yield quality
            continue
        seconds = single.run(arm, repeats=3).seconds
        times = {"seconds": seconds, "share": seconds / whole}
        rows.update("caches_time", [{**row, **times, **facts}], KEY)
        yield {**times, **quality}


def benches(loaded: Loaded, count: int) -> tuple[CacheBench, CacheBench]:
    """A batch of held-out prompts, and its first prompt alone."""
    chosen = tuple(prompts(held_out_combinations(), count, seed=0))
    bench = CacheBench(loaded.pipeline, loaded.request, chosen, range(count))
    return bench, CacheBench(loaded.pipeline, loaded.request, chosen[:1], (0,))


def main() -> None:
    """Measures, prints the table, writes the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES)
    parser.add_argument("--prompts", type=int, default=6)
    parser.add_argument("--methods", nargs="+", default=(), help="only these")
    parser.add_argument("--time", action="store_true", help="times them too")
    parser.add_argument("--missing", action="store_true", help="only arms without row")
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="no arm begins later (default: 60)"
    )
    options = parser.parse_args()
    limit = TimeLimit(60 * options.minutes)
    loaded = load_model(options, None, options.steps)
    bench, single = benches(loaded, options.prompts)
    trained = prompts(training_combinations(), FITTED, seed=5)
    requests = [
        loaded.request.changed(prompt=x.caption, seed=1000 + n)
        for n, x in enumerate(trained)
    ]
    for benchmark in ("caches", "caches_time"):
        rows.drop_other_weights(benchmark, loaded.facts["weights"])
    known = foreseen(
        loaded.pipeline, requests, options.methods or methods(options.steps)
    )
    arms = arms_of(single, options.shares, known, options.methods)
    if options.missing:
        arms = undone(arms, options.steps, options.prompts, loaded.facts)
    made = measured(
        bench,
        until(limit, (arm for x in ([CacheArm(FULL)], arms) for arm in x)),
        loaded.facts,
        single if options.time else None,
    )
    figures = ("computed", "share", "psnr", "psnr_error", "ssim", "detail")
    print(rows.table(list(made), ["row", "setting", *figures]))


if __name__ == "__main__":
    main()
