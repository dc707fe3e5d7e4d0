"""Denoising steps that run all tokens; each request may be at a different step."""

from dataclasses import dataclass
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from chorus_jax.denoise import solving
from chorus_jax.denoise.program import Run, slots
from chorus_jax.denoise.state import RunState
from chorus_jax.families.forward import Held
from chorus_jax.intra_request import StepCache
from chorus_jax.nets.control import select, when

T = TypeVar("T")


@dataclass(frozen=True)
class WholeSteps:
    """A stretch of steps that run all tokens.

    Attributes:
        first: the first step.
        last: the step after the last.
        cache: the step cache.
        expert: the name of the transformer.
        resets: whether the step cache is reset at `first`, because its state is from
            before a region or of another transformer.
    """

    first: int
    last: int
    cache: StepCache
    expert: str
    resets: bool = False

    def __call__(self, run: Run, state: RunState, until: Int[Array, " b"]) -> RunState:
        """Runs these steps up to `until`; requests that are at other steps stay
        unchanged."""

        def more(state: RunState) -> Array:
            return self.on(state, until).any()

        def body(state: RunState) -> RunState:
            return self.step(run, state, self.on(state, until))

        return jax.lax.while_loop(more, body, state)

    def on(self, state: RunState, until: Int[Array, " b"]) -> Bool[Array, " b"]:
        """True for the requests whose next step is one of these steps."""
        last = jnp.minimum(until, self.last)
        return (state.step >= self.first) & (state.step < last)

    def step(self, run: Run, state: RunState, on: Bool[Array, " b"]) -> RunState:
        """Runs one step of the requests that are `on`."""
        schedule = run.solver.schedule
        slot = slots(run.plan).index((self.cache, self.expert))
        # Requests that are done or at other steps are computed too, and discarded.
        i = jnp.clip(state.step, 0, run.plan.steps - 1)
        forward = run.forward(self.expert, state.latents, i)
        before = state.caches[slot]
        if self.resets:
            begins = on & (i == self.first)
            restarted = lambda cache: select(begins, self.cache.init(forward), cache)
            before = when(begins.any(), restarted, before)
        velocity, _, cache, work = self.cache.step(i, schedule, forward, Held(), before)
        latents, solver = solving.step(
            run.solver,
            i,
            state.latents,
            velocity,
            state.solver,
            run.noise(i),
            forward.moves(),
        )
        latents = moved(on, latents, state.latents)
        caches = list(state.caches)
        caches[slot] = moved(on, cache, before)
        return state._replace(
            step=jnp.where(on, state.step + 1, state.step),
            latents=latents,
            solver=moved(on, solver, state.solver),
            caches=tuple(caches),
            work=state.work + jnp.where(on, work, 0),
        )


def moved(on: Bool[Array, " b"], new: T, old: T) -> T:
    """Takes the rows of `new` that are `on`, and the other rows of `old`.

    A single request is `on` in every step that is run, so its row needs no choice.
    """
    return new if len(on) == 1 else select(on, new, old)
