"""Convolutions of the LTX VAE, and the layers that change the video's size.

Called as `layer(x, past) -> (y, past)`, see `nets.causal_conv`. A layer that sees the
future too is for whole videos: its `past` is always None and `()`.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from chorus_jax.nets.causal_conv import (
    Padding,
    Past,
    conv_by_taps,
    conv_kernel,
    conv_volume,
)
from chorus_jax.nets.layers import along_last
from chorus_jax.nets.products import exact
from chorus_jax.nets.space_split import padding_beside, with_halo, with_reflection
from chorus_jax.nets.tokens import Size

NONE: Padding = ((0, 0), (0, 0))


class EdgeConv(nnx.Module):
    """3x3x3 convolution; pictures are padded by zeros or reflection (`padding`), the
    video by repeating its edge frames.

    If `causal` the first frame is repeated twice before the video, else the first and
    the last frame once each.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        causal: bool,
        stride: int = 1,
        padding: str = "zeros",
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        self.causal, self.stride, self.reflects = causal, stride, padding == "reflect"
        self.kernel = conv_kernel((3, 3, 3, inputs, outputs), dtype, rngs)
        self.bias = nnx.Param(jnp.zeros(outputs, dtype), axes=(None,))

    def __call__(
        self, x: Float[Array, "b f h w i"], past: Past
    ) -> tuple[Float[Array, "b t y x o"], Past]:
        kernel, padding = self.kernel[...], NONE
        if self.reflects:
            x = with_reflection(x)
        else:
            after = 2 - self.stride  # the last zeros are beyond what a stride reaches
            x, padding = with_halo(x, 1, after), padding_beside(1, after)
        frames = self.padded(x, past)
        run = conv if self.stride == 1 else partial(conv_strided, stride=self.stride)
        y = run(frames, kernel, padding=padding)
        past = frames[:, self.stride - 3 :] if self.causal else ()
        return y + along_last(self.bias[...], y), past

    def padded(
        self, x: Float[Array, "b f h w i"], past: Past
    ) -> Float[Array, "b n h w i"]:
        """The frames padded along time by what the kernel reaches."""
        if past is not None:
            return jnp.concatenate([past, x], axis=1)
        if self.causal:
            return jnp.concatenate([x[:, :1], x[:, :1], x], axis=1)
        return jnp.concatenate([x[:, :1], x, x[:, -1:]], axis=1)


def conv(
    x: Float[Array, "b n h w i"], kernel: Float[Array, "3 3 3 i o"], padding: Padding
) -> Float[Array, "b f y x o"]:
    """A convolution with this number of zeros around the picture."""
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=partial(conv_by_taps, padding=padding),
        default=partial(conv_volume, padding=padding),
    )


def conv_strided(
    x: Float[Array, "b n h w i"],
    kernel: Float[Array, "3 3 3 i o"],
    padding: Padding,
    stride: int,
) -> Float[Array, "b f y x o"]:
    """A convolution with the same stride along all axes, and this number of zeros
    around the picture."""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride,) * 3,
        padding=((0, 0), *padding),
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
        precision=exact(x.dtype),
    )


class FoldDown(nnx.Module):
    """Downsampling: a convolution's frames and pixels folded into channels, plus means
    of groups of the input's folded channels."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        box: Size,
        **options: Any,
    ):
        """`options` are those of `EdgeConv`."""
        self.box, self.outputs = box, outputs
        self.conv = EdgeConv(inputs, outputs // math.prod(box), **options)

    def __call__(
        self, x: Float[Array, "b f h w i"], past: Past
    ) -> tuple[Float[Array, "b t y x o"], Past]:
        if past is None:
            # The first frame is a whole group.
            x = jnp.concatenate([x[:, : self.box[0] - 1], x], axis=1)
        folded = fold(x, self.box)
        groups = folded.reshape(*folded.shape[:-1], self.outputs, -1)
        y, past = self.conv(x, past)
        return fold(y, self.box) + groups.mean(axis=-1), past


class UnfoldUp(nnx.Module):
    """Upsampling: each pixel of a convolution's output becomes a box of frames and
    pixels.

    Of the first frame's box only the last frame is kept. With `residual` the input's
    own channels, unfolded and repeated, are added.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        box: Size,
        residual: bool,
        **options: Any,
    ):
        """`options` are those of `EdgeConv`."""
        wide = math.prod(box) * outputs
        self.box, self.residual, self.repeats = box, residual, wide // inputs
        self.conv = EdgeConv(inputs, wide, **options)

    def __call__(
        self, x: Float[Array, "b f h w i"], past: Past
    ) -> tuple[Float[Array, "b t y x o"], Past]:
        first = self.box[0] - 1 if past is None else 0
        y, past = self.conv(x, past)
        y = unfold(y, self.box)[:, first:]
        if self.residual:
            own = unfold(x, self.box)[:, first:]
            y = y + jnp.tile(own, (1, 1, 1, 1, self.repeats))
        return y, past


def fold(x: Float[Array, "b f h w c"], box: Size) -> Float[Array, "b t y x o"]:
    """Folds each box of frames and pixels into channels, ordered by channel, then
    frame, row and column."""
    b, f, h, w, c = x.shape
    t, y, z = box
    x = x.reshape(b, f // t, t, h // y, y, w // z, z, c)
    return x.transpose(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, f // t, h // y, w // z, -1)


def unfold(x: Float[Array, "b f h w c"], box: Size) -> Float[Array, "b t y x o"]:
    """The reverse of `fold`."""
    b, f, h, w, _ = x.shape
    t, y, z = box
    x = x.reshape(b, f, h, w, -1, t, y, z)
    return x.transpose(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, f * t, h * y, w * z, -1)
