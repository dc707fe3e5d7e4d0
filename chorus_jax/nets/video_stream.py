"""Runs a causal network along the frames of a video, a few frames at a time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def stream(
    step: Callable[[Array, Any], tuple[Array, Any]],
    x: Float[Array, "b f h w i"],
    group: int,
    yields: int,
) -> Float[Array, "b t y x o"]:
    """Runs a causal network on the first frame of a video, then group by group.

    Outputs are written in place: besides its result the loop needs the memory of one
    group, for videos of any length.

    Args:
        step: the network: `step(frames, past) -> (frames, past)`, with a past of None
            for the first frame.
        x: the frames of the video.
        group: frames per group after the first frame.
        yields: the number of output frames of a group; the first frame gives one.

    Raises:
        ValueError: unless the number of frames is 1 plus a multiple of `group`.
    """
    steps, beyond = divmod(x.shape[1] - 1, group)
    if beyond:
        raise ValueError(
            f"a video has 1 + a multiple of {group} frames, got {x.shape[1]}: cut it"
        )
    first, past = step(x[:, :1], None)
    if not steps:
        return first
    b, _, *shape = first.shape
    video = jnp.zeros((b, 1 + steps * yields, *shape), first.dtype)
    video = jax.lax.dynamic_update_slice_in_dim(video, first, 0, axis=1)

    def advance(
        carry: tuple[Any, Array], index: Array
    ) -> tuple[tuple[Any, Array], None]:
        past, video = carry
        frames = jax.lax.dynamic_slice_in_dim(x, 1 + index * group, group, axis=1)
        y, past = step(frames, past)
        at = 1 + index * yields
        return (past, jax.lax.dynamic_update_slice_in_dim(video, y, at, axis=1)), None

    (_, video), _ = jax.lax.scan(advance, (past, video), jnp.arange(steps))
    return video
