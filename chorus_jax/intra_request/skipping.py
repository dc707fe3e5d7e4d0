"""Steps known before the run to take over the last velocity, and none at all."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

Compute = Callable[[], Any]


@runtime_checkable
class StepCache(Protocol):
    """What decides of each step whether the model runs."""

    def init(self, left: Any) -> Any:
        """The state before the first step; `left` is of the shapes of what steps leave:
        a velocity, or a pytree of it and more."""

    def step(
        self, i: Int[Array, ""] | int, compute: Compute, state: Any
    ) -> tuple[Any, Any]:
        """What step `i` leaves, and the state after it; `compute` runs the model."""


@dataclass(frozen=True)
class EveryStep:
    """Every step is computed, and nothing is kept."""

    def init(self, left: Any) -> tuple[()]:
        """Nothing."""
        return ()

    def step(
        self, i: Int[Array, ""] | int, compute: Compute, state: tuple[()]
    ) -> tuple[Any, tuple[()]]:
        """What the model gives."""
        return compute(), state


@dataclass(frozen=True)
class SkipSteps:
    """These steps leave what the last computed one left; the first is computed always.

    `steps` are numbers of steps. The simplest of all step caches: of equal cost to one
    that decides by a table made before the run.
    """

    steps: tuple[int, ...]

    def init(self, left: Any) -> tuple[Any, Array]:
        """Zeros of the shapes of what a step leaves, and that none has left any."""
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), left)
        return zeros, jnp.array(False)

    def step(
        self, i: Int[Array, ""] | int, compute: Compute, state: tuple[Any, Array]
    ) -> tuple[Any, tuple[Any, Array]]:
        """What the model gives, or gave."""
        before, begun = state
        skipped = begun & jnp.isin(i, jnp.array(self.steps, jnp.int32))
        left = jax.lax.cond(skipped, lambda: before, compute)
        return left, (left, jnp.array(True))
