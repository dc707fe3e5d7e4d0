"""Causal convolutions over channels-last video, for whole videos and for streams.

A layer here and in a VAE's blocks is called as `layer(x, past) -> (y, past)`: `x` has
the next frames, `past` the state that the layer keeps of the frames before them.
`past=None` means that `x` begins with the video's first frame. So the same code runs a
whole video in one call and the same video frame by frame. `past` is a pytree whose
shapes are the same after every call; a layer without state returns `()`.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from chorus_jax.nets.layers import along_last
from chorus_jax.nets.products import exact
from chorus_jax.nets.space_split import padding_beside, with_halo

# None, or any pytree of arrays.
Past = Any

# Zeros before and after the height, and before and after the width.
Padding = tuple[tuple[int, int], tuple[int, int]]
AROUND: Padding = ((1, 1), (1, 1))


def through(layers: Sequence[Any], x: Array, past: Past) -> tuple[Array, Past]:
    """Applies the layers one after another, each with its own past."""
    pasts = [None] * len(layers) if past is None else past
    new_pasts = []
    for layer, own in zip(layers, pasts, strict=True):
        x, own = layer(x, own)
        new_pasts.append(own)
    return x, tuple(new_pasts)


class CausalConv(nnx.Module):
    """3x3x3 convolution with zeros around each frame and before the first one."""

    def __init__(self, inputs: int, outputs: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.kernel = conv_kernel((3, 3, 3, inputs, outputs), dtype, rngs)
        self.bias = nnx.Param(jnp.zeros(outputs, dtype), axes=(None,))

    def __call__(
        self, x: Float[Array, "b f h w i"], past: Past
    ) -> tuple[Float[Array, "b f h w o"], Past]:
        kernel, padding = self.kernel[...], padding_beside(1, 1)
        x = with_halo(x, 1, 1)
        frames = with_past(x, past)
        if past is None and x.shape[1] == 1:
            # Only zeros precede the first frame, so two of the three taps give zero.
            y = conv_plane(x, kernel[2], padding=padding)
        else:
            y = jax.lax.platform_dependent(
                frames,
                kernel,
                cpu=partial(conv_by_taps, padding=padding),
                default=partial(conv_volume, padding=padding),
            )
        return y + along_last(self.bias[...], y), frames[:, -2:]


class TimeConv(nnx.Module):
    """Convolution over three neighbouring frames of each pixel; no padding, no past."""

    def __init__(self, inputs: int, outputs: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.kernel = conv_kernel((3, 1, 1, inputs, outputs), dtype, rngs)
        self.bias = nnx.Param(jnp.zeros(outputs, dtype), axes=(None,))

    def __call__(
        self, x: Float[Array, "b n h w i"], stride: int = 1
    ) -> Float[Array, "b f h w o"]:
        kernel = self.kernel[...].reshape(-1, self.kernel.shape[-1])
        count = max(0, x.shape[1] - 2)
        taps = [x[:, tap : tap + count : stride] for tap in range(3)]
        pixels = jnp.concatenate(taps, axis=-1)
        y = jnp.matmul(pixels, kernel, precision=exact(kernel.dtype))
        return y + along_last(self.bias[...], y)


class PlaneConv(nnx.Module):
    """3x3 convolution of each frame; `padding` is the number of zeros before and after
    both its height and its width."""

    def __init__(self, inputs: int, outputs: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.kernel = conv_kernel((3, 3, inputs, outputs), dtype, rngs)
        self.bias = nnx.Param(jnp.zeros(outputs, dtype), axes=(None,))

    def __call__(
        self,
        x: Float[Array, "b f h w i"],
        stride: int = 1,
        padding: tuple[int, int] = (1, 1),
    ) -> Float[Array, "b f y x o"]:
        x, beside = with_halo(x, *padding), padding_beside(*padding)
        y = conv_plane(x, self.kernel[...], stride, beside)
        return y + along_last(self.bias[...], y)


def conv_kernel(shape: tuple[int, ...], dtype: jnp.dtype, rngs: nnx.Rngs) -> nnx.Param:
    """A random kernel [..., inputs, outputs], scaled so that outputs have the variance
    of the inputs."""
    kernel = math.prod(shape[:-1]) ** -0.5 * rngs.params.normal(shape)
    return nnx.Param(kernel.astype(dtype), axes=(None,) * len(shape))


def with_past(x: Float[Array, "b f h w c"], past: Past) -> Float[Array, "b n h w c"]:
    """The frames with the two frames before them; zeros before the first frame."""
    if past is None:
        return jnp.pad(x, ((0, 0), (2, 0), (0, 0), (0, 0), (0, 0)))
    return jnp.concatenate([past, x], axis=1)


def conv_volume(
    x: Float[Array, "b n h w i"],
    kernel: Float[Array, "t y x i o"],
    padding: Padding = AROUND,
) -> Float[Array, "b f h2 w2 o"]:
    """A 3-D convolution with zeros around each frame, but none before or after them."""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1, 1, 1),
        padding=((0, 0), *padding),
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
        precision=exact(x.dtype),
    )


def conv_by_taps(
    x: Float[Array, "b n h w i"],
    kernel: Float[Array, "3 y x i o"],
    padding: Padding = AROUND,
) -> Float[Array, "b f h2 w2 o"]:
    """`conv_volume` as a sum of 2-D convolutions, which is two to eight times as fast
    in XLA's CPU code.

    The sum is in float32, as within a single convolution.
    """
    frames = x.shape[1] - 2
    wide, kernel = x.astype(jnp.float32), kernel.astype(jnp.float32)
    first, second, third = (
        conv_plane(wide[:, tap : tap + frames], kernel[tap], padding=padding)
        for tap in range(3)
    )
    return (first + second + third).astype(x.dtype)


def conv_plane(
    x: Float[Array, "b f h w i"],
    kernel: Float[Array, "y x i o"],
    stride: int = 1,
    padding: Padding = AROUND,
) -> Float[Array, "b f h2 w2 o"]:
    """A 2-D convolution of each frame."""
    y = jax.lax.conv_general_dilated(
        x.reshape(-1, *x.shape[2:]),
        kernel,
        window_strides=(stride, stride),
        padding=padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=exact(x.dtype),
    )
    return y.reshape(*x.shape[:2], *y.shape[1:])
