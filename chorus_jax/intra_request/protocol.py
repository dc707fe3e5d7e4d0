"""The protocol of step caches: they decide how much of the model each step runs."""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float, Int

from chorus_jax.families.forward import Forward, Held, Latents
from chorus_jax.schedulers.flow import Schedule

State = Any


@runtime_checkable
class StepCache(Protocol):
    """Decides how much of the model each step runs, and reuses earlier results for the
    rest.

    A step cache is frozen and hashable, as it is part of the key of a compiled program.
    Its state is a pytree of arrays of fixed shapes, with one row per request or per row
    of the forward pass (a request in one guidance branch). No request's result depends
    on other requests of its batch.
    """

    def init(self, forward: Forward) -> State:
        """The state before the first step, which is then computed in full.

        It is also called when the tokens or the transformer change, since nothing may
        be reused across such a change.
        """

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: State,
    ) -> tuple[Latents, Held, State, Float[Array, " b"]]:
        """Runs one step.

        Args:
            i: the step of each request.
            schedule: the schedule of the run; its `steps` is the number of steps of a
                full run.
            forward: the pass at this step; only the pieces that are called are run.
            held: the state that earlier passes of this run have left, to be updated by
                `Forward.hold`.
            state: the state from `init` or the step before.

        Returns:
            The guided velocity, the new held state, the new state, and the share of the
            pass that was computed for each request, 0 to 1.
        """
