"""The parts of the Wan transformer: patches, one block, image embedding.

Source of the architecture: Wan-Video/Wan2.1, wan/modules/model.py.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from chorus_jax.families.single_stream.block import ModulatedBlock
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.nets.layers import LayerNorm, along_last, by_rows
from chorus_jax.nets.modulation import Mlp, gelu_tanh
from chorus_jax.nets.products import exact
from chorus_jax.nets.token_attention import CrossAttention, SelfAttention


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
        multiply = partial(jnp.matmul, precision=exact(kernel.dtype))
        y = by_rows(patches.astype(kernel.dtype), kernel, multiply)
        return y + along_last(self.bias[...], y)


class Block(ModulatedBlock):
    """A block of Wan; most models have a norm before cross-attention."""

    def __init__(self, config: WanConfig, *, rngs: nnx.Rngs):
        c, dtype = config.width, jnp.dtype(config.dtype)
        table = c**-0.5 * rngs.params.normal((6, c))
        self.modulation = nnx.Param(table, axes=(None, "width"))
        self.norm = LayerNorm(c, affine=False, epsilon=config.epsilon)
        self.attn = SelfAttention(config, rngs=rngs)
        self.cross_norm = (
            LayerNorm(c, epsilon=config.epsilon) if config.cross_norm else None
        )
        self.cross = CrossAttention(config, config.image_width is not None, rngs=rngs)
        self.mlp = Mlp(c, config.mlp_width, c, gelu_tanh, dtype, rngs)


class ImageEmbedding(nnx.Module):
    """Projects image features to the model's width (image-to-video).

    With `positions` a learnt position is added to each token of several images, which
    are concatenated.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        positions: int | None,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        places = None if positions is None else jnp.zeros((positions, inputs))
        self.positions = (
            None if places is None else nnx.Param(places, axes=(None, None))
        )
        self.norm_in = LayerNorm(inputs, epsilon=1e-5)
        self.mlp = Mlp(inputs, inputs, width, exact_gelu, dtype, rngs)
        self.norm_out = LayerNorm(width, epsilon=1e-5)

    def __call__(self, image: Float[Array, "b e x"]) -> Float[Array, "b e c"]:
        if self.positions is not None:
            positions = self.positions[...][None]
            image = image + positions.astype(image.dtype)
        return self.norm_out(self.mlp(self.norm_in(image)))


def exact_gelu(x: Array) -> Array:
    """GELU by the error function, which the image embedding uses."""
    return jax.nn.gelu(x, approximate=False)
