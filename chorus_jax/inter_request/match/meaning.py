"""Meanings of a prompt's words to the model, and the distance of two prompts.

A mean over a prompt hides the one word that matters, the more the longer the prompt is;
counting words holds a synonym against a prompt as it holds an opposite. So each word is
compared by itself, by what the model makes of it where it stands. This is ours; Chorus
takes the nearest embedding (arXiv 2604.04451).
"""

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float16, Float32, Int32

from chorus_jax.inter_request.match.words import Word, touching

WIDTH = 64  # squared distances keep their size to within a fifth, mostly


@functools.cache
def projection(width: int) -> Float32[np.ndarray, "c e"]:
    """A fixed random projection of vectors of a width to `WIDTH` numbers, which keeps
    distances nearly (Johnson and Lindenstrauss; signs as in Achlioptas, 2003)."""
    # RandomState's stream is frozen: what is stored must be comparable for good.
    signs = np.random.RandomState(0).randint(0, 2, (width, WIDTH))
    return ((2 * signs - 1) / WIDTH**0.5).astype(np.float32)


def word_meanings(
    words: Sequence[Word],
    spans: Int32[np.ndarray, "m 2"],
    tokens: Float[np.ndarray, "m e"],
) -> Float16[np.ndarray, "u e"]:
    """The mean of each word's tokens, the root of the mean squared norm being 1.

    `spans` are the characters of each token in the text that was split into words. A
    word without a token (it was cut off) is 0.
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
    """The distance of each word from all words of the other prompt, 0 to 1.

    1 is the length of a word's meaning, or more. Words without tokens have none, 0, so
    sources of several lengths are filled up with zeros. ValueError for meanings of
    other widths.
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
    # What has no tokens is no word to be near to.
    squared = np.where((own > 0)[:, None] & (their > 0)[..., None, :], squared, 1)
    return np.where(own > 0, nearest(-1), 0), np.where(their > 0, nearest(-2), 0)
