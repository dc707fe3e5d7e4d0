"""The ledger of a run, from its plan and its last state."""

from dataclasses import replace

import numpy as np

from chorus_jax.denoise.cost import equivalents
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.state import RunState
from chorus_jax.engine.ledger import Ledger
from chorus_jax.engine.recipes import described
from chorus_jax.engine.running import Hit
from chorus_jax.engine.task import Task
from chorus_jax.inter_request.match.matching import Rejection
from chorus_jax.intra_request import EveryStep
from chorus_jax.intra_request.extrapolating import extrapolates

BEYOND = "all tokens were run: the videos differ beyond the region too"
PLACES = 4  # decimal places of amounts of work


def ledger_of(task: Task, hit: Hit | Rejection, state: RunState) -> Ledger:
    """The ledger of a run.

    Args:
        task: the request.
        hit: its source, or the reason for the miss.
        state: the last state of the run.
    """
    policy, missed = task.policy, isinstance(hit, Rejection)
    cache = policy.miss_cache if missed else policy.cache
    work = float(np.asarray(state.work)[0])
    over = saved(task, hit, state, work)
    forecast = over if extrapolates(cache) else 0.0
    ledger = Ledger(
        "miss",
        policy.steps,
        round(work, PLACES),
        step_cache=described(cache),
        reused=over - forecast,
        forecast=forecast,
    )
    if isinstance(hit, Rejection):
        why = reasons(task.not_replayed, hit.reason)
        return replace(ledger, score=hit.score, reason=why)
    return of_hit(ledger, task, hit, state)


def of_hit(ledger: Ledger, task: Task, hit: Hit, state: RunState) -> Ledger:
    """A ledger completed by what a hit took from its source."""
    region, reason = hit.plan.region, hit.reason
    if state.region is None:  # dropped: the transformer changes within its steps
        region = None
    elif state.region.chosen.all_tokens:
        region, reason = None, BEYOND
    tiles = task.geometry.tiling.count
    return replace(
        ledger,
        kind="semantic",
        score=hit.match.score,
        source=task.shown(hit.entry),
        reuse_until=hit.tier.reuse_until,
        region_until=hit.tier.region_until,
        active=1.0 if region is None else region.tiles / tiles,
        reason=reasons(task.not_replayed, reason),
    )


def saved(task: Task, hit: Hit | Rejection, state: RunState, work: float) -> float:
    """The work that step cache and token budgets saved, in full steps.

    What the source's latents saved, and the region, is not part of it: the steps and
    tokens of the run's plan are compared with what was computed of them.

    Args:
        task: the request.
        hit: its source, or the reason for the miss.
        state: the last state of the run.
        work: the work that was computed, in full steps.
    """
    plan = hit.plan if isinstance(hit, Hit) else StepPlan.plain(task.policy.steps)
    if state.region is not None and state.region.chosen.all_tokens:
        plan = StepPlan.plain(plan.steps, first=plan.start)
    every = (replace(x, cache=EveryStep(), budgets=None) for x in plan.stretches)
    tiles = task.geometry.tiling.count
    full = equivalents(replace(plan, stretches=tuple(every)), tiles)
    return round(max(full - work, 0.0), PLACES)


def reasons(*lines: str) -> str:
    """Joins the lines that are not empty with "; "."""
    return "; ".join(line for line in lines if line)
