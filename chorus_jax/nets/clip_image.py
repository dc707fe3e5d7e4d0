"""The image encoder of CLIP, whose tokens condition image-to-video models.

Source of the architecture: arXiv 2103.00020; huggingface/transformers,
models/clip/modeling_clip.py (CLIPVisionModel). Wan 2.1 reads the output of the layer
before the last one, without the norm after it (wan/modules/clip.py).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from chorus_jax.nets.clip import Block
from chorus_jax.nets.layers import Embedding, LayerNorm, Linear, along_last, stack
from chorus_jax.nets.tokens import to_patches

# Mean and standard deviation of red, green and blue in CLIP's training data, in [0, 1].
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class CLIPImageConfig:
    """Sizes of a CLIP image encoder; `vit_h_14` is Wan 2.1's.

    Attributes:
        width: channels of the tokens.
        depth: the number of layers, 2 or more.
        heads: heads of self-attention.
        mlp_width: channels within the feed-forward network.
        side: height and width of the images, in pixels.
        patch: height and width of a patch, in pixels.
        activation: activation of the feed-forward network, one of `clip.ACTIVATIONS`.
        epsilon: epsilon of the norms.
        dtype: dtype of weights and computation.

    Raises:
        ValueError: if `heads` does not divide `width` or `patch` does not divide
            `side`, or for fewer than 2 layers.
    """

    width: int
    depth: int
    heads: int
    mlp_width: int
    side: int = 224
    patch: int = 14
    activation: str = "gelu"
    epsilon: float = 1e-5
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        if self.width % self.heads or self.side % self.patch:
            raise ValueError(
                f"{self.width=} must divide into {self.heads=}, and {self.side=} into "
                f"{self.patch=}"
            )
        if self.depth < 2:
            raise ValueError(
                f"the layer before the last one is read, got {self.depth=}"
            )

    @classmethod
    def vit_h_14(cls, dtype: str = "bfloat16") -> "CLIPImageConfig":
        """The image encoder of Wan 2.1: ViT-H/14 (XLM-RoBERTa large)."""
        return cls(width=1280, depth=32, heads=16, mlp_width=5120, dtype=dtype)

    @property
    def tokens(self) -> int:
        """The number of tokens: one per patch, and one for the whole image."""
        return 1 + (self.side // self.patch) ** 2


class CLIPImageEncoder(nnx.Module):
    """Encodes images as tokens; the layers are stacked and scanned."""

    def __init__(self, config: CLIPImageConfig, *, rngs: nnx.Rngs):
        c, dtype = config.width, jnp.dtype(config.dtype)
        self.config = config
        pooled = c**-0.5 * rngs.params.normal((c,))
        self.whole = nnx.Param(pooled.astype(dtype), axes=(None,))
        values = 3 * config.patch**2
        self.patches = Linear(
            values, c, axes=(None, "width"), bias=False, dtype=dtype, rngs=rngs
        )
        self.positions = Embedding(
            config.tokens, c, axes=(None, "width"), dtype=dtype, rngs=rngs
        )
        self.norm_in = LayerNorm(c, epsilon=config.epsilon)
        self.layers = stack(lambda rngs: Block(config, rngs=rngs), config.depth, rngs)
        self.norm_out = LayerNorm(c, epsilon=config.epsilon)

    def __call__(self, pixels: Float[Array, "b h w 3"]) -> Float[Array, "b e c"]:
        """The tokens after the second-to-last layer.

        Args:
            pixels: images with values in [0, 1].

        Raises:
            ValueError: for images of another size.
        """
        side, patch = self.config.side, self.config.patch
        if pixels.shape[1:3] != (side, side):
            raise ValueError(f"pictures are {side} x {side}, got {pixels.shape}")
        mean, std = (along_last(jnp.array(x, jnp.float32), pixels) for x in (MEAN, STD))
        x = to_patches(((pixels - mean) / std)[:, None], (1, patch, patch))
        x = self.patches(x)
        pooled = jnp.broadcast_to(self.whole[...], (len(x), 1, x.shape[-1]))
        x = jnp.concatenate([pooled, x], axis=1) + self.positions.table[...][None]
        seen = jnp.ones((len(x), x.shape[1], x.shape[1]), bool)

        def layer(x: Array, block: Block) -> tuple[Array, None]:
            return block(x, seen), None

        read = jax.tree.map(lambda x: x[:-1], self.layers)
        return jax.lax.scan(layer, self.norm_in(x), read)[0]
