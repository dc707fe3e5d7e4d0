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
        key: one vector per token, all heads in it, [*l b t s c].
        value: one vector per token, all heads in it, [*l b t s c].
        heads: their number.
    """

    # No types of arrays: jax puts shapes and shardings into the same tree.
    key: Any
    value: Any
    heads: int

    @classmethod
    def of(cls, keys: Keys, tiling: Tiling) -> "TileKeys":
        """The keys and values of all tokens, in tiles."""
        heads = keys.key.shape[-2]

        def tiles(x: Array) -> Array:
            x = by_heads(x)
            x = tiling.tiles(x.reshape(*x.shape[:-2], -1), axis=-2)
            return sharding.whole_shares(x, x.ndim - 3, ring_size(heads))

        return cls(tiles(keys.key), tiles(keys.value), heads).spread()

    def spread(self) -> "TileKeys":
        """The same, on the devices that are to hold them."""
        where = held_spec(self.heads, self.key.ndim - 4)
        return TileKeys(placed(self.key, where), placed(self.value, where), self.heads)

    def by_head(self) -> tuple[Float[Array, "*l b t s a d"], ...]:
        """Keys and values with an axis of heads."""
        split = lambda x: x.reshape(*x.shape[:-1], self.heads, -1)
        return split(self.key), split(self.value)

    def written(self, active: Int[Array, "b k"], fresh: Keys) -> "TileKeys":
        """These keys and values with those of the active tiles replaced.

        Stacked layers are replaced together.
        """
        put = partial(written, active=active, heads=self.heads)
        key, value = put(self.key, fresh.key), put(self.value, fresh.value)
        return TileKeys(key, value, self.heads)


def spread(state: Any) -> Any:
    """A state whose arrays each device has whole, but for held keys, which are split.

    Does nothing outside `jax.set_mesh`.
    """
    held = lambda x: isinstance(x, TileKeys)
    on = lambda x: x.spread() if held(x) else sharding.constrain(x)
    return jax.tree.map(on, state, is_leaf=held)


def ring_size(heads: int) -> int:
    """The devices that held tiles are split over, of so many heads."""
    split = held_split(heads)
    return 1 if split is None else split.size


def held_split(heads: int) -> ContextSplit | None:
    """How held keys of so many heads are split; None outside `jax.set_mesh`."""
    mesh = jax.sharding.get_abstract_mesh()
    return None if mesh.empty else ContextSplit.of(heads)


def held_spec(heads: int, before: int) -> PartitionSpec | None:
    """The partition of held keys: some axes before, then rows, tiles, tokens, heads.

    None outside `jax.set_mesh`.
    """
    split = held_split(heads)
    if split is None:
        return None
    rows = sharding.spec(("batch",))[0]
    return PartitionSpec(*(None,) * before, rows, split.ring or None, None, split.heads)


def by_heads(x: Float[Array, "*l b n a d"]) -> Float[Array, "*l b n a d"]:
    """Keys or values of split tokens, exchanged for heads if these are."""
    split = held_split(x.shape[-2])
    if split is None or split.exchange is None:
        return x
    (rows, tokens, heads), before = (
        sharding.spec(("batch", "tokens", "heads")),
        (None,) * (x.ndim - 4),
    )
    count = sharding.token_split(jax.sharding.get_abstract_mesh())
    out = jax.shard_map(
        split.to_heads,
        in_specs=PartitionSpec(*before, rows, tokens, heads, None),
        out_specs=PartitionSpec(*before, rows, split.ring or None, split.heads, None),
        check_vma=False,
    )(sharding.whole_shares(x, x.ndim - 3, count))
    return out[..., : x.shape[-3], :, :]


def placed(x: Array, where: PartitionSpec | None) -> Array:
    """The array in this partition."""
    return x if where is None else jax.lax.with_sharding_constraint(x, where)


def written(
    tiles: Float[Array, "*l b t s c"],
    fresh: Float[Array, "*l b n a d"],
    active: Int[Array, "b k"],
    heads: int,
) -> Float[Array, "*l b t s c"]:
    """The tiles with the active ones replaced, each on the device that holds it."""
    (*layers, b, _, s, c), split = tiles.shape, held_split(heads)
    fresh = by_heads(fresh).reshape(*layers, b, -1, s, c)
    if split is None:
        return put(tiles, fresh, active, jnp.int32(0))
    spec = held_spec(heads, len(layers))
    assert spec is not None
    whole = PartitionSpec(*spec[:-3], None, None, spec[-1])
    return jax.shard_map(
        lambda tiles, fresh, active: put(tiles, fresh, active, split.place()),
        in_specs=(spec, whole, PartitionSpec(spec[-4], None)),
        out_specs=spec,
        check_vma=False,
    )(tiles, fresh, active)


def put(
    tiles: Float[Array, "*l b t s c"],
    fresh: Float[Array, "*l b k s c"],
    active: Int[Array, "b k"],
    place: Int[Array, ""],
) -> Float[Array, "*l b t s c"]:
    """`written` on one device, the tiles of which are those of a place in the ring."""
    count = tiles.shape[-3]
    own = active - place * count
    # Not below 0, which would count from the end.
    own = jnp.where(own < 0, count, own)
    rows = jnp.arange(active.shape[0])[:, None]
    return tiles.at[..., rows, own, :, :].set(fresh, mode="drop")
