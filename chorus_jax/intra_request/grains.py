"""Grains: the values that a step cache can reuse.

These are the guided velocity, the residual of all layers together, or the outputs of
the branches of all layers.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from chorus_jax.families.forward import BranchReuse, Forward, Held, Latents
from chorus_jax.nets.control import PerLayer, select, when

NO_BRANCHES = (
    "this family's layers have no branches to reuse: choose a step cache that reuses "
    "whole passes"
)


@runtime_checkable
class Grain(Protocol):
    """A value inside a pass that a step cache reuses instead of computing it."""

    def shapes(self, forward: Forward) -> Any:
        """The shapes of the value."""

    def rows(self, forward: Forward, x: Array) -> Array:
        """Expands an array with a row per request to the rows of the value."""

    def always(self, forward: Forward) -> float:
        """The share of the pass that also runs where the value is reused, beside stem,
        head and what joins the layers."""

    def step(
        self, forward: Forward, held: Held, computed: Bool[Array, " r"], forecast: Any
    ) -> tuple[Latents, Held, Any]:
        """Runs a pass that computes the value in some rows and reuses it in all others.

        Args:
            forward: the pass.
            held: the state that earlier passes have left.
            computed: True for the rows of the value that are computed.
            forecast: the value that the other rows use instead.

        Returns:
            The guided velocity, the new held state, and the value.
        """


class VelocityGrain:
    """The guided velocity: a step that reuses it runs only the stem."""

    def shapes(self, forward: Forward) -> Any:
        """The shapes of the latents."""
        return jax.eval_shape(lambda: forward.latents)

    def rows(self, forward: Forward, x: Array) -> Array:
        """The array unchanged: guided velocity has one row per request."""
        return x

    def always(self, forward: Forward) -> float:
        """See `Grain.always`."""
        return 0.0

    def step(
        self, forward: Forward, held: Held, computed: Bool[Array, " b"], forecast: Any
    ) -> tuple[Latents, Held, Any]:
        """See `Grain.step`."""
        velocity, held = compute_if(forward, held, computed.any(), forecast)
        velocity = select(computed, velocity, forecast)
        return velocity, held, velocity


class ResidualGrain:
    """The residual of all layers together; stem and head always run."""

    def shapes(self, forward: Forward) -> Any:
        """The shapes of the tokens."""
        return jax.eval_shape(forward.stem)

    def rows(self, forward: Forward, x: Array) -> Array:
        """Expands the array to a row per guidance branch and request."""
        return forward.rows(x)

    def always(self, forward: Forward) -> float:
        """See `Grain.always`."""
        return 0.0

    def step(
        self, forward: Forward, held: Held, computed: Bool[Array, " r"], forecast: Any
    ) -> tuple[Latents, Held, Any]:
        """See `Grain.step`."""
        stem = forward.stem()
        tokens, held = layers(forward, held, computed, stem, forecast)
        residual = jax.tree.map(jnp.subtract, tokens, stem)
        return forward.head(tokens), held, residual


class BranchGrain:
    """The outputs of the branches of all layers, before their gates.

    Stem, gates, residual connections and head always run, and so does attention whose
    keys a region needs. The value has the size of the tokens times layers times
    branches: for Wan 1.3B at 480p (30 layers of 3 branches, 32,760 tokens of width
    1536, bfloat16) 9.1 GB per guidance branch. A forecast of order n keeps n + 1 such
    values.
    """

    def shapes(self, forward: Forward) -> Any:
        """The shapes of the outputs.

        Raises:
            ValueError: for a family whose layers have no branches to reuse.
        """
        if not forward.branch_names:
            raise ValueError(NO_BRANCHES)
        return jax.eval_shape(lambda: PerLayer(forward.unknown_branches()))

    def rows(self, forward: Forward, x: Array) -> Array:
        """Expands the array to a row per guidance branch and request."""
        return forward.rows(x)

    def always(self, forward: Forward) -> float:
        """See `Grain.always`."""
        return sum(forward.needed_branches) / len(forward.needed_branches)

    def step(
        self, forward: Forward, held: Held, computed: Bool[Array, " r"], forecast: Any
    ) -> tuple[Latents, Held, Any]:
        """See `Grain.step`."""
        count = (forward.layers, len(forward.branch_names), len(computed))
        reuse = BranchReuse(forecast.arrays, jnp.broadcast_to(computed, count))
        return reusing(forward, held, reuse)


def compute_if(
    forward: Forward, held: Held, wanted: Bool[Array, ""], otherwise: Latents
) -> tuple[Latents, Held]:
    """Runs the whole pass if it is wanted, else only the stem.

    Returns:
        The guided velocity and the held state after the pass; if it is not wanted,
        `otherwise` and the held state unchanged.
    """

    def run(before: tuple[Latents, Held], stem: Any) -> tuple[Latents, Held]:
        tokens, sides = forward.blocks(stem)
        return forward.head(tokens), forward.hold(before[1], sides)

    return when(wanted, run, (otherwise, held), forward.stem())


def reusing(
    forward: Forward, held: Held, reuse: BranchReuse
) -> tuple[Latents, Held, PerLayer]:
    """Runs a pass that reuses outputs of layers' branches.

    Returns:
        The guided velocity, the held state after the pass, and the outputs of all
        branches, computed or reused.
    """
    tokens, sides = forward.blocks(forward.stem(), reuse=reuse)
    outputs = PerLayer(forward.branches(sides))
    return forward.head(tokens), forward.hold(held, sides), outputs


def layers(
    forward: Forward, held: Held, computed: Bool[Array, " r"], stem: Any, residual: Any
) -> tuple[Any, Held]:
    """Runs all layers if any row is `computed`.

    Returns:
        The tokens after all layers, which in the other rows are the stem plus the given
        residual; and the held state after the pass.
    """

    def run(before: tuple[Any, Held], stem: Any) -> tuple[Any, Held]:
        tokens, sides = forward.blocks(stem)
        return tokens, forward.hold(before[1], sides)

    reused = jax.tree.map(jnp.add, stem, residual)
    tokens, held = when(computed.any(), run, (reused, held), stem)
    return select(computed, tokens, reused), held


GRAINS: Mapping[str, Grain] = MappingProxyType(
    {
        "velocity": VelocityGrain(),
        "residual": ResidualGrain(),
        "branches": BranchGrain(),
    }
)


def named_grain(name: str) -> Grain:
    """The grain of this name. Raises a ValueError for an unknown name."""
    if name not in GRAINS:
        raise ValueError(
            f"a step cache takes over one of {', '.join(GRAINS)}, got {name!r}"
        )
    return GRAINS[name]
