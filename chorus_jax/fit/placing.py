"""Abstract arrays over a mesh: their shardings, and the bytes of each chip's share."""

import math
from collections.abc import Mapping
from typing import Any

import jax
from flax import nnx
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from chorus_jax.devices import sharding
from chorus_jax.devices.sharding import RULES
from chorus_jax.nets.token_attention import Keys

Sizes = Mapping[str, int]  # of the axes of a mesh

# Logical axes of the text's keys and values, stacked over layers.
TEXT_KEYS = (None, "batch", None, "heads", None)


def abstract_mesh(sizes: Sizes) -> AbstractMesh:
    """A mesh of these sizes without devices."""
    return AbstractMesh(
        tuple(sizes.values()),
        tuple(sizes),
        axis_types=(AxisType.Auto,) * len(sizes),
    )


def token_split(sizes: Sizes) -> int:
    """The number of devices that tokens are split over."""
    return sharding.token_split(abstract_mesh(sizes))


def weights(module: Any, mesh: Mesh) -> Any:
    """An abstract module, sharded over a mesh as a loaded one is."""
    return jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
        module,
        sharding.shardings(module, mesh),
    )


def input_partitions(inputs: Any) -> Any:
    """The partitions of arrays that a run reads, over the mesh in `jax.set_mesh`: the
    text's keys and values are split over batch and heads, all others replicated."""

    def of(node: Any) -> Any:
        split = isinstance(node, Keys) and node.key.ndim == len(TEXT_KEYS)
        where = sharding.spec(TEXT_KEYS) if split else PartitionSpec()
        return jax.tree.map(lambda _: where, node)

    return jax.tree.map(of, inputs, is_leaf=lambda x: isinstance(x, Keys))


def replicated(tree: Any, mesh: Mesh) -> Any:
    """Abstract arrays that are whole on every device of a mesh."""
    return arrays(tree, jax.tree.map(lambda _: PartitionSpec(), tree), mesh)


def arrays(tree: Any, where: Any, mesh: Mesh) -> Any:
    """Abstract arrays with shardings, from a tree of their partitions."""
    return jax.tree.map(
        lambda x, spec: jax.ShapeDtypeStruct(
            x.shape, x.dtype, sharding=NamedSharding(mesh, spec)
        ),
        tree,
        where,
    )


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


def array_bytes(tree: Any, where: Any, sizes: Sizes) -> int:
    """The bytes of arrays on one chip, from a tree of their partitions."""
    total = 0
    for x, spec in zip(jax.tree.leaves(tree), jax.tree.leaves(where), strict=True):
        shares = [
            math.prod(sizes[y] for y in sharding.named_axes(axis)) for axis in spec
        ]
        split = [-(-n // k) for n, k in zip(x.shape, shares)]
        total += math.prod((*split, *x.shape[len(split) :])) * x.dtype.itemsize
    return total
