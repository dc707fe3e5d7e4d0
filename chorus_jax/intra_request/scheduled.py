"""Base class of step caches whose computed steps are known before a run."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.families.forward import Forward, Held, Latents
from chorus_jax.intra_request.fitting import RunProperties
from chorus_jax.intra_request.grains import Grain, named_grain
from chorus_jax.intra_request.history import History
from chorus_jax.schedulers.flow import Schedule


class ScheduledCache:
    """A step cache that decides from the step numbers alone which steps are computed.

    Each other step uses a weighted sum of the last computed values. A subclass defines
    the computed steps and the weights. The first step of a run is always computed, as
    there is nothing to reuse yet.

    Attributes:
        depth: the number of computed values that are kept.
        grain: the value that is reused, `velocity`, `residual` or `branches`.
    """

    depth: int = 1
    grain: str = "velocity"

    @property
    def taken(self) -> Grain:
        """The grain that is reused."""
        return named_grain(self.grain)

    @property
    def extrapolates(self) -> bool:
        """See `extrapolating.extrapolates`: a single value is reused, scaled or not."""
        return self.depth > 1

    def computes(self, steps: int) -> tuple[bool, ...]:
        """Whether each step is computed, in a run of `steps` steps.

        Raises:
            ValueError: for a number of steps that the cache is not made for.
        """
        raise NotImplementedError

    def weights(
        self, past: Int[Array, "r k"], i: Int[Array, " r"], schedule: Schedule
    ) -> Float[Array, "r k"]:
        """The weight of each kept value in the forecast of step `i`.

        By default the forecast is the newest value unchanged.

        Args:
            past: the steps of the values, newest first (`History.steps`).
            i: the step of each row.
            schedule: the schedule of the run.
        """
        return jnp.zeros(past.shape, jnp.float32).at[:, 0].set(1.0)

    def check(self, run: RunProperties) -> None:
        """Raises a ValueError for a number of steps that the cache is not made for."""
        self.computes(run.schedule.steps)

    def init(self, forward: Forward) -> History:
        """The state before the first step, without a value."""
        return History.empty(self.taken.shapes(forward), self.depth)

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: History,
    ) -> tuple[Latents, Held, History, Float[Array, " b"]]:
        """Runs the whole pass, or uses a forecast (see `StepCache.step`)."""
        here = self.taken.rows(forward, i)
        table = jnp.array(self.computes(schedule.steps))
        computed = table[here] | ~state.known
        forecast = state.combined(self.weights(state.steps, here, schedule))
        velocity, held, value = self.taken.step(forward, held, computed, forecast)
        work = share(computed, i, self.taken.always(forward))
        return velocity, held, state.pushed(computed, here, value), work


def share(
    computed: Bool[Array, " r"], i: Int[Array, " b"], always: float = 0.0
) -> Float[Array, " b"]:
    """The share of the pass that is computed for each request.

    Args:
        computed: whether each row (one per guidance branch) is computed whole.
        i: the step of each request.
        always: the share of the layers that also runs for all other rows.
    """
    return jnp.where(computed, 1.0, always).reshape(-1, len(i)).mean(axis=0)
