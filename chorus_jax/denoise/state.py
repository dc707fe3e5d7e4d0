"""Inputs, state and results of a denoising run."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float32, Int, Int32, Integer

from chorus_jax.families.forward import Conditions, Latents, Transformer


class SourceLatents(NamedTuple):
    """The latents that a run takes over from an earlier request.

    Attributes:
        start: its latents before step K1.
        velocity: its velocity at step K1.
        end: its latents before step K2.
    """

    start: Latents
    velocity: Latents
    end: Latents


class GainTables(NamedTuple):
    """The gains of every step (see `TextGains`), which act on the prompt's branch.

    Attributes:
        key: factors on the keys of text tokens; 1 changes nothing.
        output: factors on the output of cross-attention; 1 changes nothing.
    """

    key: Float32[Array, "steps b m"]
    output: Float32[Array, "steps b"]


class Inputs(NamedTuple):
    """The arrays that a run reads and does not change.

    Attributes:
        models: the transformers of the plan by name.
        conditions: what the steps of each transformer read, by the same name.
        source: an earlier request's latents; needed by plans with a region.
        gains: amplification of the prompt; None for none.
        mask: larger where the video is to differ from its source, on the latent grid;
            in place of the velocities' disagreement.
        words: 1 for each token of the prompt that the source's lacks, for regions that
            are found by attention.
        seeds: of the requests' noise; needed by stochastic solvers.
    """

    models: Mapping[str, Transformer]
    conditions: Mapping[str, Conditions]
    source: SourceLatents | None = None
    gains: GainTables | None = None
    mask: Float32[Array, "b f h w 1"] | None = None
    words: Float32[Array, "b m"] | None = None
    seeds: Integer[Array, " b"] | None = None


class Chosen(NamedTuple):
    """The region of a run.

    Attributes:
        tiles: those that are run: core, halo, sampled.
        scores: how much each tile of the video is to differ.
        beyond: how far the videos differ outside the core (see `region.beyond`).
        whole: whether that is too far, so that all tokens are run.
    """

    tiles: Int[Array, "b k"]
    scores: Float32[Array, "b t"]
    beyond: Float32[Array, " b"]
    whole: Bool[Array, ""]


class RegionPart(NamedTuple):
    """The active tokens of one stretch of region steps.

    Attributes:
        latents: as of the run, but of the video the patches of active tiles, [b k s p].
        solver: the solver's state for them.
        cache: the step cache's state for them; a `BudgetState` if they have budgets.
    """

    latents: Latents
    solver: Any
    cache: Any


class RegionState(NamedTuple):
    """State of region steps.

    Attributes:
        chosen: the region.
        parts: one per stretch of region steps, with and without the halo.
    """

    chosen: Chosen
    parts: tuple[RegionPart, ...]


class BudgetState(NamedTuple):
    """State of tokens with budgets (see `TokenBudgets`).

    Attributes:
        velocity: that of each token when it was last run.
        change: the relative changes of each tile's velocity so far, their sum.
        order: the tiles, those that change most first.
    """

    velocity: Latents
    change: Float32[Array, "b t"]
    order: Int32[Array, "b t"]


class RunState(NamedTuple):
    """State carried between denoising steps: a pytree of arrays of fixed shapes.

    Attributes:
        step: the steps that each request has done.
        latents: those of each request at its step.
        solver: the solver's state.
        caches: the states of the plan's step caches.
        kept: latents at the key steps, one more axis in front.
        work: what was computed for each request, in full steps.
        region: that of a plan with one, else None.
        keys: keys and values of all tiles, of the last pass that ran each; () if the
            plan holds none.
        budgets: of a plan with token budgets for all tokens, else None.
    """

    step: Int32[Array, " b"]
    latents: Latents
    solver: Any
    caches: tuple[Any, ...]
    kept: Latents
    work: Float32[Array, " b"]
    region: RegionState | None
    keys: Any = ()
    budgets: BudgetState | None = None
