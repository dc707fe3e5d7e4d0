"""A lower bound of a request's memory, to refuse one that cannot fit before it runs."""

import math
from collections.abc import Iterable

from chorus_jax.checkpoints.card import Part
from chorus_jax.devices.memory import check_memory
from chorus_jax.families.describing import DescribedSizes
from chorus_jax.nets.tokens import Size
from chorus_jax.request import Request

BYTES = {"bfloat16": 2, "float32": 4}
STREAMS = 4  # least number of arrays of the tokens' size that a layer holds at once
LATENTS = 3  # noise, the state and the velocity, in float32


def least_memory(
    stored: Iterable[Part],
    config: DescribedSizes,
    grid: Size,
    latents: tuple[int, ...],
    request: Request,
) -> int:
    """A lower bound of the bytes that a request needs, weights included.

    Args:
        stored: the parts that are loaded.
        config: the transformer's config.
        grid: the video's tokens along frames, height and width.
        latents: the shape of the latents.
        request: the request to run.
    """
    weights = sum(part.parameters * BYTES[part.dtype] for part in stored)
    tokens = math.prod(grid) * request.passes * config.heads * config.head_width
    frames = request.frames * request.height * request.width * 3
    work = tokens * BYTES[config.dtype] * STREAMS
    return weights + max(work + math.prod(latents) * LATENTS * 4, frames)


def check_request_memory(needed: int, request: Request) -> None:
    """ValueError if a request needs more memory than there is."""
    check_memory(
        needed,
        f"{request.frames} frames of {request.width}x{request.height} pixels",
        "give a smaller width and height, or fewer frames",
    )
