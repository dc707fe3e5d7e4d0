"""The least memory that a request needs, to refuse what cannot run before it does."""

import math

from chorus_jax.checkpoints import Card
from chorus_jax.families.wan.parts import parts_of, stored_names
from chorus_jax.families.wan.sizes import Sizes
from chorus_jax.request import Request

BYTES = {"bfloat16": 2, "float32": 4}
STREAMS = 4  # arrays as wide as the tokens that a layer holds at the least
LATENTS = 3  # noise, the state and the velocity, in float32


def least_memory(sizes: Sizes, card: Card, transformer: str, request: Request) -> int:
    """A lower bound of the bytes that a request needs, with the weights."""
    names = stored_names(transformer)
    stored = [card.part(names[name]) for name in parts_of(card, transformer)]
    weights = sum(part.parameters * BYTES[part.dtype] for part in stored)
    rows = 2 if request.guided else 1
    tokens = math.prod(sizes.grid(request)) * rows * sizes.transformer.width
    latents = math.prod(sizes.latent_shape(request)) * LATENTS * 4
    frames = request.frames * request.height * request.width * 3
    work = tokens * BYTES[sizes.transformer.dtype] * STREAMS
    return weights + max(work + latents, frames)
