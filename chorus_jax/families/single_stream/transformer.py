"""The base of transformers with a single stream of video tokens."""

from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from chorus_jax.families.single_stream.block import ModulatedBlock
from chorus_jax.families.single_stream.conditions import Times
from chorus_jax.nets.layers import Linear, sinusoidal
from chorus_jax.nets.modulation import Head, Mlp
from chorus_jax.nets.token_attention import AttentionSizes
from chorus_jax.nets.tokens import Size


@runtime_checkable
class StreamSizes(AttentionSizes, Protocol):
    """The fields of a transformer's config that the common parts read.

    Attributes:
        depth: the number of layers.
        time_width: the width of the timestep's sinusoidal features.
        patch: the number of latents per token along frames, height and width.
    """

    @property
    def depth(self) -> int: ...

    @property
    def time_width(self) -> int: ...

    @property
    def patch(self) -> Size: ...


class SingleStreamTransformer(nnx.Module):
    """A transformer of `ModulatedBlock`s; their parameters are stacked and scanned.

    Attributes:
        config: its sizes.
        patch: projects patches of latents to tokens.
        time: projects sinusoidal features of the timestep to its embedding.
        modulation: projects the embedding to the six modulation rows of all layers.
        layers: the blocks.
        out: projects tokens to patches of velocity.
    """

    config: StreamSizes
    patch: nnx.Module
    time: Mlp
    modulation: Linear
    layers: ModulatedBlock
    out: Head

    def grid(self, latents: Float[Array, "b f h w i"]) -> Size:
        """The number of tokens along frames, height and width. Raises a ValueError if
        patches do not divide the latents."""
        sizes, patch = latents.shape[1:4], self.config.patch
        if any(size % p for size, p in zip(sizes, patch)):
            raise ValueError(
                f"latents of size {tuple(sizes)} do not divide into {patch=}"
            )
        f, h, w = (size // p for size, p in zip(sizes, patch))
        return f, h, w

    def times(self, timestep: Float[Array, " *t"]) -> Times:
        """Modulation inputs of timesteps (0 to 1000) of any shape."""
        features = sinusoidal(timestep.astype(jnp.float32), self.config.time_width)
        embedding = self.time(features).astype(self.config.dtype)
        blocks = self.modulation(jax.nn.silu(embedding)).astype(jnp.float32)
        return Times(
            blocks=blocks.reshape(*timestep.shape, 6, self.config.width),
            head=embedding.astype(jnp.float32),
        )
