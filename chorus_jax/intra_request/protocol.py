"""The protocol of step caches, which decide for each step how much of the model
runs."""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float, Int

from chorus_jax.families.forward import Forward, Held, Latents
from chorus_jax.schedulers.flow import Schedule

State = Any


@runtime_checkable
class StepCache(Protocol):
    """Reuse across the steps of one request, for all its tokens or those of a region.

    A frozen, hashable object: it is part of the key of a compiled program. Its state is
    a pytree of arrays of fixed shapes, one row per row of the forward pass (a request
    in one guidance branch), so no row depends on its neighbours.
    """

    def init(self, forward: Forward) -> State:
        """The state before a first step, which is then computed in full.

        Also called where tokens or the transformer change: nothing may be reused then.
        """

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: State,
    ) -> tuple[Latents, Held, State, Float[Array, " b"]]:
        """One step.

        Args:
            i: the step of each request.
            schedule: that of the run; its `steps` are those of a full run.
            forward: the pass at this step; nothing runs that is not asked for.
            held: what earlier passes of this run hold, updated by `Forward.hold`.
            state: what `init` or the step before gave.

        Returns:
            The guided velocity, what is held now, the next state, and the share of the
            pass that was computed for each request, 0 to 1.
        """
