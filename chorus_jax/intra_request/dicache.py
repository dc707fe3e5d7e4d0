"""DiCache: the first layers decide whether the other layers run or are forecast.

Bujiazi/DiCache (arXiv 2508.17356). The first layers (the probe) run in every step. The
relative change of the tokens after them is summed; once the sum reaches a threshold,
the other layers run. A step that skips them adds a residual of all layers that is
extrapolated along the line through the residuals of the last two computed steps. The
distance along the line follows from the probe's residual, which every step computes.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.families.forward import Forward, Held, Latents
from chorus_jax.intra_request.changes import (
    TINY,
    all_branches,
    check_threshold,
    distance,
    forced,
    relative,
)
from chorus_jax.intra_request.fitting import RunProperties, check_layers
from chorus_jax.intra_request.history import NONE, History
from chorus_jax.intra_request.scheduled import share
from chorus_jax.nets.control import select, when
from chorus_jax.schedulers.flow import Schedule


class DiState(NamedTuple):
    """State of each row of the pass.

    Attributes:
        probe: the tokens after the first layers in the step before.
        past: for the last two computed steps, a pair of residuals: of the first layers,
            and of all layers.
        total: the sum of relative changes since the last computed step.
    """

    probe: Any
    past: History
    total: Float[Array, " r"]


@dataclass(frozen=True)
class DiCache:
    """Skips all but the first layers until their tokens have changed enough.

    Attributes:
        threshold: the sum of relative changes at which the other layers run; at 0 every
            step is computed. The authors run Wan 2.1 at .08.
        depth: the number of first layers.
        retention: the share of all steps that is computed at the start.
        last: steps at the end that are computed.

    Raises:
        ValueError: for numbers out of range.
    """

    threshold: float = 0.08
    depth: int = 1
    retention: float = 0.2
    last: int = 0

    extrapolates = True  # not a field (see `extrapolating`): along two residuals

    def __post_init__(self) -> None:
        check_threshold(self.threshold, 0, self.last)
        if self.depth < 1 or not 0 <= self.retention <= 1:
            raise ValueError(
                "expected 1 or more layers and a retention from 0 to 1, got "
                f"{self.depth} and {self.retention}"
            )

    def check(self, run: RunProperties) -> None:
        """Raises a ValueError for a model without layers beside the first ones."""
        check_layers("depth", self.depth, run)

    def init(self, forward: Forward) -> DiState:
        """The state before the first step."""
        tokens = jax.eval_shape(forward.stem)
        past = History.empty((tokens, tokens), 2)
        return DiState(past.values[0][0], past, jnp.zeros(len(past.steps)))

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: DiState,
    ) -> tuple[Latents, Held, DiState, Float[Array, " b"]]:
        """Runs all layers, or only the first ones (see `StepCache.step`)."""
        stem, here = forward.stem(), forward.rows(i)
        probe, sides = forward.blocks(stem, 0, self.depth)
        computed, total = self.decide(here, schedule.steps, probe, state)
        computed = all_branches(forward, computed, i)
        total = jnp.where(computed, 0.0, total)

        def run(before: tuple[Any, Held], probe: Any) -> tuple[Any, Held]:
            tokens, others = forward.blocks(probe, self.depth)
            return tokens, forward.hold(before[1], sides, others)

        added = jax.tree.map(jnp.subtract, probe, stem)
        reused = jax.tree.map(jnp.add, stem, aligned(added, state.past))
        tokens, held = when(computed.any(), run, (reused, held), probe)
        tokens = select(computed, tokens, reused)
        residual = jax.tree.map(jnp.subtract, tokens, stem)
        past = state.past.pushed(computed, here, (added, residual))
        after = DiState(probe, past, total)
        work = share(computed, i, always=self.depth / forward.layers)
        return forward.head(tokens), held, after, work

    def decide(
        self, i: Int[Array, " r"], steps: int, probe: Any, state: DiState
    ) -> tuple[Bool[Array, " r"], Float[Array, " r"]]:
        """Whether each row needs its other layers in step `i`, and its sum of changes
        since they last ran."""
        total = state.total + relative(probe, state.probe)
        first = int(steps * self.retention)
        computed = forced(i, steps, first, self.last) | ~state.past.known
        computed |= total >= self.threshold
        return computed, total


def aligned(added: Any, past: History) -> Any:
    """The forecast residual of all layers.

    It lies on the line through the last two residuals of all layers, at the position
    that the probe's residual has relative to its own last two. The position is 0 at the
    older residual and 1 at the newest, and is clipped to [1, 2]. After a single
    computed step the forecast is that step's residual.

    Args:
        added: the residual of the first layers in this step.
        past: the residuals of the first layers and of all layers in computed steps.
    """
    (newest, _), (older, _) = past.values
    span = jnp.maximum(distance(newest, older), TINY)
    place = jnp.clip(distance(added, older) / span, 1.0, 2.0)
    place = jnp.where(past.steps[:, 1] > NONE, place, 1.0)
    weights = jnp.stack([place, 1 - place], axis=1)
    return past.combined(weights)[1]
