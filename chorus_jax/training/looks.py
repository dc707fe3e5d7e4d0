"""Positional heads: attention that starts as a function of the distance only.

The transformer knows positions through rotary embeddings only, and learning to use them
takes most of a training. So some heads start with constant queries and keys, whose
product is largest for a key at a given offset from the query: the same place, or a few
tokens to one side. Heads for all four sides tell a token of an object on which side the
object ends. The idea is from mimetic initialisation (arXiv 2305.09828); the form of
these heads is ours.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from chorus_jax.families.wan.config import WanConfig
from chorus_jax.nets.rotary import PERIOD, axis_pairs
from chorus_jax.training.params import Params

# The offset that a head attends to, in tokens along frames, height and width; None
# stands for any.
Look = tuple[int | None, int | None, int | None]

PLACE: Look = (None, 0, 0)  # the same place in all frames
AROUND: Look = (0, 0, 0)
TIME: Look = (0, None, None)
ROW: Look = (None, 0, None)
COLUMN: Look = (None, None, 0)
SIDES: tuple[Look, ...] = ((None, 0, 2), (None, 0, -2), (None, 2, 0), (None, -2, 0))

CONSTANT = 4.0  # size of queries and keys at the two fastest angles of a fixed axis
CONTENT = 0.3  # factor of these heads' query and key kernels
SHARPNESS = 1.6  # factor of the scales of their query and key norms


def looks(config: WanConfig) -> tuple[Look, ...]:
    """The offsets to which the first heads of a new model attend."""
    return (PLACE, AROUND, TIME) if config.patch[0] == 1 else (PLACE, ROW, COLUMN)


def sides(config: WanConfig) -> tuple[Look, ...]:
    """The offsets for the first heads of layers added to a trained model."""
    return (*SIDES, *looks(config))


def with_looks(params: Params, config: WanConfig, seen: tuple[Look, ...]) -> Params:
    """The parameters with a positional head per offset in `seen`, up to the number of
    heads."""
    looking = np.arange(config.width) < config.head_width * len(seen)
    changed = dict(params)
    for name, constant in zip(("q", "k"), constants(config, seen), strict=True):
        name = f"layers.attn.{name}"
        kernel = params[f"{name}.kernel"]
        changed[f"{name}.kernel"] = kernel * np.where(looking, CONTENT, 1)[None, None]
        changed[f"{name}.bias"] = params[f"{name}.bias"] + constant[None]
        scale = jnp.asarray(np.where(looking, SHARPNESS, 1), jnp.float32)
        norm = params[f"{name}_norm.scale"]
        changed[f"{name}_norm.scale"] = norm * scale[None]
    return {k: x.astype(jnp.float32) for k, x in changed.items()}


def constants(
    config: WanConfig, seen: tuple[Look, ...]
) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, " c"]]:
    """The constant parts of queries and of keys (see `nets.rotary` for the channels).

    A key is rotated back by the rotary angle of its head's offset, so that the product
    is largest there.
    """
    counts = axis_pairs(config.head_width)
    queries = np.zeros((config.heads, config.head_width), np.float32)
    keys = np.zeros_like(queries)
    for query, key, look in zip(queries, keys, seen):
        for axis, on in enumerate(look):
            if on is None:
                continue
            few = np.arange(min(2, counts[axis]))
            pairs = sum(counts[:axis]) + few
            angles = on * PERIOD ** (-few / counts[axis])
            query[2 * pairs] = CONSTANT
            key[2 * pairs] = CONSTANT * np.cos(angles)
            key[2 * pairs + 1] = -CONSTANT * np.sin(angles)
    return queries.reshape(-1), keys.reshape(-1)
