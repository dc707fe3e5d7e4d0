"""Outputs that a step cache takes over: guided velocity, or the layers' residual."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from chorus_jax.families.forward import Forward, Held, Latents
from chorus_jax.nets.control import select, when


@runtime_checkable
class Grain(Protocol):
    """A value inside a pass that can stand in for what computes it."""

    def shapes(self, forward: Forward) -> Any:
        """The shapes of the value."""

    def rows(self, forward: Forward, x: Array) -> Array:
        """An array with a row per request as one with a row per row of the value."""

    def step(
        self, forward: Forward, held: Held, computed: Bool[Array, " r"], forecast: Any
    ) -> tuple[Latents, Held, Any]:
        """A pass that computes the value in some rows and takes it over in the others.

        Args:
            forward: the pass.
            held: what earlier passes hold.
            computed: the rows of the value that are computed.
            forecast: what the others take.

        Returns:
            The guided velocity, what is held now, and the value.
        """


class VelocityGrain:
    """The guided velocity: only the stem runs in a step that takes it over."""

    def shapes(self, forward: Forward) -> Any:
        """The shapes of the latents."""
        return jax.eval_shape(lambda: forward.latents)

    def rows(self, forward: Forward, x: Array) -> Array:
        """An array unchanged: guidance leaves a row per request."""
        return x

    def step(
        self, forward: Forward, held: Held, computed: Bool[Array, " b"], forecast: Any
    ) -> tuple[Latents, Held, Any]:
        """See `Grain.step`."""
        velocity, held = whole(forward, held, computed.any(), forecast)
        velocity = select(computed, velocity, forecast)
        return velocity, held, velocity


class ResidualGrain:
    """The residual of all layers together; stem and head always run."""

    def shapes(self, forward: Forward) -> Any:
        """The shapes of the tokens."""
        return jax.eval_shape(forward.stem)

    def rows(self, forward: Forward, x: Array) -> Array:
        """A row per branch and request."""
        return forward.rows(x)

    def step(
        self, forward: Forward, held: Held, computed: Bool[Array, " r"], forecast: Any
    ) -> tuple[Latents, Held, Any]:
        """See `Grain.step`."""
        stem = forward.stem()
        tokens, held = layers(forward, held, computed, stem, forecast)
        residual = jax.tree.map(jnp.subtract, tokens, stem)
        return forward.head(tokens), held, residual


def whole(
    forward: Forward, held: Held, wanted: Bool[Array, ""], otherwise: Latents
) -> tuple[Latents, Held]:
    """The guided velocity of the whole pass if it is wanted, and what is held after it;
    else another one, and only the stem runs."""

    def run(before: tuple[Latents, Held], stem: Any) -> tuple[Latents, Held]:
        tokens, sides = forward.blocks(stem)
        return forward.head(tokens), forward.hold(before[1], sides)

    return when(wanted, run, (otherwise, held), forward.stem())


def layers(
    forward: Forward, held: Held, computed: Bool[Array, " r"], stem: Any, residual: Any
) -> tuple[Any, Held]:
    """The tokens after all layers, which are run in the rows that are computed and add
    a given residual in the others; and what is held after it."""

    def run(before: tuple[Any, Held], stem: Any) -> tuple[Any, Held]:
        tokens, sides = forward.blocks(stem)
        return tokens, forward.hold(before[1], sides)

    reused = jax.tree.map(jnp.add, stem, residual)
    tokens, held = when(computed.any(), run, (reused, held), stem)
    return select(computed, tokens, reused), held


GRAINS: Mapping[str, Grain] = MappingProxyType(
    {"velocity": VelocityGrain(), "residual": ResidualGrain()}
)


def named_grain(name: str) -> Grain:
    """The grain of this name. ValueError for another, listing those there are."""
    if name not in GRAINS:
        raise ValueError(
            f"a step cache takes over one of {', '.join(GRAINS)}, got {name!r}"
        )
    return GRAINS[name]
