"""Random vectors whose cosines are distributed like those of users' prompt embeddings.

Prompts come in families: most are near to an earlier one, and some are repeated. Among
106 910 public prompts of several sources in their order of arrival, embedded by
all-MiniLM-L6-v2, the cosine with the nearest earlier prompt had the quantiles below,
and two random prompts had a cosine of about 0.12. So each vector here is drawn near to
a random earlier one, at a cosine from that distribution, and all share a common
direction. The lowest cosine (0.4) is our choice. In few dimensions another vector may
be nearer by chance.
"""

import numpy as np
from jaxtyping import Float32

SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
COSINES = (0.4, 0.52, 0.59, 0.67, 0.81, 0.96, 1.0)
COMMON = 0.12  # cosine of two unrelated vectors
FIRST, BLOCK = 16, 8192  # unrelated vectors at the start; vectors drawn at once

Vectors = Float32[np.ndarray, "n d"]


def vectors(count: int, width: int, rng: np.random.Generator) -> Vectors:
    """Random unit vectors [count, width].

    All but the first few are near to an earlier one.
    """
    drawn = np.empty((count, width), np.float32)
    done = min(FIRST, count)
    drawn[:done] = _with_common(_apart(done, width, rng))
    while done < count:
        size = min(done, count - done, BLOCK)
        drawn[done : done + size] = followers(drawn[:done], size, rng)
        done += size
    return drawn


def followers(earlier: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    """Random unit vectors, each near to a random one of `earlier`.

    Their cosines have the distribution of SHARES and COSINES.
    """
    like = earlier[rng.integers(len(earlier), size=count)]
    own = (like - np.sqrt(COMMON) * _common(like.shape[1])) / np.sqrt(1 - COMMON)
    cosines = np.interp(rng.random(count), SHARES, COSINES).astype(np.float32)
    share = ((cosines - COMMON) / (1 - COMMON))[:, None]
    new = _apart(count, like.shape[1], rng)
    new -= np.sum(new * own, axis=1, keepdims=True) * own
    new /= np.linalg.norm(new, axis=1, keepdims=True)
    return _with_common(share * own + np.sqrt(1 - share**2) * new)


def _common(width: int) -> Float32[np.ndarray, " d"]:
    return np.full(width, width**-0.5, np.float32)


def _apart(count: int, width: int, rng: np.random.Generator) -> Vectors:
    """Random unit vectors orthogonal to the common direction."""
    drawn = rng.standard_normal((count, width), np.float32)
    drawn -= drawn.mean(axis=1, keepdims=True)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def _with_common(own: Vectors) -> Vectors:
    common = np.sqrt(COMMON) * _common(own.shape[1])
    return (common + np.sqrt(1 - COMMON) * own).astype(np.float32)
