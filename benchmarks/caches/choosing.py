"""Chooses the arms to run, by share, method, missing rows and the time limit."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from benchmarks.caches.arms import FEW, CacheArm, arms_at, few, qualities, watchers
from benchmarks.caches.foreseen import Foreseen
from benchmarks.caches.running import CacheBench
from benchmarks.caches.thresholds import threshold_at
from benchmarks.lib import rows
from chorus_jax.calibration.time_limit import TimeLimit
from chorus_jax.intra_request import registry
from chorus_jax.intra_request.bac import BAC
from chorus_jax.intra_request.mixture import Mixture
from chorus_jax.intra_request.planned import PlannedCache
from chorus_jax.intra_request.planned_tokens import PlannedTokens
from chorus_jax.intra_request.profiling import ProfilingDiT
from chorus_jax.intra_request.protocol import StepCache

LONG = 40  # longer fields, such as measured values, are left out of the setting


def setting(arm: CacheArm) -> str:
    """The setting of an arm as text, such as `steps=20, shift=5`."""
    of_run = [f"steps={arm.steps}"] * bool(arm.steps)
    of_run += [f"shift={arm.shift:g}"] * bool(arm.shift)
    of_run += [f"solver={arm.solver}"] * bool(arm.solver)
    of_run += [f"tokens={arm.tokens}"] * bool(arm.tokens)
    return ", ".join(filter(None, [*of_run, fields_of(arm.cache)]))


def fields_of(cache: StepCache) -> str:
    """The fields of a step cache as text, without long ones."""
    if isinstance(cache, Mixture):
        return "; ".join(map(fields_of, (cache.steps, cache.within)))
    fields = registry.describe(cache)
    if isinstance(cache, PlannedCache):
        fields["steps"] = f"{cache.of - len(cache.steps)} of {cache.of}"
    if isinstance(cache, BAC):
        counts = [len(branch) for layer in cache.updates for branch in layer]
        fields["updates"] = f"{sum(counts) / len(counts):.3g} of {cache.of}"
    if isinstance(cache, ProfilingDiT):
        fields["background"] = f"{len(cache.background)} layers"
    if isinstance(cache, PlannedTokens):
        fields["cost"] = f"{sum(cache.shares):.2f} of {len(cache.shares)}"
    for name in ("name", "ratios", "forecasts", "of", "shares"):
        fields.pop(name, None)
    return ", ".join(f"{k}={v}" for k, v in fields.items() if len(str(v)) <= LONG)


def arms_of(
    bench: CacheBench,
    shares: Iterable[float],
    measured: Foreseen,
    wanted: Sequence[str],
) -> Iterator[CacheArm]:
    """The arms for all shares; arms with searched thresholds come last.

    Args:
        bench: a bench of one prompt, on which thresholds are searched.
        shares: the shares of the full run's work.
        measured: the measured properties of the model.
        wanted: the names of the methods; empty for all.
    """
    steps = bench.request.step_count
    chosen = lambda method: not wanted or method in wanted
    of_shares = (arm for share in shares for arm in arms_at(share, steps, measured))
    # With few steps, several shares give the same number of steps.
    yield from (arm for arm in dict.fromkeys(of_shares) if chosen(arm.method))
    if steps < FEW:
        yield from (arm for arm in few(steps) if chosen(arm.method))
        return
    yield from (arm for arm in qualities() if chosen(arm.method))
    for name, watcher in watchers(measured).items():
        work = lambda x: bench.run(CacheArm(name, watcher.make(x))).work / steps
        for share in shares if chosen(name) else ():
            threshold = threshold_at(work, watcher.low, watcher.high, share)
            yield CacheArm(name, watcher.make(threshold))


def undone(
    arms: Iterable[CacheArm], steps: int, count: int, facts: dict[str, Any]
) -> Iterator[CacheArm]:
    """The arms without a row from this device, these weights and `count` prompts."""
    here = rows.device()
    done = {
        (row["row"], row["steps"], row["setting"])
        for row in rows.load("caches")
        if "psnr_error" in row  # missing in old rows
        and (row["device"], row["prompts"]) == (here, count)
        and row["weights"] == facts["weights"]
    }
    for arm in arms:
        if (arm.method, steps, setting(arm)) not in done:
            yield arm


def until(limit: TimeLimit, arms: Iterable[CacheArm]) -> Iterator[CacheArm]:
    """Yields arms until the time limit; prints a message if some are left."""
    for arm in arms:
        if limit.seconds_left <= 0:
            print(f"the time is over before {arm.method}: go on with --missing")
            return
        print(f"{arm.method} {setting(arm)}", flush=True)
        yield arm
