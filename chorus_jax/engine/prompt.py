"""The engine's view of a prompt: its embedding, its tokens and its words."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float16, Float32, Int, Int32

from chorus_jax.inter_request.match.matching import Query
from chorus_jax.inter_request.match.meaning import projection, word_meanings
from chorus_jax.inter_request.match.words import Word, split_words, word_keys
from chorus_jax.text.prompts import Tokens


@dataclass(frozen=True, eq=False)
class PromptText:
    """A request's tokens, and the words of its prompt.

    Attributes:
        tokens: the tokens of the prompt and, with guidance, of the negative prompt.
        words: the words of the part of the prompt that the model reads.
        keys: the keyed digest of each word.
    """

    tokens: Tokens
    words: tuple[Word, ...]
    keys: tuple[bytes, ...]

    @classmethod
    def of(cls, tokens: Tokens, secret: bytes) -> "PromptText":
        """Splits the prompt of one request into words.

        Args:
            tokens: the request's tokens (`VideoModel.tokens`).
            secret: the key of the words' digests (`Secret.for_words`).
        """
        # Text beyond the model's limit is not compared, which bounds the work.
        words = split_words(tokens.texts[0])
        return cls(tokens, words, word_keys(words, secret))

    @property
    def length(self) -> int:
        """The number of tokens of the prompt, without padding."""
        return int(self.tokens.mask[0].sum())

    @property
    def spans(self) -> Int32[np.ndarray, "m 2"]:
        """The range of characters of each of the prompt's tokens."""
        return self.tokens.spans[0]


@dataclass(frozen=True, eq=False)
class PromptReading:
    """The features of a prompt by which it is matched (see `read`).

    Attributes:
        text: the prompt's tokens and words.
        embedding: the embedding of the whole prompt, of norm 1.
        meanings: a vector per word, from the model's text values (see `word_meanings`).
    """

    text: PromptText
    embedding: Float32[np.ndarray, " d"]
    meanings: Float16[np.ndarray, "u e"]

    @classmethod
    def of(cls, text: PromptText, values: Array) -> "PromptReading":
        """Builds the reading of one prompt.

        Args:
            text: its tokens and words.
            values: cross-attention values of its tokens (`VideoModel.text_values`).
        """
        embedding, per_token = read(values, np.int32(text.length))
        spans = text.spans[: len(per_token)]
        meanings = word_meanings(text.words, spans, per_token[: len(spans)])
        return cls(text, embedding, meanings)

    def query(self, recipe: str, namespace: str, own_only: bool = False) -> Query:
        """The query that looks for a source of this prompt in the cache."""
        keys, meanings = self.text.keys, self.meanings
        return Query(recipe, namespace, self.embedding, keys, meanings, own_only)


def read(
    values: Float[Array, "l m c"], length: Int[Array, ""] | np.int32
) -> tuple[Float32[np.ndarray, " d"], Float32[np.ndarray, "m e"]]:
    """Embeds a prompt by the values of the video model's cross-attention.

    The mean output of the text encoder hardly separates prompts: for prompts of the
    shapes world that have nothing in common, its cosine is .95, against .2 for these
    values. The values also contain only what can affect pixels. (The Chorus paper
    embeds prompts by CLIP.)

    Args:
        values: the values of the prompt's tokens in each layer.
        length: the number of tokens, without padding.

    Returns:
        The mean over tokens and layers, scaled to norm 1; and for each token the mean
        over layers, projected to a few numbers (see `meaning`).
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
    # The projection is a constant of the program, not sent to the device per request.
    return own.sum(axis=(0, 1)), per_token @ projection(per_token.shape[1])
