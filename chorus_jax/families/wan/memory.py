"""The least memory that a request to a Wan needs."""

from chorus_jax.checkpoints import Card
from chorus_jax.families import memory
from chorus_jax.families.wan.experts import LOW
from chorus_jax.families.wan.parts import parts_of, stored_names
from chorus_jax.families.wan.sizes import Sizes
from chorus_jax.request import Request


def least_memory(sizes: Sizes, card: Card, transformer: str, request: Request) -> int:
    """A lower bound of the bytes that a request needs, with the weights of all parts
    but an idle expert, which may be in the host's memory."""
    names = stored_names(transformer)
    return memory.least_memory(
        [card.part(names[x]) for x in parts_of(card, transformer) if x != LOW],
        sizes.transformer,
        sizes.grid(request),
        sizes.latent_shape(request),
        request,
    )
