"""From the text encoder's states to what LTX-2's transformer reads of a prompt.

The states of all layers are normed and projected to features, one per token; a small
transformer per stream then lets them attend to each other. Registers stand where a
prompt has no tokens, each by its place: all rows are read.

Source: Lightricks/LTX-2, packages/ltx-core; diffusers, pipelines/ltx2/connectors.py.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.families.ltx2.attention import (
    AttentionWidths,
    GatedAttention,
    among_themselves,
)
from chorus_jax.families.ltx2.positions import position_table
from chorus_jax.families.ltx2.streams import Streams
from chorus_jax.nets.gemma import GemmaEncoder
from chorus_jax.nets.layers import Linear, RMSNorm, stack
from chorus_jax.nets.modulation import Mlp, gelu_tanh

EPSILON = 1e-6
RANGE = 8.0  # that normed states of a layer span


@dataclass(frozen=True)
class ConnectorsConfig:
    """Sizes of LTX-2's connectors; `b19` and `b22` are the published ones.

    Attributes:
        state_width: of the text encoder's hidden states.
        states: hidden states of a token.
        heads: of each stream's connector, the video's first.
        head_widths: the widths of these heads.
        depth: layers of each connector.
        registers: learnt rows of each connector; they repeat along the text.
        apart: whether the states are projected to each stream's width, with a bias, and
            normed token by token (2.3); else to `state_width` for both, and normed
            layer by layer.
        gated: whether the heads have gates of their own (2.3).
        extent: rows that rotary positions are shares of.
        dtype: of weights and activations.

    Raises:
        ValueError: for streams of two widths with one projection.
    """

    state_width: int
    states: int
    heads: tuple[int, int]
    head_widths: tuple[int, int]
    depth: tuple[int, int]
    registers: tuple[int, int] = (128, 128)
    apart: bool = False
    gated: bool = False
    extent: int = 4096
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        if not self.apart and set(self.widths) != {self.state_width}:
            raise ValueError(
                "with one projection the connectors have the width of the text "
                f"encoder's states, {self.state_width}, got {self.widths}"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """The width of each stream's text."""
        return tuple(a * d for a, d in zip(self.heads, self.head_widths))

    @classmethod
    def b19(cls, dtype: str = "bfloat16") -> "ConnectorsConfig":
        """LTX-2 (19B)."""
        return cls(3840, 49, (30, 30), (128, 128), (2, 2), dtype=dtype)

    @classmethod
    def b22(cls, dtype: str = "bfloat16") -> "ConnectorsConfig":
        """LTX-2.3 (22B)."""
        sizes = ((32, 32), (128, 64), (8, 8))
        return cls(3840, 49, *sizes, apart=True, gated=True, dtype=dtype)


class TextFeatures(nnx.Module):
    """The states of all layers to features of each token.

    Attributes:
        video: to the features, of both streams unless there is `audio`.
        audio: to those of the audio; None if both have the same.
    """

    def __init__(self, config: ConnectorsConfig, *, rngs: nnx.Rngs):
        self.config = config
        project = partial(
            Linear,
            config.state_width * config.states,
            axes=(None, "width"),
            bias=config.apart,
            dtype=jnp.dtype(config.dtype),
            rngs=rngs,
        )
        self.video = project(config.widths[0])
        self.audio = project(config.widths[1]) if config.apart else None

    def __call__(
        self, states: Float[Array, "b m c states"], mask: Bool[Array, "b m"]
    ) -> Float[Array, "b m k"]:
        """Features of each token, those of the audio behind the video's if there are
        any; without meaning where `mask` is False."""
        x = states.astype(jnp.float32)
        if self.audio is None:
            normed = normed_by_layer(x, mask)
            return self.video(normed.reshape(*x.shape[:2], -1).astype(states.dtype))
        power = jnp.square(x).mean(axis=2, keepdims=True)
        normed = (x * jax.lax.rsqrt(power + EPSILON)).reshape(*x.shape[:2], -1)
        parts = [
            project((normed * math.sqrt(width / x.shape[2])).astype(states.dtype))
            for project, width in zip((self.video, self.audio), self.config.widths)
        ]
        return jnp.concatenate(parts, axis=-1)

    def split(self, features: Float[Array, "b m k"]) -> Streams:
        """The features of each stream."""
        if self.audio is None:
            return Streams(features, features)
        return Streams(*jnp.split(features, [self.config.widths[0]], axis=-1))


def normed_by_layer(
    x: Float[Array, "b m c states"], mask: Bool[Array, "b m"]
) -> Float[Array, "b m c states"]:
    """States of a prompt less the mean of their layer, over the range of it."""
    known = mask[:, :, None, None]
    count = mask.sum(axis=1).astype(jnp.float32)[:, None, None, None] * x.shape[2]
    total = jnp.where(known, x, 0).sum(axis=(1, 2), keepdims=True)
    least = jnp.where(known, x, jnp.inf).min(axis=(1, 2), keepdims=True)
    most = jnp.where(known, x, -jnp.inf).max(axis=(1, 2), keepdims=True)
    return RANGE * (x - total / (count + EPSILON)) / (most - least + EPSILON)


class ConnectorBlock(nnx.Module):
    """Self-attention and feed-forward, each on a normed input and added to it."""

    def __init__(self, config: ConnectorsConfig, stream: int, *, rngs: nnx.Rngs):
        c, dtype = config.widths[stream], jnp.dtype(config.dtype)
        heads = (config.heads[stream], config.head_widths[stream])
        self.norm = RMSNorm(c, affine=False, epsilon=EPSILON)
        widths = AttentionWidths(c, c, *heads, EPSILON, config.gated)
        self.attn = GatedAttention(widths, dtype, rngs)
        self.mlp = Mlp(c, 4 * c, c, gelu_tanh, dtype, rngs)

    def __call__(
        self, x: Float[Array, "b m c"], rotary: Float[Array, "2 m r"]
    ) -> Float[Array, "b m c"]:
        x = x + among_themselves(self.attn, self.norm(x), rotary)[0]
        return x + self.mlp(self.norm(x))


class Connector(nnx.Module):
    """A stream's features to its text embeddings.

    Attributes:
        registers: rows that stand where a prompt has no tokens.
        layers: blocks, stacked and scanned.
        norm: of the output, without weights.
    """

    def __init__(self, config: ConnectorsConfig, stream: int, *, rngs: nnx.Rngs):
        self.extent, width = config.extent, config.widths[stream]
        shape = (config.registers[stream], width)
        rows = rngs.params.normal(shape).astype(config.dtype)
        self.registers = nnx.Param(rows, axes=(None, "width"))
        self.layers = stack(
            lambda rngs: ConnectorBlock(config, stream, rngs=rngs),
            config.depth[stream],
            rngs,
        )
        self.norm = RMSNorm(width, affine=False, epsilon=EPSILON)

    def __call__(
        self, x: Float[Array, "b m c"], lengths: Int[Array, " b"]
    ) -> Float[Array, "b m c"]:
        """Embeddings of all rows. ValueError if the registers do not divide them."""
        rows, registers = x.shape[1], self.registers[...]
        if rows % len(registers):
            raise ValueError(
                f"the text limit of {rows} must be a multiple of the connectors' "
                f"{len(registers)} registers"
            )
        tiled = jnp.tile(registers, (rows // len(registers), 1))
        known = jnp.arange(rows)[None, :] < lengths[:, None]
        x = jnp.where(known[..., None], x.astype(registers.dtype), tiled[None])
        places = np.arange(rows, dtype=np.float32)[:, None]
        rotary = position_table(places, (self.extent,), x.shape[-1])

        def layer(x: Array, block: ConnectorBlock) -> tuple[Array, None]:
            return block(x, rotary), None

        return self.norm(jax.lax.scan(layer, x, self.layers)[0])


class LTX2Connectors(nnx.Module):
    """Features of a prompt, and the connectors of both streams."""

    def __init__(self, config: ConnectorsConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.features = TextFeatures(config, rngs=rngs)
        self.video = Connector(config, 0, rngs=rngs)
        self.audio = Connector(config, 1, rngs=rngs)

    def __call__(
        self, features: Float[Array, "b m k"], lengths: Int[Array, " b"]
    ) -> Streams:
        """The text embeddings of each stream, all rows of which are read.

        Args:
            features: of prompts (see `TextFeatures`), as many rows as the text limit.
            lengths: the number of tokens of each prompt.
        """
        video, audio = self.features.split(features)
        return Streams(self.video(video, lengths), self.audio(audio, lengths))


class FeatureEncoder(NamedTuple):
    """The text encoder with the norm and projection of its states.

    What is remembered of a prompt is its features (see `text.prompts.TextEncoder`).

    Attributes:
        gemma: the text encoder.
        features: norm and projection.
    """

    gemma: GemmaEncoder
    features: TextFeatures

    def __call__(
        self, ids: Int[Array, "b m"], mask: Bool[Array, "b m"]
    ) -> Float[Array, "b m k"]:
        """The features of tokens."""
        return self.features(self.gemma(ids, mask), mask)
