"""The least memory that a request needs, to refuse what cannot run before it does."""

import math
from collections.abc import Iterable

from chorus_jax.checkpoints.card import Part
from chorus_jax.devices.memory import check_memory
from chorus_jax.families.describing import DescribedSizes
from chorus_jax.nets.tokens import Size
from chorus_jax.request import Request

BYTES = {"bfloat16": 2, "float32": 4}
STREAMS = 4  # arrays as wide as the tokens that a layer holds at the least
LATENTS = 3  # noise, the state and the velocity, in float32


def least_memory(
    stored: Iterable[Part],
    config: DescribedSizes,
    grid: Size,
    latents: tuple[int, ...],
    request: Request,
) -> int:
    """A lower bound of the bytes that a request needs, with the weights.

    Args:
        stored: the parts that are loaded.
        config: of the transformer.
        grid: the video's tokens along frames, height and width.
        latents: their shape.
        request: is asked for.
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
