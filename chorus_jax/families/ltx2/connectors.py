"""Turns the text encoder's hidden states into the embeddings that LTX-2's transformer
reads.

The states of all layers are normed and projected to features, one per token; a small
transformer per stream then lets them attend to each other. Learnt registers fill the
rows after a prompt's last token, so that all rows are read.

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
        state_width: the width of the text encoder's hidden states.
        states: hidden states per token, one per layer of the text encoder and its
            embedding.
        heads: the number of heads of each stream's connector, the video's first.
        head_widths: the widths of these heads.
        depth: the number of layers of each connector.
        registers: the number of learnt rows of each connector, which repeat along the
            text.
        apart: True if the states are normed per token and projected, with a bias, to
            each stream's width (2.3); False if they are normed per layer and projected
            to `state_width` for both streams.
        gated: whether the heads have gates of their own (2.3).
        extent: the number of rows that rotary positions are divided by.
        dtype: the dtype of weights and activations.

    Raises:
        ValueError: for streams of different widths that share one projection.
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
    """Norms and projects the hidden states of all layers to features, per token.

    Attributes:
        video: the projection to the features of the video, and of the audio if that has
            none of its own.
        audio: the projection to the audio's features; None if both streams share
            `video`.
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
        """Features per token: the video's, then the audio's if it has its own.
        Undefined where `mask` is False."""
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
    """States minus the mean of their layer over the prompt, divided by its range."""
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
    """Turns one stream's features into its text embeddings.

    Attributes:
        registers: learnt rows that fill the place after a prompt's last token.
        layers: blocks, stacked and scanned.
        norm: the norm of the output, without weights.
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
        """Embeddings of all rows. Raises a ValueError unless the number of rows is a
        multiple of the number of registers."""
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
            features: the features of prompts (see `TextFeatures`), padded to the text
                limit.
            lengths: the number of tokens of each prompt.
        """
        video, audio = self.features.split(features)
        return Streams(self.video(video, lengths), self.audio(audio, lengths))


class FeatureEncoder(NamedTuple):
    """The text encoder with the norm and projection of its states.

    Of each prompt its features are remembered (see `text.prompts.TextEncoder`).

    Attributes:
        gemma: the text encoder.
        features: the norm and the projection.
    """

    gemma: GemmaEncoder
    features: TextFeatures

    def __call__(
        self, ids: Int[Array, "b m"], mask: Bool[Array, "b m"]
    ) -> Float[Array, "b m k"]:
        """The features of tokens."""
        return self.features(self.gemma(ids, mask), mask)
