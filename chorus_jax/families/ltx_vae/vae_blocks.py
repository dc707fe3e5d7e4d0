"""Residual blocks of the LTX VAE, conditioned on a timestep and on noise.

Called as `block(x, past, cue) -> (y, past)`; the cue is None in the encoder.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Float32, Key

from chorus_jax.families.ltx_vae.vae_layers import EdgeConv
from chorus_jax.nets.causal_conv import Past, through
from chorus_jax.nets.layers import LayerNorm, Linear, RMSNorm, along_last, sinusoidal
from chorus_jax.nets.modulation import Mlp
from chorus_jax.nets.space_split import shared_out, whole_size

FEATURES = 256  # of a timestep
EPSILON = 1e-8


class Cue(NamedTuple):
    """Inputs of the decoder besides latents.

    Attributes:
        time: the scaled timestep of each video.
        keys: the random key of the noise that the blocks add, per video.
    """

    time: Float32[Array, " b"]
    keys: Key[Array, " b"]


class TimeRows(nnx.Module):
    """Computes `rows` modulation rows from a timestep."""

    def __init__(self, rows: int, width: int, rngs: nnx.Rngs):
        self.rows, c = rows, rows * width
        self.mlp = Mlp(FEATURES, c, c, jax.nn.silu, jnp.dtype("float32"), rngs)

    def __call__(self, time: Float32[Array, " b"]) -> Float32[Array, "b rows c"]:
        return self.mlp(sinusoidal(time, FEATURES)).reshape(len(time), self.rows, -1)


class PlaneNoise(nnx.Module):
    """Adds noise per pixel, the same in all frames, with a learnt strength per channel.

    `number` makes the noise differ between layers.
    """

    def __init__(self, width: int, number: int):
        self.number = number
        self.scale = nnx.Param(jnp.zeros(width), axes=(None,))

    def __call__(
        self, x: Float[Array, "b f h w c"], keys: Key[Array, " b"]
    ) -> Float[Array, "b f h w c"]:
        # Of whole pictures, so that it does not depend on the devices.
        shape = whole_size(x)
        planes = jax.vmap(
            lambda key: shared_out(plane(key, number=self.number, shape=shape))
        )(keys)
        noise = planes[:, None, :, :, None] * along_last(self.scale[...], x)
        return x + noise.astype(x.dtype)


def plane(
    key: Key[Array, ""], number: int, shape: tuple[int, int]
) -> Float32[Array, "h w"]:
    """The noise of one layer of one video."""
    return jax.random.normal(jax.random.fold_in(key, number), shape)


class LTXResidual(nnx.Module):
    """Two normed convolutions beside a shortcut.

    Attributes:
        table: learnt rows that are added to the timestep's four; None without a
            timestep.
        noise1: the noise after the first convolution; None if none is added.
        noise2: the noise after the second convolution.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        causal: bool,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
        padding: str = "zeros",
        timestep: bool = False,
        noise: int | None = None,
    ):
        conv = partial(EdgeConv, causal=causal, padding=padding, dtype=dtype, rngs=rngs)
        self.norm = RMSNorm(inputs, affine=False, epsilon=EPSILON)
        self.conv1, self.conv2 = conv(inputs, outputs), conv(outputs, outputs)
        changes = inputs != outputs
        self.shortcut_norm = LayerNorm(inputs) if changes else None
        self.shortcut = (
            Linear(inputs, outputs, dtype=dtype, rngs=rngs) if changes else None
        )
        rows = inputs**-0.5 * rngs.params.normal((4, inputs)) if timestep else None
        self.table = None if rows is None else nnx.Param(rows, axes=(None, None))
        self.noise1 = None if noise is None else PlaneNoise(outputs, noise)
        self.noise2 = None if noise is None else PlaneNoise(outputs, noise + 1)

    def __call__(
        self,
        x: Float[Array, "b f h w i"],
        past: Past,
        cue: Cue | None = None,
        rows: Float32[Array, "b 4 i"] | None = None,
    ) -> tuple[Float[Array, "b f h w o"], Past]:
        past1, past2 = (None, None) if past is None else past
        shift1, scale1, shift2, scale2 = self.modulations(rows)
        y, past1 = self.conv1(self.enter(x, shift1, scale1), past1)
        if self.noise1 is not None and cue is not None:
            y = self.noise1(y, cue.keys)
        y, past2 = self.conv2(self.enter(y, shift2, scale2), past2)
        if self.noise2 is not None and cue is not None:
            y = self.noise2(y, cue.keys)
        if self.shortcut is not None and self.shortcut_norm is not None:
            x = self.shortcut(self.shortcut_norm(x))
        return x + y, (past1, past2)

    def modulations(self, rows: Float32[Array, "b 4 i"] | None) -> list[Array | None]:
        """Shift and scale before each convolution."""
        if rows is None or self.table is None:
            return [None] * 4
        total = rows + self.table[...][None]
        return [total[:, row] for row in range(4)]

    def enter(self, x: Array, shift: Array | None, scale: Array | None) -> Array:
        """Applies the norm, the modulation and the activation."""
        return activated(self.norm, x, shift, scale)


def activated(
    norm: RMSNorm,
    x: Float[Array, "b f h w c"],
    shift: Float[Array, "b c"] | None,
    scale: Float[Array, "b c"] | None,
) -> Float[Array, "b f h w c"]:
    """Applies the norm, the modulation (if there is a timestep) and SiLU."""
    y = norm(x.astype(jnp.float32))
    if shift is not None and scale is not None:
        shift, scale = (z[:, None, None, None] for z in (shift, scale))
        y = y * (1 + scale) + shift
    return jax.nn.silu(y).astype(x.dtype)


class LTXStage(nnx.Module):
    """Layers that change the video's size, and residual blocks with one timestep.

    Attributes:
        before: layers that run before the blocks.
        time: computes the modulation rows of all blocks; None without a timestep.
        blocks: the residual blocks.
        after: layers that run after them.
    """

    def __init__(
        self,
        before: Sequence[nnx.Module],
        time: TimeRows | None,
        blocks: Sequence[LTXResidual],
        after: Sequence[nnx.Module],
    ):
        self.before, self.time = nnx.List(before), time
        self.blocks, self.after = nnx.List(blocks), nnx.List(after)

    def __call__(
        self, x: Float[Array, "b f h w i"], past: Past, cue: Cue | None
    ) -> tuple[Float[Array, "b t y x o"], Past]:
        rows = None if self.time is None or cue is None else self.time(cue.time)
        blocks = [partial(block, cue=cue, rows=rows) for block in self.blocks]
        return through([*self.before, *blocks, *self.after], x, past)
