"""The engine's view of a prompt: its embedding, its tokens, its words."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float16, Float32, Int

from chorus_jax.inter_request.match.matching import Query
from chorus_jax.inter_request.match.meaning import projection, word_meanings
from chorus_jax.inter_request.match.words import Word, split_words, word_keys
from chorus_jax.text.prompts import Tokens


@dataclass(frozen=True, eq=False)
class PromptReading:
    """A prompt as it is matched (see `read`).

    Attributes:
        text: the prompt as it was given.
        embedding: that of the prompt, of norm 1.
        tokens: what the text encoder reads.
        words: its words, as far as the model reads the prompt.
        keys: their keyed digests, one per word.
        meanings: what the model reads of each word, one row per word.
    """

    text: str
    embedding: Float32[np.ndarray, " d"]
    tokens: Tokens
    words: tuple[Word, ...]
    keys: tuple[bytes, ...]
    meanings: Float16[np.ndarray, "u e"]

    @classmethod
    def of(
        cls, text: str, values: Array, tokens: Tokens, secret: bytes
    ) -> "PromptReading":
        """The prompt with what the model reads of it (`VideoModel.text_values`); the
        secret is that for words."""
        # What the model does not read is not compared: the work is bounded.
        [cleaned] = tokens.texts
        length = jnp.int32(tokens.mask[0].sum())
        words = split_words(cleaned)
        embedding, per_token = read(values, length)
        spans = tokens.spans[0][: len(per_token)]
        return cls(
            text,
            embedding,
            tokens.row(0),
            words,
            word_keys(cleaned, secret),
            word_meanings(words, spans, per_token[: len(spans)]),
        )

    def query(self, recipe: str, namespace: str, own_only: bool = False) -> Query:
        """The query by which a source of this prompt is looked for."""
        return Query(
            recipe, namespace, self.embedding, self.keys, self.meanings, own_only
        )


def read(
    values: Float[Array, "l m c"], length: Int[Array, ""]
) -> tuple[Float32[np.ndarray, " d"], Float32[np.ndarray, "m e"]]:
    """The first prompt as the video model reads it: one vector of all, and one per
    token.

    The values of cross-attention: their mean over the prompt's tokens and all layers,
    made of norm 1, and of each token their mean over the layers, projected to a few
    numbers (see `meaning`). The text encoder's own output, averaged, hardly tells
    prompts apart (cosines of .95 between prompts of the shapes world that have nothing
    in common, where these have .2); what moves no pixel is not in these values. Chorus
    embeds by CLIP.
    """
    mean, tokens = (np.asarray(x) for x in _read(values, length))
    return mean / np.float32(max(float(np.linalg.norm(mean)), 1e-12)), tokens


@jax.jit
def _read(
    values: Float[Array, "l m c"], length: Int[Array, ""]
) -> tuple[Float32[Array, " c"], Float32[Array, "m e"]]:
    own = values.astype(jnp.float32)
    mask = (jnp.arange(own.shape[1]) < length)[None, :, None]
    own = jnp.where(mask, own, 0)
    per_token = own.mean(axis=0)
    # A constant of the program: it is not sent to the device for every request.
    return own.sum(axis=(0, 1)), per_token @ projection(per_token.shape[1])
