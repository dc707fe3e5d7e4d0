"""The least memory that a request to a Wan needs."""

from chorus_jax.checkpoints import Card
from chorus_jax.families import memory
from chorus_jax.families.protocols import HOST, LoadOptions
from chorus_jax.families.wan.experts import LOW
from chorus_jax.families.wan.parts import parts_of, stored_names
from chorus_jax.families.wan.sizes import Sizes
from chorus_jax.request import Request


def least_memory(
    sizes: Sizes,
    card: Card,
    request: Request,
    options: LoadOptions,
    batch: int = 1,
    held_keys: bool = False,
) -> int:
    """A lower bound of the bytes that `batch` such requests need on a device, including
    the weights of all parts except an idle expert in the host's memory.

    `held_keys`: whether the keys and values of all tokens are held too.
    """
    names = stored_names(options.transformer)
    idle = (LOW,) if options.idle_expert == HOST else ()
    loaded = (x for x in parts_of(card, options.transformer) if x not in idle)
    return memory.least_memory(
        {name: card.part(names[name]) for name in loaded},
        sizes.transformer,
        sizes.grid(request),
        sizes.latent_shape(request),
        request,
        options,
        batch,
        held_keys,
    )
