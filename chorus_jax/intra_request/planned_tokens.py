"""A plan of how many tokens each step runs, with forecasts for the other tokens.

This method is ours. Skipping steps, forecasting velocities and running only the tokens
that change most (HSA, arXiv 2605.06892) are choices of one plan: in each step all
tokens are run, or a share of them, or none, and the velocity of a token that is not run
is a weighted sum of its own last ones. `calibration.token_plans` chooses the shares
together, by dynamic programming over losses measured on full runs of the model. Nothing
is decided during a run but the order of the tokens, so its cost is known before it.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.intra_request.scheduled import ScheduledCache
from chorus_jax.schedulers.flow import Schedule
from chorus_jax.token_budgets import TokenSchedule

# The forecast step, the last steps in which a token was run (newest first), and the
# weights of the velocities of these steps.
Forecast = tuple[int, tuple[int, ...], tuple[float, ...]]


@dataclass(frozen=True)
class PlannedTokens(ScheduledCache):
    """Runs a planned share of the tokens in each step and forecasts the rest.

    The plan defines token budgets (`budgets`). A token whose last steps match no
    forecast, as in a run that begins at a later step, keeps its last velocity.

    Attributes:
        shares: the share of the tokens that is run in each step, 0 to 1; () runs all
            tokens in every step, for any number of steps.
        forecasts: the weights of a token's last velocities by the step and by the last
            steps in which the token was run; () keeps the last velocity everywhere.
        early: steps at the start that run all tokens and rank them.

    Raises:
        ValueError: for a share out of range, too few early steps, or a forecast that
            does not have one weight per step.
    """

    shares: tuple[float, ...] = ()
    forecasts: tuple[Forecast, ...] = ()
    early: int = 2

    def __post_init__(self) -> None:
        if self.shares:
            TokenSchedule(self.shares, self.early)
        for step, past, weights in self.forecasts:
            if len(past) != len(weights) or not past or max(past) >= step:
                raise ValueError(
                    "a forecast has a weight for each of the earlier steps that it "
                    f"uses, got {weights} for steps {past} before step {step}"
                )

    @property
    def budgets(self) -> TokenSchedule | None:
        """The tokens that each step runs; None if every step runs all."""
        return TokenSchedule(self.shares, self.early) if self.shares else None

    @property
    def depth(self) -> int:  # type: ignore[override]
        """The number of kept velocities: as many as the longest forecast uses."""
        return max([1, *(len(past) for _, past, _ in self.forecasts)])

    def computes(self, steps: int) -> tuple[bool, ...]:
        """The steps that run any tokens.

        Raises:
            ValueError: for another number of steps than the plan has.
        """
        if self.shares and steps != len(self.shares):
            raise ValueError(
                f"the plan of tokens is for {len(self.shares)} steps, this run has "
                f"{steps}: run {len(self.shares)}, or measure one for {steps} with "
                "`chorus calibrate-cache`"
            )
        shares = self.shares or (1.0,) * steps
        return tuple(share > 0 for share in shares)

    def weights(
        self, past: Int[Array, "r k"], i: Int[Array, " r"], schedule: Schedule
    ) -> Float[Array, "r k"]:
        """The weights of the first forecast of step `i` from these past steps; if there
        is none, the last velocity is kept."""
        held = super().weights(past, i, schedule)
        if not self.forecasts:
            return held
        steps, used, asked, table = map(jnp.asarray, self.tables)
        alike = (past[:, None] == used[None]) | ~asked[None]
        fits = (i[:, None] == steps[None]) & alike.all(axis=2)
        forecast = table[fits.argmax(axis=1)]
        return jnp.where(fits.any(axis=1, keepdims=True), forecast, held)

    @property
    def tables(
        self,
    ) -> tuple[
        Int[np.ndarray, " n"],
        Int[np.ndarray, "n k"],
        Bool[np.ndarray, "n k"],
        Float[np.ndarray, "n k"],
    ]:
        """The forecasts as arrays, one row per forecast, padded to `depth` columns.

        Returns:
            The step of each forecast; the steps of the velocities that it uses; False
            where these are padding; and the weights of the velocities, 0 in padding.
        """
        steps = np.array([step for step, _, _ in self.forecasts])
        used = np.zeros((len(steps), self.depth), int)
        asked, table = np.zeros(used.shape, bool), np.zeros(used.shape, np.float32)
        for n, (_, past, weights) in enumerate(self.forecasts):
            used[n, : len(past)], asked[n, : len(past)] = past, True
            table[n, : len(past)] = weights
        return steps, used, asked, table
