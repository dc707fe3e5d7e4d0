"""Losses by noise level with right and wrong captions, to see whether they matter."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
CLIPS = 32


def caption_sets(right: list[str]) -> dict[str, list[str]]:
    """Sets of captions: the clips' own, their neighbours' and empty ones."""
    return {"right": right, "wrong": right[1:] + right[:1], "none": [""] * len(right)}


def losses_by_level(
    error: Callable[[list[str], Float[Array, " b"]], Array], right: list[str]
) -> dict[str, float]:
    """The mean `error(captions, sigmas)` for each set of captions and noise level.

    Args:
        error: the loss of each clip with these captions at these noise levels.
        right: the clips' own captions.

    Returns:
        Losses named such as `right_0.5` (see `caption_sets`). If `right` losses are not
        below `wrong` ones, the text has no effect.
    """
    figures = {}
    for name, captions in caption_sets(right).items():
        for level in LEVELS:
            errors = error(captions, jnp.full(len(right), level))
            figures[f"{name}_{level}"] = float(np.asarray(errors).mean())
    return figures
