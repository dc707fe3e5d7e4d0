"""What the engine knows of a prompt: its embedding, its tokens, its words."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from chorus_jax.inter_request.words import Word, split_words, word_keys
from chorus_jax.text import Conditioning, Tokens, clean


@dataclass(frozen=True, eq=False)
class Prompt:
    """A prompt as it is matched: `embedding` is the mean of the text encoder's output
    over its tokens, of norm 1; `keys` are those of its words."""

    text: str
    embedding: Float32[np.ndarray, " d"]
    tokens: Tokens
    words: tuple[Word, ...]
    keys: tuple[bytes, ...]

    @classmethod
    def of(
        cls, text: str, encoded: Conditioning, tokens: Tokens, secret: bytes
    ) -> "Prompt":
        """The prompt in the first row of these; the secret is that for words."""
        cleaned = clean(text)
        return cls(
            text,
            pooled(encoded),
            tokens.row(0),
            split_words(cleaned),
            word_keys(cleaned, secret),
        )


def pooled(encoded: Conditioning) -> Float32[np.ndarray, " d"]:
    """The mean over the tokens of the first prompt, of norm 1."""
    length = int(encoded.lengths[0])
    rows = np.asarray(encoded.embeddings[0, :length].astype(jnp.float32))
    mean = rows.mean(axis=0)
    return mean / np.float32(max(float(np.linalg.norm(mean)), 1e-12))
