"""Abstract arrays over a mesh: their shardings, and the bytes of each chip's share."""

import math
from collections.abc import Mapping
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from chorus_jax.devices import sharding
from chorus_jax.devices.sharding import RULES
from chorus_jax.nets.token_attention import Keys

Sizes = Mapping[str, int]  # of the axes of a mesh

# Logical axes of the text's keys and values, stacked over layers.
TEXT_KEYS = (None, "batch", None, "heads", None)


def weights(module: Any, mesh: Mesh) -> Any:
    """An abstract module, sharded over a mesh as a loaded one is."""
    return jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
        module,
        sharding.shardings(module, mesh),
    )


def arrays(tree: Any, mesh: Mesh) -> Any:
    """Abstract arrays of a run with shardings: the text's keys and values are split
    over batch and heads, all other arrays are whole on every chip."""
    everywhere = NamedSharding(mesh, PartitionSpec())
    heads = NamedSharding(mesh, sharding.spec(TEXT_KEYS))

    def placed(node: Any) -> Any:
        split = isinstance(node, Keys) and node.key.ndim == len(TEXT_KEYS)
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(
                x.shape, x.dtype, sharding=heads if split else everywhere
            ),
            node,
        )

    return jax.tree.map(placed, tree, is_leaf=lambda x: isinstance(x, Keys))


def weight_bytes(module: nnx.Module, sizes: Sizes) -> int:
    """The bytes of a module's weights on one chip.

    Raises:
        ValueError: naming a parameter that the mesh does not divide.
    """
    total = 0
    leaves = jax.tree_util.tree_leaves_with_path(
        module, is_leaf=lambda x: isinstance(x, nnx.Variable)
    )
    for path, param in leaves:
        value = param.get_value()
        axes = param.get_metadata().get("axes", (None,) * value.ndim)
        over = [split_over(axis, sizes) for axis in axes]
        if any(n % k for n, k in zip(value.shape[value.ndim - len(axes) :], over)):
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            raise ValueError(f"{name} {value.shape} does not divide over {over}")
        total += value.size * value.dtype.itemsize // math.prod(over)
    return total


def split_over(axis: str | None, sizes: Sizes) -> int:
    """The number of devices that a logical axis of weights is split over."""
    rule: Any = None if axis is None else RULES[axis]
    return 1 if rule is None else sizes[rule]


def array_bytes(tree: Any, sizes: Sizes) -> int:
    """The bytes of a run's arrays on one chip (see `arrays`)."""
    total = 0
    for node in jax.tree.leaves(tree, is_leaf=lambda x: isinstance(x, Keys)):
        held = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(node))
        split = isinstance(node, Keys) and node.key.ndim == len(TEXT_KEYS)
        total += held // (sizes["tensor"] * sizes["data"] if split else 1)
    return total
