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
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from benchmarks.caches.arms import (
    FEW,
    FULL,
    SHARES,
    CacheArm,
    arms_at,
    few,
    methods,
    watchers,
)
from benchmarks.caches.foreseen import Foreseen, foreseen
from benchmarks.caches.running import CacheBench
from benchmarks.caches.thresholds import threshold_at
from benchmarks.lib import rows
from benchmarks.reuse.models import Loaded, add_options, load_model
from chorus_jax.calibration.time_limit import TimeLimit
from chorus_jax.intra_request import registry
from chorus_jax.intra_request.planned import PlannedCache
from chorus_jax.intra_request.planned_tokens import PlannedTokens
from chorus_jax.training.world.attributes import (
    held_out_combinations,
    training_combinations,
)
from chorus_jax.training.world.examples import prompts

KEY = ("row", "steps", "setting")
FITTED = 4  # prompts that methods are fitted to
LONG = 40  # characters of a field that is no setting to be read


def setting(arm: CacheArm) -> str:
    """The setting of an arm as text, such as `steps=20, shift=5`."""
    cache, fields = arm.cache, registry.describe(arm.cache)
    if isinstance(cache, PlannedCache):
        fields["steps"] = f"{cache.of - len(cache.steps)} of {cache.of}"
    if isinstance(cache, PlannedTokens):
        fields["cost"] = f"{sum(cache.shares):.2f} of {len(cache.shares)}"
    for name in ("name", "ratios", "forecasts", "of", "shares"):
        fields.pop(name, None)
    words = [f"{k}={v}" for k, v in fields.items() if len(str(v)) <= LONG]
    of_run = [f"steps={arm.steps}"] * bool(arm.steps)
    of_run += [f"shift={arm.shift:g}"] * bool(arm.shift)
    of_run += [f"solver={arm.solver}"] * bool(arm.solver)
    return ", ".join([*of_run, *words])


def arms_of(
    bench: CacheBench,
    shares: Iterable[float],
    measured: Foreseen,
    wanted: Sequence[str],
) -> Iterator[CacheArm]:
    """The arms of all shares, those with searched thresholds last.

    Args:
        bench: one prompt that thresholds are searched on.
        shares: the shares of the full run's work.
        measured: what is known of the model.
        wanted: the names of the methods; empty for all.
    """
    steps = bench.request.step_count
    chosen = lambda method: not wanted or method in wanted
    of_shares = (arm for share in shares for arm in arms_at(share, steps, measured))
    # Several shares of a few steps are the same number of steps.
    yield from (arm for arm in dict.fromkeys(of_shares) if chosen(arm.method))
    if steps < FEW:
        yield from (arm for arm in few(steps) if chosen(arm.method))
        return
    for name, watcher in watchers(measured).items():
        work = lambda x: bench.run(CacheArm(name, watcher.make(x))).work / steps
        for share in shares if chosen(name) else ():
            threshold = threshold_at(work, watcher.low, watcher.high, share)
            yield CacheArm(name, watcher.make(threshold))


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
    whole = single and single.run(CacheArm(FULL), repeats=6).seconds
    for arm in arms:
        run = full if arm.method == FULL else bench.run(arm)
        row = {
            **{"row": arm.method, "steps": steps, "setting": setting(arm)},
            "prompts": len(bench.prompts),
            "computed": run.work / full.work,
        }
        quality = {**row, **bench.scores(run, full), **facts}
        rows.update("caches", [quality], KEY)
        if single is None or whole is None:
            yield quality
            continue
        seconds = single.run(arm, repeats=3).seconds
        times = {"seconds": seconds, "share": seconds / whole}
        rows.update("caches_time", [{**row, **times, **facts}], KEY)
        yield {**times, **quality}


def undone(
    arms: Iterable[CacheArm], steps: int, count: int, facts: dict[str, Any]
) -> Iterator[CacheArm]:
    """The arms without a row of as many prompts and these weights on this device."""
    here = rows.device()
    done = {
        (row["row"], row["steps"], row["setting"])
        for row in rows.load("caches")
        if "psnr_error" in row  # rows of before have none
        and (row["device"], row["prompts"]) == (here, count)
        and row["weights"] == facts["weights"]
    }
    for arm in arms:
        if (arm.method, steps, setting(arm)) not in done:
            yield arm


def until(limit: TimeLimit, arms: Iterable[CacheArm]) -> Iterator[CacheArm]:
    """The arms that begin before the limit; says if it ends them early."""
    for arm in arms:
        if limit.seconds_left <= 0:
            print(f"the time is over before {arm.method}: go on with --missing")
            return
        print(f"{arm.method} {setting(arm)}", flush=True)
        yield arm


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
