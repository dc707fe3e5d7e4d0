"""Meanings: the text encoder's vectors of a prompt's words, and distances between them.

The mean embedding of a prompt hides the one word that matters, especially in a long
prompt, and counting differing words treats a synonym like an opposite. So words are
compared one by one, by the vectors that the model computes for them in their context.
This is our addition; Chorus takes the nearest embedding (arXiv 2604.04451).
"""

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float16, Float32, Int32

from chorus_jax.inter_request.match.words import Word, touching

WIDTH = 64  # enough for most squared distances to change by less than a fifth


@functools.cache
def projection(width: int) -> Float32[np.ndarray, "c e"]:
    """A fixed random projection from `width` to `WIDTH` dimensions.

    It nearly preserves distances (Johnson and Lindenstrauss; random signs as in
    Achlioptas, 2003).
    """
    # RandomState never changes its stream, so stored meanings stay comparable.
    signs = np.random.RandomState(0).randint(0, 2, (width, WIDTH))
    return ((2 * signs - 1) / WIDTH**0.5).astype(np.float32)


def word_meanings(
    words: Sequence[Word],
    spans: Int32[np.ndarray, "m 2"],
    tokens: Float[np.ndarray, "m e"],
) -> Float16[np.ndarray, "u e"]:
    """The mean token vector of each word, scaled to a root-mean-square norm of 1.

    Args:
        words: the words of a text.
        spans: the first character of each token in that text, and the one after its
            last.
        tokens: a vector per token.

    Returns:
        A vector per word; zeros for a word without tokens (the text was truncated).
    """
    touch = touching(words, spans).astype(np.float32)
    count = touch.sum(axis=1, keepdims=True)
    means = touch @ tokens.astype(np.float32) / np.maximum(count, 1)
    squared = (means**2).sum(axis=1)[count[:, 0] > 0]
    scale = np.sqrt(squared.mean()) if squared.any() else 1.0
    return (means / scale).astype(np.float16)


def gaps(
    target: Float16[np.ndarray, "u _"], source: Float16[np.ndarray, "*k v _"]
) -> tuple[Float32[np.ndarray, "*k u"], Float32[np.ndarray, "*k v"]]:
    """The distance of each word to the nearest word of the other prompt, 0 to 1.

    Distances of meanings are clipped at 1, the root-mean-square norm of a prompt's
    meanings. Words without tokens (zeros) have the distance 0 and are not compared with
    others, so sources with fewer words can be padded with zeros.

    Args:
        target: the meanings of the target's words.
        source: the meanings of the source's words, of one source or several.

    Returns:
        The distances of the target's words, then of the source's words.

    Raises:
        ValueError: for meanings of different widths.
    """
    if target.shape[-1] != source.shape[-1]:
        raise ValueError(
            f"meanings of {target.shape[-1]} and of {source.shape[-1]} numbers cannot "
            "be compared: they are of two models"
        )
    ours, others = target.astype(np.float32), source.astype(np.float32)
    own, their = (np.add.reduce(x * x, axis=-1) for x in (ours, others))
    squared = own[:, None] + their[..., None, :] - 2 * ours @ others.swapaxes(-1, -2)
    least = lambda axis: np.minimum.reduce(squared, axis=axis, initial=1)
    nearest = lambda axis: np.sqrt(np.maximum(least(axis), 0))
    if own.all() and their.all():
        return nearest(-1), nearest(-2)
    # Words without tokens must not count as near to any word.
    squared = np.where((own > 0)[:, None] & (their > 0)[..., None, :], squared, 1)
    return np.where(own > 0, nearest(-1), 0), np.where(their > 0, nearest(-2), 0)
