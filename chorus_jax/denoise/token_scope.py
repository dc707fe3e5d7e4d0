"""Token scopes: the tokens that budgets apply to, a whole video or a region of it.

In both, a pass of some tiles attends to keys and values that every layer holds.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from chorus_jax.denoise.program import Run
from chorus_jax.denoise.tiles import taken, tiles_of, with_tiles, written
from chorus_jax.families.forward import AllTokens, Forward, Latents, TileTokens
from chorus_jax.nets.tokens import Tiling


@runtime_checkable
class TokenScope(Protocol):
    """The tokens that budgets apply to: a whole video, or a region of it.

    Attributes:
        run: the run that the tokens belong to.
    """

    @property
    def run(self) -> Run: ...

    def every(self, latents: Latents, i: Int[Array, " b"], keys: Any) -> Forward:
        """The pass of all tokens of the scope at step `i`, which returns their keys and
        values, unless `keys` is (): then none are held."""

    def some(
        self, latents: Latents, i: Int[Array, " b"], keys: Any, rows: Int[Array, "b k"]
    ) -> Forward:
        """The pass of the tiles with indices `rows` within the scope; they attend to
        the keys of all tiles."""

    def noise(self, i: Int[Array, " b"]) -> Latents | None:
        """The noise of all tokens of the scope in step `i`; None unless the solver adds
        noise."""

    def tiles(self, latents: Latents) -> Float[Array, "b t s p"]:
        """The patches of the scope's tiles."""

    def replaced(self, latents: Latents, tiles: Float[Array, "b t s p"]) -> Latents:
        """The latents (or velocity) with these patches in all tiles of the scope."""


def merged(
    scope: TokenScope, velocity: Latents, fresh: Latents, rows: Int[Array, "b k"]
) -> Latents:
    """The velocity of all tokens of a scope, with that of the tiles `rows` replaced.

    Args:
        scope: the tokens.
        velocity: the velocity of all tokens.
        fresh: the velocity from a pass of `TokenScope.some`. Streams other than the
            video's are taken from it.
        rows: the indices of the tiles within the scope.
    """
    geometry = scope.run.geometry
    patches = geometry.named(fresh)[geometry.video]
    return scope.replaced(fresh, written(scope.tiles(velocity), rows, patches))


@dataclass(frozen=True, eq=False)
class WholeVideo:
    """All tokens of a video (see `TokenScope`).

    Attributes:
        run: the run that the tokens belong to.
        expert: the name of the transformer.
    """

    run: Run
    expert: str

    def every(self, latents: Latents, i: Int[Array, " b"], keys: Any) -> Forward:
        """The pass of all tokens."""
        every = AllTokens(None if keys == () else self.run.geometry.tiling)
        return self.run.forward(self.expert, latents, i, every)

    def some(
        self, latents: Latents, i: Int[Array, " b"], keys: Any, rows: Int[Array, "b k"]
    ) -> Forward:
        """The pass of the tiles with indices `rows`."""
        geometry = self.run.geometry
        patches = taken(self.tiles(latents), rows)
        active = TileTokens(
            geometry.tiling, rows, keys, no_bias(rows.shape[1], geometry.tiling)
        )
        latents = geometry.replaced(latents, patches)
        return self.run.forward(self.expert, latents, i, active)

    def noise(self, i: Int[Array, " b"]) -> Latents | None:
        """The noise of all tokens."""
        return self.run.noise(i)

    def tiles(self, latents: Latents) -> Float[Array, "b t s p"]:
        """The patches of all tiles."""
        return tiles_of(self.run.geometry, latents)

    def replaced(self, latents: Latents, tiles: Float[Array, "b t s p"]) -> Latents:
        """The latents with these patches in all tiles."""
        return with_tiles(self.run.geometry, latents, tiles)


@dataclass(frozen=True, eq=False)
class RegionOfVideo:
    """The tokens of a region (see `TokenScope`).

    The video's stream of latents has only the patches of the region's tiles.

    Attributes:
        run: the run that the tokens belong to.
        expert: the name of the transformer.
        region: the region's tiles, in the order of their ranks.
    """

    run: Run
    expert: str
    region: TileTokens

    def every(self, latents: Latents, i: Int[Array, " b"], keys: Any) -> Forward:
        """The pass of all tokens of the region."""
        tokens = replace(self.region, keys=keys)
        return self.run.forward(self.expert, latents, i, tokens)

    def some(
        self, latents: Latents, i: Int[Array, " b"], keys: Any, rows: Int[Array, "b k"]
    ) -> Forward:
        """The pass of the tiles with indices `rows` within the region."""
        geometry, tiling = self.run.geometry, self.region.tiling
        ids = jnp.take_along_axis(self.region.tiles, rows, axis=1)
        active = TileTokens(tiling, ids, keys, no_bias(rows.shape[1], tiling))
        latents = geometry.replaced(latents, taken(self.tiles(latents), rows))
        return self.run.forward(self.expert, latents, i, active)

    def noise(self, i: Int[Array, " b"]) -> Latents | None:
        """The noise of the region's tokens."""
        noise, geometry = self.run.noise(i), self.run.geometry
        if noise is None:
            return None
        active = taken(tiles_of(geometry, noise), self.region.tiles)
        return geometry.replaced(noise, active)

    def tiles(self, latents: Latents) -> Float[Array, "b t s p"]:
        """The patches of the region's tiles."""
        return self.run.geometry.named(latents)[self.run.geometry.video]

    def replaced(self, latents: Latents, tiles: Float[Array, "b t s p"]) -> Latents:
        """The latents with these patches in the region's tiles."""
        return self.run.geometry.replaced(latents, tiles)


def no_bias(tiles: int, tiling: Tiling) -> Float[Array, " n"]:
    """The attention bias of `tiles` tiles whose tokens each represent only themselves:
    zeros."""
    return jnp.zeros(tiles * tiling.size, jnp.float32)
