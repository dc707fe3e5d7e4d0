"""Sharding: a mesh of named axes and the rules from logical names to mesh axes.

`data` splits requests and guidance branches, `context` splits video tokens, `tensor`
splits heads and feed-forward. Nothing here knows a model: a parameter says its logical
axes itself (`nets/layers.py`).
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

import jax
import numpy as np
from flax import nnx
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

RULES: Mapping[str, str | None] = MappingProxyType(
    {
        "batch": "data",
        "tokens": "context",
        "heads": "tensor",
        "mlp": "tensor",
        "vocab": "tensor",
        "width": None,
    }
)

M = TypeVar("M", bound=nnx.Module)


def make_mesh(
    *, data: int = 1, context: int = 1, tensor: int = 1, devices: Sequence | None = None
) -> Mesh:
    """A mesh with axes `data`, `context`, `tensor` over devices (default: all).

    Raises ValueError for sizes below 1, or that do not use every device.
    """
    devices = jax.devices() if devices is None else devices
    if min(data, context, tensor) < 1 or data * context * tensor != len(devices):
        raise ValueError(
            f"a mesh of {data=} x {context=} x {tensor=} needs "
            f"{data * context * tensor} devices, but {len(devices)} are given: change "
            "the sizes, each 1 or more, or the devices"
        )
    grid = np.asarray(devices).reshape(data, context, tensor)
    return Mesh(grid, ("data", "context", "tensor"), axis_types=(AxisType.Auto,) * 3)


def spec(axes: Sequence[str | None]) -> PartitionSpec:
    """The partition of an array whose dimensions have these logical names."""
    return PartitionSpec(*(None if axis is None else RULES[axis] for axis in axes))


def token_spec(axes: Sequence[str | None], shape: Sequence[int]) -> PartitionSpec:
    """`spec`, but tokens are not split where the mesh does not divide them."""
    size = jax.sharding.get_abstract_mesh().shape[RULES["tokens"]]
    replicated = [
        axis == "tokens" and count % size > 0 for axis, count in zip(axes, shape)
    ]
    return spec([None if alone else axis for axis, alone in zip(axes, replicated)])


def constrain(x: jax.Array, *axes: str | None) -> jax.Array:
    """Constrains the sharding of `x` by logical axis names; does nothing outside
    `jax.set_mesh`."""
    if jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, spec(axes))


def shardings(module: M, mesh: Mesh) -> M:
    """The module with a NamedSharding in place of each parameter.

    A leading dimension beyond the names (a stack of layers) is not split. Raises
    ValueError naming every parameter that the mesh does not divide.
    """
    refusals: list[str] = []

    def of(path: tuple, param: nnx.Variable) -> nnx.Variable:
        shape = param.get_value().shape
        axes = param.get_metadata().get("axes", (None,) * len(shape))
        partition = spec((None,) * (len(shape) - len(axes)) + tuple(axes))
        for size, axis in zip(shape, partition):
            if axis is not None and size % mesh.shape[axis]:
                name = jax.tree_util.keystr(path, simple=True, separator=".")
                refusals.append(f"{name} {shape} over {axis}={mesh.shape[axis]}")
        return param.replace(NamedSharding(mesh, partition))

    result = jax.tree_util.tree_map_with_path(
        of, module, is_leaf=lambda x: isinstance(x, nnx.Variable)
    )
    if refusals:
        raise ValueError(
            f"{len(refusals)} parameters do not divide over the mesh: "
            f"{', '.join(refusals[:5])}; choose a size that divides"
        )
    return result


def platform() -> str:
    """`cpu`, `gpu` or `tpu`: that of the mesh in `jax.set_mesh`, else the default.

    The mesh is asked first so that a program compiled ahead of time on a CPU host takes
    the paths of the device that it is compiled for.
    """
    mesh = jax.sharding.get_abstract_mesh()
    device = None if mesh.empty else mesh.abstract_device
    name = jax.default_backend() if device is None else device.platform
    return "gpu" if name in ("cuda", "rocm") else name
