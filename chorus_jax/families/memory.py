"""A lower bound of a request's memory, to refuse one that cannot fit before it runs."""

import math
from collections.abc import Mapping

from chorus_jax.checkpoints.card import Part
from chorus_jax.devices.memory import check_memory
from chorus_jax.families.describing import DescribedSizes
from chorus_jax.families.protocols import LoadOptions
from chorus_jax.families.single_stream.model import TEXT_ENCODER
from chorus_jax.nets.tokens import Size
from chorus_jax.request import Request

BYTES = {"bfloat16": 2, "float32": 4}
STREAMS = 4  # least number of arrays of the tokens' size that a layer holds at once
LATENTS = 3  # noise, the state and the velocity, in float32


def least_memory(
    stored: Mapping[str, Part],
    config: DescribedSizes,
    grid: Size,
    latents: tuple[int, ...],
    request: Request,
    options: LoadOptions,
    batch: int = 1,
) -> int:
    """A lower bound of the bytes that a request needs, weights included.

    Args:
        stored: the parts that are on the devices at a time, by the names that they are
            loaded under.
        config: the transformer's config.
        grid: the video's tokens along frames, height and width.
        latents: the shape of the latents.
        request: the request to run.
        options: those that the model is loaded with.
        batch: the number of such requests that run at once.
    """
    width = lambda stored: BYTES[options.dtype or stored]
    weights = {
        name: part.parameters * width(part.dtype) for name, part in stored.items()
    }
    loaded = sum(weights.values())
    encoder = 0 if options.keep_text_encoder else weights[TEXT_ENCODER]
    tokens = math.prod(grid) * request.passes * config.heads * config.head_width
    frames = request.frames * request.height * request.width * 3
    work = tokens * width(config.dtype) * STREAMS
    run = batch * max(work + math.prod(latents) * LATENTS * 4, frames)
    return max(loaded, loaded - encoder + run)


def check_request_memory(needed: int, request: Request, batch: int = 1) -> None:
    """Raises a ValueError if `batch` such requests need more memory than there is."""
    size = f"{request.frames} frames of {request.width}x{request.height} pixels"
    what, fewer = size, ""
    if batch > 1:
        what, fewer = f"{batch} videos at once, each of {size},", ", or fewer at once"
    check_memory(
        needed, what, f"give a smaller width and height, or fewer frames{fewer}"
    )
