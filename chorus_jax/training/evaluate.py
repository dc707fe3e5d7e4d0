"""Whether a model learns: its loss by noise level, with right and wrong captions."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
CLIPS = 32


def caption_sets(right: list[str]) -> dict[str, list[str]]:
    """The captions of some clips, those of their neighbours, and none."""
    return {"right": right, "wrong": right[1:] + right[:1], "none": [""] * len(right)}


def losses_by_level(
    error: Callable[[list[str], Float[Array, " b"]], Array], right: list[str]
) -> dict[str, float]:
    """Mean `error(captions, sigmas)` of clips by captions and noise level.

    Where `right` is not below `wrong` the text has no effect.
    """
    figures = {}
    for name, captions in caption_sets(right).items():
        for level in LEVELS:
            errors = error(captions, jnp.full(len(right), level))
            figures[f"{name}_{level}"] = float(np.asarray(errors).mean())
    return figures
