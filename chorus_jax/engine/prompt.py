"""What the engine knows of a prompt: its embedding, its tokens, its words."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

from chorus_jax.inter_request.words import Word, split_words, word_keys
from chorus_jax.models.wan_attention import Context
from chorus_jax.text import Tokens, clean


@dataclass(frozen=True, eq=False)
class Prompt:
    """A prompt as it is matched: its embedding (`embedded`), tokens and words, and the
    keys of these."""

    text: str
    embedding: Float32[np.ndarray, " d"]
    tokens: Tokens
    words: tuple[Word, ...]
    keys: tuple[bytes, ...]

    @classmethod
    def of(cls, text: str, context: Context, tokens: Tokens, secret: bytes) -> "Prompt":
        """The prompt in the first row of these; the secret is that for words."""
        cleaned, length = clean(text), jnp.int32(tokens.mask[0].sum())
        return cls(
            text,
            embedded(context, length),
            tokens.row(0),
            split_words(cleaned),
            word_keys(cleaned, secret),
        )


def embedded(context: Context, length: Int[Array, ""]) -> Float32[np.ndarray, " d"]:
    """What the video model reads of the first prompt, of norm 1.

    The mean of cross-attention's values over the prompt's tokens and all layers. The
    text encoder's own output, averaged, hardly tells prompts apart (cosines of .95
    between prompts of the shapes world that have nothing in common, where these have
    .2); what moves no pixel is not in these values. Chorus embeds by CLIP.
    """
    mean = np.asarray(_mean(context.text.value, length))
    return mean / np.float32(max(float(np.linalg.norm(mean)), 1e-12))


@jax.jit
def _mean(
    values: Float[Array, "l r m a d"], length: Int[Array, ""]
) -> Float32[Array, " c"]:
    own = values[:, 0].astype(jnp.float32)
    mask = (jnp.arange(own.shape[1]) < length)[None, :, None, None]
    return jnp.where(mask, own, 0).sum(axis=(0, 1)).reshape(-1)
