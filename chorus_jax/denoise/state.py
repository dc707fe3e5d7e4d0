"""Inputs, state and results of a denoising run."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float32, Int, Int32, Integer

from chorus_jax.families.forward import Conditions, Latents, Transformer


class SourceLatents(NamedTuple):
    """Latents of an earlier request (the source) that a run reuses.

    Attributes:
        start: the source's latents before step K1.
        velocity: the source's velocity at step K1.
        end: the source's latents before step K2.
    """

    start: Latents
    velocity: Latents
    end: Latents


class GainTables(NamedTuple):
    """The text gains of every step (see `TextGains`); they act on the guidance branch
    of the prompt only.

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
        conditions: the conditioning of each transformer, by the same names.
        source: an earlier request's latents; needed by plans with a region.
        gains: amplification of the prompt; None for none.
        mask: weights on the latent grid, larger where the video is to differ from its
            source; replaces the disagreement of the velocities in choosing the region.
        words: 1 for each token of the prompt that the source's prompt lacks, for
            regions that are found by attention.
        seeds: the seeds of the requests' noise; needed by stochastic solvers.
    """

    models: Mapping[str, Transformer]
    conditions: Mapping[str, Conditions]
    source: SourceLatents | None = None
    gains: GainTables | None = None
    mask: Float32[Array, "b f h w 1"] | None = None
    words: Float32[Array, "b m"] | None = None
    seeds: Integer[Array, " b"] | None = None


class Chosen(NamedTuple):
    """The region that a run has chosen for each request.

    Attributes:
        tiles: the tiles that are run: core, then halo, then sampled.
        scores: how much each tile of the video is expected to differ from the source.
        beyond: how much the videos differ outside the core (see `region.beyond`).
        all_tokens: whether they differ too much there, so that all tokens are run.
    """

    tiles: Int[Array, "b k"]
    scores: Float32[Array, "b t"]
    beyond: Float32[Array, " b"]
    all_tokens: Bool[Array, ""]


class RegionPart(NamedTuple):
    """The state of the active tokens in one stretch of region steps.

    Attributes:
        latents: latents in which the video's stream has only the patches of active
            tiles, [b k s p].
        solver: the solver's state for these latents.
        cache: the step cache's state; a `BudgetState` if the tokens have budgets.
    """

    latents: Latents
    solver: Any
    cache: Any


class RegionState(NamedTuple):
    """State of region steps.

    Attributes:
        chosen: the chosen region.
        parts: one part per stretch of region steps (with the halo, and without it).
    """

    chosen: Chosen
    parts: tuple[RegionPart, ...]


class BudgetState(NamedTuple):
    """State of tokens with budgets (see `TokenBudgets`).

    Attributes:
        velocities: each token's velocities in the last passes that ran it, the newest
            first: one, or as many as the step cache forecasts from.
        change: the sum of the relative changes of each tile's velocity so far.
        order: the indices of the tiles, those whose velocity changes most first.
    """

    velocities: tuple[Latents, ...]
    change: Float32[Array, "b t"]
    order: Int32[Array, "b t"]


class RunState(NamedTuple):
    """State carried between denoising steps: a pytree of arrays of fixed shapes.

    Attributes:
        step: the number of steps that each request has done.
        latents: the latents of each request at its step.
        solver: the solver's state.
        caches: the states of the plan's step caches (see `program.slots`).
        work: what was computed for each request so far, in full steps.
        region: the state of region steps; None for a plan without a region.
        keys: keys and values of all tiles, each from the last pass that ran the tile;
            () if the plan holds none.
        budgets: the state of token budgets for all tokens; None for a plan without.
    """

    step: Int32[Array, " b"]
    latents: Latents
    solver: Any
    caches: tuple[Any, ...]
    work: Float32[Array, " b"]
    region: RegionState | None
    keys: Any = ()
    budgets: BudgetState | None = None

    def finished(self) -> "RunState":
        """The state after the last step, without the arrays that only steps read: held
        keys and values can take more memory than the weights."""
        region = self.region if self.region is None else self.region._replace(parts=())
        return RunState(self.step, self.latents, None, (), self.work, region)
