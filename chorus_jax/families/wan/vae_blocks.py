"""Blocks of the Wan VAE: norm, residual block, attention, resampling, stage.

Called as `block(x, past) -> (y, past)`, see `causal_conv`. The results equal those of
the chunk caches of wan/modules/vae.py (Wan 2.1) and AutoencoderKLWan (diffusers).
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from chorus_jax.nets.attention import chunked
from chorus_jax.nets.causal_conv import (
    CausalConv,
    Past,
    PlaneConv,
    TimeConv,
    through,
    with_past,
)
from chorus_jax.nets.layers import Linear, along_last
from chorus_jax.nets.space_split import gathered


class ChannelNorm(nnx.Module):
    """Scales each pixel's channels to a root mean square of 1, in float32.

    Unlike `RMSNorm` it adds no epsilon; instead lengths below 1e-12 are taken as 1e-12.
    """

    def __init__(self, width: int):
        self.scale = nnx.Param(jnp.ones(width), axes=(None,))

    def __call__(self, x: Float[Array, "*r c"]) -> Float[Array, "*r c"]:
        y = x.astype(jnp.float32)
        squares = jnp.square(y).sum(-1, keepdims=True)
        y = y * (jax.lax.rsqrt(jnp.maximum(squares, 1e-24)) * y.shape[-1] ** 0.5)
        return (y * along_last(self.scale[...], y)).astype(x.dtype)


class Residual(nnx.Module):
    """Two normed causal convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.norm1 = ChannelNorm(inputs)
        self.conv1 = CausalConv(inputs, outputs, dtype=dtype, rngs=rngs)
        self.norm2 = ChannelNorm(outputs)
        self.conv2 = CausalConv(outputs, outputs, dtype=dtype, rngs=rngs)
        shortcut = partial(Linear, inputs, outputs, dtype=dtype, rngs=rngs)
        self.shortcut = shortcut() if inputs != outputs else None

    def __call__(
        self, x: Float[Array, "b f h w i"], past: Past
    ) -> tuple[Float[Array, "b f h w o"], Past]:
        past1, past2 = (None, None) if past is None else past
        y, past1 = self.conv1(jax.nn.silu(self.norm1(x)), past1)
        y, past2 = self.conv2(jax.nn.silu(self.norm2(y)), past2)
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return shortcut + y, (past1, past2)


class Attention(nnx.Module):
    """Attention of one head among the pixels of each frame."""

    def __init__(self, width: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.norm = ChannelNorm(width)
        self.qkv = Linear(width, 3 * width, dtype=dtype, rngs=rngs)
        self.out = Linear(width, width, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b f h w c"], past: Past
    ) -> tuple[Float[Array, "b f h w c"], Past]:
        b, f, _, _, c = x.shape
        query, *keys = jnp.split(self.qkv(self.norm(x)), 3, axis=-1)
        # One head as wide as the model: fused kernels do not take it.
        query, key, value = (
            y.reshape(b * f, -1, 1, c) for y in (query, *map(gathered, keys))
        )
        y = chunked(query, key, value, None)
        return x + self.out(y.reshape(x.shape)), ()


class Down(nnx.Module):
    """Halves height and width; with `time` also the number of frames after the first.

    Output frame k > 0 depends on frames 2k-2, 2k-1 and 2k; the first frame stays.
    """

    def __init__(self, width: int, time: bool, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.plane = PlaneConv(width, width, dtype=dtype, rngs=rngs)
        self.time = TimeConv(width, width, dtype=dtype, rngs=rngs) if time else None

    def __call__(
        self, x: Float[Array, "b f h w c"], past: Past
    ) -> tuple[Float[Array, "b f2 h2 w2 c"], Past]:
        x = self.plane(x, stride=2, padding=(0, 1))
        if self.time is None:
            return x, ()
        if past is None:
            y = jnp.concatenate([x[:, :1], self.time(x, stride=2)], axis=1)
        else:
            y = self.time(jnp.concatenate([past, x], axis=1), stride=2)
        return y, x[:, -1:]


class Up(nnx.Module):
    """Doubles height and width; with `time` also the number of frames after the first.

    The frames after the first are doubled as a sequence of their own, padded with
    zeros: the time convolution never sees the first frame.
    """

    def __init__(
        self,
        width: int,
        outputs: int,
        time: bool,
        *,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        self.time = TimeConv(width, 2 * width, dtype=dtype, rngs=rngs) if time else None
        self.plane = PlaneConv(width, outputs, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b f h w c"], past: Past
    ) -> tuple[Float[Array, "b f2 h2 w2 o"], Past]:
        if self.time is None:
            return self.plane(enlarge(x)), ()
        first, others = (x[:, :1], x[:, 1:]) if past is None else (x[:, :0], x)
        frames = with_past(others, past)
        y = jnp.concatenate([first, unfold_pairs(self.time(frames))], axis=1)
        return self.plane(enlarge(y)), frames[:, -2:]


def enlarge(x: Float[Array, "b f h w c"]) -> Float[Array, "b f h2 w2 c"]:
    """Repeats each pixel 2 x 2 times."""
    b, f, h, w, c = x.shape
    x = jnp.broadcast_to(x[:, :, :, None, :, None], (b, f, h, 2, w, 2, c))
    return x.reshape(b, f, 2 * h, 2 * w, c)


def unfold_pairs(x: Float[Array, "b f h w c2"]) -> Float[Array, "b f2 h w c"]:
    """Two frames from the two halves of each frame's channels."""
    b, f, h, w, c = x.shape
    x = jnp.moveaxis(x.reshape(b, f, h, w, 2, c // 2), 4, 2)
    return x.reshape(b, 2 * f, h, w, c // 2)


class Stage(nnx.Module):
    """Blocks of one resolution, then the change to the next, except in the last."""

    def __init__(self, blocks: Sequence[nnx.Module], resample: nnx.Module | None):
        self.blocks = nnx.List(blocks)
        self.resample = resample

    def __call__(
        self, x: Float[Array, "b f h w i"], past: Past
    ) -> tuple[Float[Array, "b f2 h2 w2 o"], Past]:
        last = [] if self.resample is None else [self.resample]
        return through([*self.blocks, *last], x, past)


class Output(nnx.Module):
    """Norm and the last convolution."""

    def __init__(self, inputs: int, outputs: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.norm = ChannelNorm(inputs)
        self.conv = CausalConv(inputs, outputs, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b f h w i"], past: Past
    ) -> tuple[Float[Array, "b f h w o"], Past]:
        return self.conv(jax.nn.silu(self.norm(x)), past)
