"""A lower bound of a request's memory, to refuse one that cannot fit before it runs."""

import math
from collections.abc import Mapping

from jax.sharding import Mesh

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
    held_keys: bool = False,
) -> int:
    """A lower bound of the bytes that a request needs on a device, weights included.

    On a mesh, weights are split by its axis `tensor` alone, and arrays of a run at most
    by all axes.

    Args:
        stored: the parts that are on the devices at a time, by the names that they are
            loaded under.
        config: the transformer's config.
        grid: the video's tokens along frames, height and width.
        latents: the shape of the latents.
        request: the request to run.
        options: those that the model is loaded with.
        batch: the number of such requests that run at once.
        held_keys: whether the keys and values of all tokens are held too; they also
            are for token budgets with steps that run a part of the tokens.
    """
    width = lambda stored: BYTES[options.dtype or stored]
    weights = {
        name: part.parameters * width(part.dtype) for name, part in stored.items()
    }
    loaded = sum(weights.values())
    encoder = 0 if options.keep_text_encoder else weights[TEXT_ENCODER]
    tokens = math.prod(grid) * request.passes * config.heads * config.head_width
    stream = tokens * width(config.dtype)
    budgets = request.token_budgets
    held = held_keys or (budgets is not None and budgets.splits)
    keys = 2 * config.depth * stream if held else 0
    frames = request.frames * request.height * request.width * 3
    work = STREAMS * stream + keys + math.prod(latents) * LATENTS * 4
    run = batch * max(work, frames)
    split, devices = 1, 1
    if options.mesh is not None:
        split, devices = options.mesh.shape["tensor"], options.mesh.size
    return max(loaded // split, (loaded - encoder) // split + run // devices)


def check_request_memory(
    needed: int, request: Request, batch: int = 1, mesh: Mesh | None = None
) -> None:
    """Raises a ValueError if `batch` such requests need more memory than a device has.

    Args:
        needed: a lower bound of the bytes on a device.
        request: the request.
        batch: the number of requests.
        mesh: the devices; None for jax's default device.
    """
    size = f"{request.frames} frames of {request.width}x{request.height} pixels"
    what, fewer = size, ""
    if request.token_budgets is not None:
        fewer = ", or leave token budgets out"
    if batch > 1:
        what, fewer = f"{batch} videos at once, each of {size},", ", or fewer at once"
    advice = f"give a smaller width and height, or fewer frames{fewer}"
    check_memory(needed, what, advice, mesh)
