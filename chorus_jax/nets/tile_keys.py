"""Keys and values of all tiles of a video, held over steps and split over devices.

Where tokens are exchanged for heads, each device holds those of its heads; in a ring,
those of its tiles. What is held never moves: the tiles that are run come to it.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int

from chorus_jax.devices import sharding
from chorus_jax.nets.context_parallel import ContextSplit
from chorus_jax.nets.tokens import Tiling


class Keys(NamedTuple):
    """Keys and values, with a leading axis of layers where they are stacked.

    Attributes:
        key: one vector per token and head.
        value: one vector per token and head.
    """

    key: Float[Array, "*l b m a d"]
    value: Float[Array, "*l b m a d"]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["key", "value"],
    meta_fields=["heads"],
)
@dataclass(frozen=True)
class TileKeys:
    """Keys and values of all tiles (s tokens each), stacked as `Keys` are.

    The heads lie side by side, as projections leave them and kernels read them: a TPU
    would fill up an axis of few heads, and copy to change the layout. In a ring there
    are tiles of zeros at the end, where devices do not divide the tiles.

    Attributes:
        key: one vector per token, all heads in it.
        value: one vector per token, all heads in it.
        heads: their number.
    """

    key: Float[Array, "*l b t s c"]
    value: Float[Array, "*l b t s c"]
    heads: int

    @classmethod
    def of(cls, keys: Keys, tiling: Tiling) -> "TileKeys":
        """The keys and values of all tokens, in tiles."""
        heads = keys.key.shape[-2]

        def tiles(x: Array) -> Array:
            # By heads before the tokens are put in order: no device has all of them.
            x = constrained(_flat(x), heads, tokens_axes=1)
            x = tiling.tiles(x, axis=-2)
            return sharding.whole_shares(x, x.ndim - 3, ring_size(heads))

        return cls(tiles(keys.key), tiles(keys.value), heads).spread()

    def spread(self) -> "TileKeys":
        """The same, placed on the devices that hold them."""
        held = partial(constrained, heads=self.heads)
        return TileKeys(held(self.key), held(self.value), self.heads)

    def written(self, active: Int[Array, "b k"], fresh: Keys) -> "TileKeys":
        """These keys and values with those of the active tiles replaced.

        Stacked layers are replaced together.
        """
        put = partial(_put, heads=self.heads)
        key, value = put(self.key, active, fresh.key), put(
            self.value, active, fresh.value
        )
        return TileKeys(key, value, self.heads)


def spread(state: Any) -> Any:
    """A state whose arrays each device has whole, but for held keys, which are split.

    Does nothing outside `jax.set_mesh`.
    """
    held = lambda x: isinstance(x, TileKeys)
    placed = lambda x: x.spread() if held(x) else sharding.constrain(x)
    return jax.tree.map(placed, state, is_leaf=held)


def held_spec(heads: int, before: int) -> PartitionSpec:
    """The partition of held keys, of some axes and then rows, tiles, tokens, heads."""
    split = ContextSplit.of(heads)
    rows = sharding.spec(("batch",))[0]
    return PartitionSpec(*(None,) * before, rows, split.ring or None, None, split.heads)
