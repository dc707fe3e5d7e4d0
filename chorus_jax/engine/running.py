"""The run of a request: from noise, or from what its source left."""

from dataclasses import dataclass, replace

import jax.numpy as jnp
from jaxtyping import Array, Float32

from chorus_jax.denoise import sampler, staged_sampler
from chorus_jax.denoise.staged_sampler import Staged
from chorus_jax.denoise.stages import StagePlan
from chorus_jax.engine.ledger import Ledger
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.engine.plans import Planned, gain_tables, padded, source_of
from chorus_jax.engine.prompt import Prompt
from chorus_jax.engine.task import Task
from chorus_jax.inter_request.match.matching import Found, Rejection
from chorus_jax.inter_request.policy.policy import Tier
from chorus_jax.inter_request.store import Entry
from chorus_jax.nets.tokens import Tiling

BEYOND = "all tokens were run: the videos differ beyond the region too"


@dataclass(frozen=True, eq=False)
class Hit:
    """A source that is loaded, the tier it reached and the run that follows: of the
    tiles in the caller's `mask`, if there is one; `reason` says why not, if not."""

    found: Found
    entry: Entry
    tier: Tier
    run: Planned
    mask: Float32[Array, "1 f h w 1"] | None = None
    reason: str = ""


def from_noise(
    pipeline: Pipeline, task: Task, conditions: sampler.Conditions
) -> Staged:
    """All steps, keeping the policy's key steps."""
    shape = pipeline.sizes.latent_shape(task.request)
    noise = sampler.noise(jnp.array([task.request.seed], jnp.uint32), shape)
    return staged_sampler.denoise(
        pipeline.transformer,
        conditions,
        noise,
        solver=task.request.make_solver(),
        plan=StagePlan.plain(task.policy.steps, task.policy.keep),
    )


def from_source(
    pipeline: Pipeline,
    task: Task,
    prompt: Prompt,
    conditions: sampler.Conditions,
    hit: Hit,
) -> Staged:
    """The steps that the source does not save."""
    solver, stages = task.request.make_solver(), hit.run.stages
    differing = hit.found.difference.tokens(prompt.words, prompt.tokens.spans[0])
    rows = conditions.context.bias.shape[1]
    return staged_sampler.denoise(
        pipeline.transformer,
        conditions,
        source_of(hit.entry, stages, solver.schedule.sigmas),
        gain_tables(stages, hit.tier, hit.found.score, differing, rows),
        hit.mask,
        jnp.asarray(padded(differing, rows), jnp.float32)[None],
        solver=solver,
        plan=stages,
        region=hit.run.region,
    )


def ledger_of(
    task: Task, hit: Hit | Rejection, staged: Staged, pipeline: Pipeline
) -> Ledger:
    """What a run computed."""
    steps = task.policy.steps
    if isinstance(hit, Rejection):
        why = reasons(task.not_replayed, hit.reason)
        return Ledger("miss", steps, float(steps), hit.score, reason=why)
    run, sizes, reason = hit.run, pipeline.sizes, hit.reason
    if staged.chosen is not None and staged.chosen.whole:
        run, reason = replace(run, region=None), BEYOND
    tiles = Tiling.fitting(sizes.grid(task.request), sizes.transformer.tile).count
    return Ledger(
        kind="semantic",
        steps=steps,
        equivalents=run.equivalents(tiles),
        score=hit.found.score,
        source=hit.entry.id,
        reuse_until=run.stages.reuse_until,
        region_until=run.stages.region_until,
        active=1.0 if run.region is None else run.region.tiles / tiles,
        reason=reasons(task.not_replayed, reason),
    )


def reasons(*told: str) -> str:
    """Those that there are, in one line."""
    return "; ".join(each for each in told if each)
