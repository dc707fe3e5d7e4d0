"""The parts of the Wan transformer: patches, one block, image embedding, head.

Source of the architecture: Wan-Video/Wan2.1, wan/modules/model.py.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from chorus_jax.devices.sharding import constrain
from chorus_jax.families.forward import BranchReuse
from chorus_jax.families.wan.attention import (
    Alone,
    Around,
    Context,
    CrossAttention,
    Keys,
    Observed,
    SelfAttention,
)
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.nets.control import when
from chorus_jax.nets.layers import LayerNorm, Linear
from chorus_jax.nets.products import exact

T = TypeVar("T")


def enter(norm: LayerNorm, x: Array, shift: Array, scale: Array) -> Array:
    """x normalised, scaled and shifted, in float32 until the end."""
    y = norm(x.astype(jnp.float32)) * (1 + scale) + shift
    return y.astype(x.dtype)


def leave(x: Array, update: Array, gate: Array) -> Array:
    """x plus the gated update."""
    y = x.astype(jnp.float32) + update.astype(jnp.float32) * gate
    return y.astype(x.dtype)


def modulate(
    table: Float[Array, "s c"], times: Float[Array, " b *n #s c"]
) -> list[Array]:
    """The s rows of `table + times`, each [b, 1 or n, c]."""
    times = times if times.ndim == 4 else times[:, None]
    total = table[None, None] + times
    return [total[:, :, row] for row in range(table.shape[0])]


class PatchEmbed(nnx.Module):
    """A linear map of each patch of the latents to a token."""

    def __init__(
        self,
        patch: tuple[int, int, int],
        channels: int,
        width: int,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        shape = (*patch, channels, width)
        fan_in = channels * patch[0] * patch[1] * patch[2]
        kernel = fan_in**-0.5 * rngs.params.normal(shape)
        axes = (None, None, None, None, "width")
        self.kernel = nnx.Param(kernel.astype(dtype), axes=axes)
        self.bias = nnx.Param(jnp.zeros(width, dtype), axes=("width",))

    def __call__(self, patches: Float[Array, "b n p"]) -> Float[Array, "b n c"]:
        kernel = self.kernel[...].reshape(-1, self.kernel[...].shape[-1])
        x = patches.reshape(-1, patches.shape[-1]).astype(kernel.dtype)
        y = jnp.matmul(x, kernel, precision=exact(kernel.dtype))
        y = y + self.bias[...][None, :]
        return y.reshape(*patches.shape[:2], -1)


class Mlp(nnx.Module):
    """Two linear maps with an activation between."""

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        activation: Callable[[Array], Array],
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        self.activation = activation
        self.inner = Linear(
            inputs, hidden, axes=("width", "mlp"), dtype=dtype, rngs=rngs
        )
        self.outer = Linear(
            hidden, outputs, axes=("mlp", "width"), dtype=dtype, rngs=rngs
        )

    def __call__(self, x: Float[Array, "*r i"]) -> Float[Array, "*r o"]:
        return self.outer(self.activation(self.inner(x)))


class Block(nnx.Module):
    """Self-attention, cross-attention and feed-forward, modulated by the timestep.

    Returns the tokens and the layer's side outputs. If `around` is `HeldKeys`, tokens
    attend to cached keys and values of all tiles.
    """

    def __init__(self, config: WanConfig, *, rngs: nnx.Rngs):
        c, dtype = config.width, jnp.dtype(config.dtype)
        table = c**-0.5 * rngs.params.normal((6, c))
        self.modulation = nnx.Param(table, axes=(None, "width"))
        self.norm = LayerNorm(c, affine=False, epsilon=config.epsilon)
        self.attn = SelfAttention(config, rngs=rngs)
        self.cross_norm = (
            LayerNorm(c, epsilon=config.epsilon) if config.cross_norm else None
        )
        self.cross = CrossAttention(config, rngs=rngs)
        self.mlp = Mlp(c, config.mlp_width, c, gelu_tanh, dtype, rngs)

    def __call__(
        self,
        x: Float[Array, "b n c"],
        times: Float[Array, " b *n 6 c"],
        rotary: Float[Array, "2 *b n r"],
        context: Context,
        around: Around = Alone(),
        reuse: BranchReuse | None = None,
    ) -> tuple[Float[Array, "b n c"], Observed]:
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = modulate(
            self.modulation[...], times
        )

        def attend() -> tuple[Array, Keys]:
            return self.attn(enter(self.norm, x, shift, scale), rotary, around)

        def read() -> tuple[Array, Array | None]:
            return self.cross(
                x if self.cross_norm is None else self.cross_norm(x), context
            )

        def feed() -> Array:
            return self.mlp(enter(self.norm, x, mlp_shift, mlp_scale))

        attended, keys = taken(reuse, 0, attend)
        x = leave(x, attended, gate)
        words, share = taken(reuse, 1, read)
        x = x + words
        fed, _ = taken(reuse, 2, lambda: (feed(), None))
        x = leave(x, fed, mlp_gate)
        outputs = None if reuse is None else (attended, words, fed)
        observed = Observed(keys, share, outputs)
        return constrain(x, "batch", "tokens", None), observed


def taken(
    reuse: BranchReuse | None, branch: int, compute: Callable[[], tuple[Array, T]]
) -> tuple[Array, T | None]:
    """The output of a branch of one layer, computed or an earlier one, and its side
    output, which is there only without `reuse`."""
    if reuse is None:
        return compute()
    wanted, earlier = reuse.compute[branch], reuse.outputs[branch]
    return when(wanted, lambda _: compute()[0], earlier), None


class ImageEmbedding(nnx.Module):
    """Image features brought to the model's width (image-to-video)."""

    def __init__(self, inputs: int, width: int, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.norm_in = LayerNorm(inputs, epsilon=1e-5)
        self.mlp = Mlp(inputs, inputs, width, exact_gelu, dtype, rngs)
        self.norm_out = LayerNorm(width, epsilon=1e-5)

    def __call__(self, image: Float[Array, "b e x"]) -> Float[Array, "b e c"]:
        return self.norm_out(self.mlp(self.norm_in(image)))


class Head(nnx.Module):
    """Tokens to patches of velocity, modulated by the timestep."""

    def __init__(self, config: WanConfig, *, rngs: nnx.Rngs):
        c, (pf, ph, pw) = config.width, config.patch
        table = c**-0.5 * rngs.params.normal((2, c))
        self.modulation = nnx.Param(table, axes=(None, "width"))
        self.norm = LayerNorm(c, affine=False, epsilon=config.epsilon)
        outputs, dtype = config.out_channels * pf * ph * pw, jnp.dtype(config.dtype)
        self.linear = Linear(c, outputs, axes=("width", None), dtype=dtype, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b n c"],
        times: Float[Array, " b *n c"],
    ) -> Float[Array, "b n p"]:
        shift, scale = modulate(self.modulation[...], times[..., None, :])
        return self.linear(enter(self.norm, x, shift, scale)).astype(jnp.float32)


def gelu_tanh(x: Array) -> Array:
    """The tanh form of GELU, which Wan uses for text and feed-forward."""
    return jax.nn.gelu(x, approximate=True)


def exact_gelu(x: Array) -> Array:
    """GELU by the error function, which the image embedding uses."""
    return jax.nn.gelu(x, approximate=False)
