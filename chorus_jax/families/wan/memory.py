"""The least memory that a request to a Wan needs."""

from chorus_jax.checkpoints import Card
from chorus_jax.families import memory
from chorus_jax.families.wan.parts import parts_of, stored_names
from chorus_jax.families.wan.sizes import Sizes
from chorus_jax.request import Request


def least_memory(sizes: Sizes, card: Card, transformer: str, request: Request) -> int:
    """A lower bound of the bytes that a request needs, with the weights."""
    names = stored_names(transformer)
    return memory.least_memory(
        [card.part(names[name]) for name in parts_of(card, transformer)],
        sizes.transformer,
        sizes.grid(request),
        sizes.latent_shape(request),
        request,
    )
