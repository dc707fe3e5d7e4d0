"""Steps with all tokens: amplified, with a step cache, keeping key steps' latents."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int

from chorus_jax.denoise import sampler
from chorus_jax.denoise.sampler import Conditions
from chorus_jax.denoise.stages import StagePlan
from chorus_jax.families.wan.attention import Gains
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.intra_request import Compute, EveryStep, SkipSteps, StepCache
from chorus_jax.schedulers import Solver


class GainTables(NamedTuple):
    """Of every step, the gains of the prompt's tokens and of its whole output; the
    negative prompt has none."""

    key: Float32[Array, "steps b m"]
    output: Float32[Array, "steps b"]


class Carry(NamedTuple):
    """What a full step hands to the next."""

    latents: Float32[Array, "b f h w i"]
    solver: Any
    cache: Any
    kept: Float32[Array, "q b f h w i"]


class Steps(NamedTuple):
    """What every step of a run reads."""

    model: WanDiT
    conditions: Conditions
    gains: GainTables | None
    solver: Solver
    plan: StagePlan

    @property
    def cache(self) -> StepCache:
        """What decides of each step whether the model runs."""
        return SkipSteps(self.plan.skipped) if self.plan.skipped else EveryStep()

    def begun(self, latents: Array, kept: Array | None = None) -> Carry:
        """At these latents with no history; the solver begins anew."""
        if kept is None:
            kept = jnp.zeros((len(self.plan.kept), *latents.shape), latents.dtype)
        return Carry(latents, self.solver.init(latents), self.cache.init(latents), kept)

    def at(self, i: Int[Array, ""] | int) -> Conditions:
        """The conditions of a step: amplified, if there are gains."""
        if self.gains is None:
            return self.conditions
        context = self.conditions.context
        rows, m = context.bias.shape
        key, output = self.gains.key[i], self.gains.output[i]
        plain = rows - key.shape[0]
        whole = Gains(
            jnp.concatenate([key, jnp.ones((plain, m), key.dtype)]),
            jnp.concatenate([output, jnp.ones(plain, output.dtype)]),
        )
        return self.conditions._replace(context=context._replace(gains=whole))

    def full(self, carry: Carry, first: int, last: int) -> Carry:
        """Steps `first` to `last` (exclusive) with all tokens."""
        if first == last:
            return carry

        def step(carry: Carry, i: Array) -> tuple[Carry, None]:
            def compute() -> Array:
                return sampler.velocity(self.model, self.at(i), carry.latents, i)

            return self.moved(carry, i, compute), None

        return jax.lax.scan(step, carry, jnp.arange(first, last))[0]

    def moved(self, carry: Carry, i: Array | int, compute: Compute) -> Carry:
        """One step, with the velocity that the step cache takes or has computed."""
        velocity, cache = self.cache.step(i, compute, carry.cache)
        latents, state = self.solver.step(i, carry.latents, velocity, carry.solver)
        return Carry(latents, state, cache, self.keeping(carry.kept, latents, i + 1))

    def keeping(self, kept: Array, latents: Array, done: Array | int) -> Array:
        """The key steps' latents, with these if so many steps done are one of them."""
        steps = self.plan.kept
        if not steps:
            return kept
        rows = np.full(self.plan.steps + 1, len(steps), np.int32)
        rows[list(steps)] = np.arange(len(steps))
        return kept.at[jnp.asarray(rows)[done]].set(latents, mode="drop")
