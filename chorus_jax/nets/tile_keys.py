"""Keys and values of all tiles of a video, held over steps and split over devices.

If tokens are exchanged for heads, each device holds the keys and values of its heads;
in a ring, it holds the keys and values of its tiles. Held keys never move between
devices: the active tiles' arrays are sent to them.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int

from chorus_jax.devices import sharding
from chorus_jax.nets.context_parallel import ContextSplit
from chorus_jax.nets.tokens import Tiling

T = TypeVar("T")


class Keys(NamedTuple):
    """Keys and values of tokens, with a leading axis if several layers are stacked.

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
    """Keys and values of all tiles of s tokens, with a leading axis if layers are
    stacked.

    A token's heads are side by side in one axis, as projections write and kernels read
    them. With a separate axis of few heads, a TPU would pad that axis, and would copy
    the arrays to change their layout. If the devices of a ring do not divide the tiles,
    there are tiles of zeros at the end.

    Attributes:
        key: one vector per token with all its heads, [*l b t s c].
        value: one vector per token with all its heads, [*l b t s c].
        heads: the number of heads.
    """

    # Any, not Array: jax also builds this pytree from shapes and shardings.
    key: Any
    value: Any
    heads: int

    @classmethod
    def of(cls, keys: Keys, tiling: Tiling) -> "TileKeys":
        """Makes held keys from the keys and values of all tokens."""
        heads = keys.key.shape[-2]

        def tiles(x: Array) -> Array:
            x = by_heads(x)
            x = tiling.tiles(x.reshape(*x.shape[:-2], -1), axis=-2)
            return sharding.whole_shares(x, x.ndim - 3, ring_size(heads))

        where = held_spec(heads, keys.key.ndim - 4)
        made = lambda x: placed(tiles(x), where)
        return cls(made(keys.key), made(keys.value), heads)

    def partitions(self) -> "TileKeys":
        """The partition of keys and values over the mesh in `jax.set_mesh`."""
        where = held_spec(self.heads, self.key.ndim - 4)
        return TileKeys(where, where, self.heads)

    def by_head(self) -> tuple[Float[Array, "*l b t s a d"], ...]:
        """The keys and the values, with a separate axis of heads."""
        split = lambda x: x.reshape(*x.shape[:-1], self.heads, -1)
        return split(self.key), split(self.value)

    def written(self, active: Int[Array, "b k"], fresh: Keys) -> "TileKeys":
        """These keys and values with the active tiles replaced by `fresh`, in all
        stacked layers."""
        put = partial(written, active=active, heads=self.heads)
        key, value = put(self.key, fresh.key), put(self.value, fresh.value)
        return TileKeys(key, value, self.heads)


def layer_of(keys: T, place: Int[Array, ""]) -> T:
    """The keys of one layer, of a pytree of keys that are stacked over layers."""
    one = partial(jax.lax.dynamic_index_in_dim, index=place, keepdims=False)
    return jax.tree.map(one, keys)


def with_layer(keys: T, place: Int[Array, ""], layer: T) -> T:
    """The stacked keys with the keys of one layer replaced.

    In a loop the compiler does this in place if `layer` is computed from the result of
    `layer_of` and nothing else reads the stack.
    """
    put = partial(jax.lax.dynamic_update_index_in_dim, index=place, axis=0)
    return jax.tree.map(put, keys, layer)


def ring_size(heads: int) -> int:
    """The number of devices that held tiles with `heads` heads are split over."""
    split = held_split(heads)
    return 1 if split is None else split.size


def held_split(heads: int) -> ContextSplit | None:
    """The split of held keys with `heads` heads; None outside `jax.set_mesh`."""
    mesh = jax.sharding.get_abstract_mesh()
    return None if mesh.empty else ContextSplit.of(heads)


def held_spec(heads: int, before: int) -> PartitionSpec | None:
    """The partition of held keys: `before` leading axes, which are not split, then
    rows, tiles, tokens and heads. None outside `jax.set_mesh`."""
    split = held_split(heads)
    if split is None:
        return None
    rows = sharding.spec(("batch",))[0]
    return PartitionSpec(*(None,) * before, rows, split.ring or None, None, split.heads)


def by_heads(x: Float[Array, "*l b n a d"]) -> Float[Array, "*l b n a d"]:
    """Exchanges tokens for heads in keys or values, if the mesh's split does so."""
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
    """Constrains an array to a partition, if one is given, and to the memory layout in
    the order of its axes.

    A TPU's compiler may choose another layout for keys that a pass stacks over its
    layers, and then copy the whole stack where it becomes a program's result.
    """
    in_order = lambda x: with_layout_constraint(x, Layout(tuple(range(x.ndim))))
    if where is None:
        return in_order(x)
    # The partitioner would gather all shares of an array for the constraint.
    share = jax.shard_map(in_order, in_specs=where, out_specs=where, check_vma=False)
    return share(x)


def written(
    tiles: Float[Array, "*l b t s c"],
    fresh: Float[Array, "*l b n a d"],
    active: Int[Array, "b k"],
    heads: int,
) -> Float[Array, "*l b t s c"]:
    """The tiles with the active ones replaced by `fresh`, each on the device that holds
    it."""
    (*layers, b, _, s, c), split = tiles.shape, held_split(heads)
    fresh = by_heads(fresh).reshape(*layers, b, -1, s, c)
    if split is None:
        return put(tiles, fresh, active, jnp.int32(0))
    spec = held_spec(heads, len(layers))
    assert spec is not None
    gathered = PartitionSpec(*spec[:-3], None, None, spec[-1])
    return jax.shard_map(
        lambda tiles, fresh, active: put(tiles, fresh, active, split.place()),
        in_specs=(spec, gathered, PartitionSpec(spec[-4], None)),
        out_specs=spec,
        check_vma=False,
    )(tiles, fresh, active)


def put(
    tiles: Float[Array, "*l b t s c"],
    fresh: Float[Array, "*l b k s c"],
    active: Int[Array, "b k"],
    place: Int[Array, ""],
) -> Float[Array, "*l b t s c"]:
    """`written` on one device: the one with index `place` in the ring, whose devices
    hold equal shares of the tiles."""
    count = tiles.shape[-3]
    own = active - place * count
    # Negative indices would count from the end; `count` is out of range and dropped.
    own = jnp.where(own < 0, count, own)
    rows = jnp.arange(active.shape[0])[:, None]
    return tiles.at[..., rows, own, :, :].set(fresh, mode="drop")
