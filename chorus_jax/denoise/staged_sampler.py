"""The denoising loop in three stages, with the latents of an earlier request.

    stage 1  steps [0, K1)   not run: the source's latents before step K1 are the start
    stage 2  steps [K1, K2)  a full step shows where the videos differ; then only those
                             tiles are run, the source's latents before step K2 are the
                             rest; or all tokens, if the videos differ beyond them
    stage 3  steps [K2, T)   all tokens

The plan, the region's size and the solver are known before the run: one program each.
Latents, gains and the region itself are data. (Chorus, arXiv 2604.04451.)
"""

from functools import partial
from typing import NamedTuple

import jax
from jaxtyping import Array, Float32

from chorus_jax.denoise.full_steps import GainTables, Steps
from chorus_jax.denoise.region_steps import Chosen, RegionSteps, Source
from chorus_jax.denoise.regions import RegionPlan
from chorus_jax.denoise.sampler import Conditions
from chorus_jax.denoise.stages import StagePlan
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.nets.tokens import Tiling
from chorus_jax.schedulers import Solver


class Staged(NamedTuple):
    """What a run leaves: the clean latents, those at the plan's key steps, and, if it
    had a region, what was chosen."""

    latents: Float32[Array, "b f h w i"]
    kept: Float32[Array, "q b f h w i"]
    chosen: Chosen | None = None


@partial(jax.jit, static_argnames=("solver", "plan", "region"))
def denoise(
    model: WanDiT,
    conditions: Conditions,
    source: Source | Float32[Array, "b f h w i"],
    gains: GainTables | None = None,
    mask: Float32[Array, "b f h w 1"] | None = None,
    words: Float32[Array, "b m"] | None = None,
    *,
    solver: Solver,
    plan: StagePlan,
    region: RegionPlan | None = None,
) -> Staged:
    """A whole run in one program; the source is noise if the plan reuses nothing.

    Without a region all tokens are run in stage 2. A `mask` on the latent grid, larger
    where the videos are to differ, takes the place of the velocities' disagreement.
    `words` has a 1 for each token of the prompt that the source's lacks, for a region
    that is found by attention.
    ValueError if the plan is not for the solver's steps or the mask not for the grid.
    """
    run = Steps(model, conditions, gains, solver, plan)
    start = source.start if isinstance(source, Source) else source
    check_fit(plan, solver, start, mask)
    carry, regional = run.begun(start), plan.regional
    if region is None or not regional or not isinstance(source, Source):
        carry = run.full(carry, plan.start, plan.steps)
        return Staged(carry.latents, carry.kept)
    stage = RegionSteps(run, region, Tiling.fitting(model.grid(start), region.tile))
    # The last of the opening steps shows where the region is.
    carry = run.full(carry, plan.start, regional.start - 1)
    carry, found = stage(carry, source, mask, words)
    carry = run.full(carry, plan.region_until, plan.steps)
    return Staged(carry.latents, carry.kept, found)


def check_fit(
    plan: StagePlan, solver: Solver, start: Array, mask: Array | None
) -> None:
    """ValueError for what jax would read beyond its end without a word."""
    steps = solver.schedule.steps
    if plan.steps != steps:
        raise ValueError(
            f"the plan is for {plan.steps} steps, but the solver has {steps}: make "
            "both for the same steps"
        )
    wanted = (*start.shape[:-1], 1)
    if mask is not None and mask.shape != wanted:
        raise ValueError(
            f"a mask on the grid of these latents is {wanted}, got {mask.shape}"
        )
