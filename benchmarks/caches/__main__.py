"""Compares all step caches with runs of fewer steps, on the shapes model.

    python -m benchmarks.caches --steps 50 --shares 0.5 --time
    python -m benchmarks.caches --steps 4

Writes a row per method and share of the full run's work. `computed` is the work of a
run divided by the full run's, as the denoising loop counts it (in caches of branches,
every branch counts the same). `psnr` and `ssim` compare with the full run from the same
noise. `NAME_error` is the standard error of a mean over prompts. `--time` adds rows of
times: `share` is the seconds of one video's loop divided by the full run's, in the same
process; nothing else should run on the machine. A row is written as soon as it is
measured; after an interruption, the same command with `--missing` does the rest.
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
FITTED = 4  # number of training prompts that methods are fitted to


def measured(
    bench: CacheBench,
    arms: Iterable[CacheArm],
    facts: dict[str, Any],
    single: CacheBench | None,
) -> Iterator[dict[str, Any]]:
    """Runs each arm; writes and yields a row of its work and fidelity.

    Args:
        bench: the bench of all prompts.
        arms: the arms to run.
        facts: fields that describe the model, added to each row.
        single: a bench of one prompt, on which each arm is timed; None for no times.
    """
    steps, full = bench.request.step_count, bench.run(CacheArm(FULL))
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
        times = single.beside_full(arm)
        rows.update("caches_time", [{**row, **times, **facts}], KEY)
        yield {**times, **quality}


def benches(loaded: Loaded, count: int) -> tuple[CacheBench, CacheBench]:
    """A bench of `count` held-out prompts, and a bench of the first one alone."""
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
