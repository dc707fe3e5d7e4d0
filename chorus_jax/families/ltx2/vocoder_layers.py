"""Layers of LTX-2's vocoders: convolutions along time, and activations."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from chorus_jax.nets.layers import along_last
from chorus_jax.nets.products import exact

EPSILON = 1e-9


class SoundConv(nnx.Module):
    """Convolution along time that keeps the length, or multiplies it by `factor`."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        *,
        dilation: int = 1,
        factor: int = 1,
        bias: bool = True,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        self.dilation, self.factor = dilation, factor
        kernel = (size * inputs) ** -0.5 * rngs.params.normal((size, inputs, outputs))
        self.kernel = nnx.Param(kernel.astype(dtype), axes=(None,) * 3)
        zeros = jnp.zeros(outputs, dtype)
        self.bias = nnx.Param(zeros, axes=(None,)) if bias else None

    def __call__(self, x: Float[Array, "b t i"]) -> Float[Array, "b s o"]:
        kernel = self.kernel[...].astype(x.dtype)
        if self.factor > 1:  # a transposed convolution: of x with zeros in between
            kernel, side = (
                kernel[::-1],
                len(kernel) - 1 - (len(kernel) - self.factor) // 2,
            )
            sides = (side, side)
        else:
            reach = self.dilation * (len(kernel) - 1)
            sides = (reach // 2, reach - reach // 2)
        y = jax.lax.conv_general_dilated(
            x,
            kernel,
            window_strides=(1,),
            padding=(sides,),
            lhs_dilation=(self.factor,),
            rhs_dilation=(self.dilation,),
            dimension_numbers=("NWC", "WIO", "NWC"),
            precision=exact(x.dtype),
        )
        if self.bias is None:
            return y
        return y + along_last(self.bias[...].astype(y.dtype), y)


class SmoothSnake(nnx.Module):
    """x + sin(x a)^2 / b, computed at twice the rate between low-pass filters (Snake,
    arXiv 2006.08195; antialiased as in BigVGAN, arXiv 2206.04658).

    Attributes:
        alpha: the logarithm of a per channel.
        beta: the logarithm of b per channel.
        up: the low-pass filter after doubling the rate.
        down: the low-pass filter before halving it again.
    """

    def __init__(self, width: int, taps: int, dtype: jnp.dtype):
        zeros = lambda size: nnx.Param(jnp.zeros(size, dtype), axes=(None,))
        self.alpha, self.beta = zeros(width), zeros(width)
        self.up, self.down = zeros(taps), zeros(taps)

    def __call__(self, x: Float[Array, "b t c"]) -> Float[Array, "b t c"]:
        y = raised(x, self.up[...], 2)
        a, b = (
            along_last(jnp.exp(z[...].astype(y.dtype)), y)
            for z in (self.alpha, self.beta)
        )
        y = y + jnp.square(jnp.sin(y * a)) / (b + EPSILON)
        taps = self.down[...]
        before = len(taps) // 2 + len(taps) % 2 - 1
        padding = ((0, 0), (before, len(taps) // 2), (0, 0))
        return filtered(jnp.pad(y, padding, mode="edge"), taps, stride=2)


class Leaky(nnx.Module):
    """A leaky ReLU."""

    def __init__(self, slope: float):
        self.slope = slope

    def __call__(self, x: Float[Array, "b t c"]) -> Float[Array, "b t c"]:
        return jax.nn.leaky_relu(x, self.slope)


def raised(
    x: Float[Array, "b t c"], taps: Float[Array, " k"], ratio: int
) -> Float[Array, "b s c"]:
    """Upsamples each channel by `ratio`: inserts zeros, then filters."""
    size = len(taps)
    pad = size // ratio - 1
    start = pad * ratio + (size - ratio) // 2
    return raised_by(x, taps, ratio, pad, start)


def raised_by(
    x: Float[Array, "b t c"],
    taps: Float[Array, " k"],
    ratio: int,
    pad: int,
    start: int,
) -> Float[Array, "b s c"]:
    """`raised` after repeating the edges `pad` times; returns the samples from `start`
    on."""
    padded = jnp.pad(x, ((0, 0), (pad, pad), (0, 0)), mode="edge")
    sides = (len(taps) - 1,) * 2
    y = ratio * filtered(padded, taps[::-1], dilation=ratio, sides=sides)
    return y[:, start : start + ratio * x.shape[1]]


def filtered(
    x: Float[Array, "b t c"],
    taps: Float[Array, " k"],
    stride: int = 1,
    dilation: int = 1,
    sides: tuple[int, int] = (0, 0),
) -> Float[Array, "b s c"]:
    """Applies one filter along each channel. `dilation` inserts zeros between the
    samples, `sides` pads the ends."""
    b, t, c = x.shape
    y = jax.lax.conv_general_dilated(
        x.swapaxes(1, 2).reshape(b * c, t, 1),
        taps.astype(x.dtype)[:, None, None],
        window_strides=(stride,),
        padding=(sides,),
        lhs_dilation=(dilation,),
        dimension_numbers=("NWC", "WIO", "NWC"),
        precision=exact(x.dtype),
    )
    return y.reshape(b, c, -1).swapaxes(1, 2)
