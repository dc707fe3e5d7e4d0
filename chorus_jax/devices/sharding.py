"""Sharding: a mesh of named axes and the rules from logical names to mesh axes.

`data` splits requests and guidance branches, `context` splits video tokens, `tensor`
splits heads and feed-forward. A mesh may have a fourth axis, `ring`: it splits tokens
too, with another algorithm for attention among them (`nets/context_parallel.py`).
Nothing here depends on a model: each parameter names its logical axes itself
(`nets/layers.py`).
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import (
    AbstractMesh,
    AxisType,
    Mesh,
    NamedSharding,
    PartitionSpec,
    SingleDeviceSharding,
)

TOKENS = ("ring", "context")  # the axes that split tokens, as far as a mesh has them

RULES: Mapping[str, str | tuple[str, ...] | None] = MappingProxyType(
    {
        "batch": "data",
        "tokens": TOKENS,
        "heads": "tensor",
        "mlp": "tensor",
        "vocab": "tensor",
        "width": None,
    }
)

M = TypeVar("M", bound=nnx.Module)


def make_mesh(
    *,
    data: int = 1,
    context: int = 1,
    tensor: int = 1,
    ring: int = 1,
    devices: Sequence | None = None,
) -> Mesh:
    """A mesh with axes `data`, `context`, `tensor` over devices (default: all).

    Args:
        data: devices along requests and guidance branches.
        context: devices along the video's tokens.
        tensor: devices along heads and feed-forward.
        ring: devices along the video's tokens too, for ring attention; if more than
            one, the mesh has an axis `ring` after `data`.
        devices: the devices of the mesh; None for all devices.

    Raises:
        ValueError: for sizes below 1, or whose product is not the number of devices.
    """
    devices = jax.devices() if devices is None else devices
    count = data * ring * context * tensor
    if min(data, ring, context, tensor) < 1 or count != len(devices):
        ring_size = f" x {ring=}" if ring != 1 else ""
        raise ValueError(
            f"a mesh of {data=}{ring_size} x {context=} x {tensor=} needs "
            f"{count} devices, but {len(devices)} are given: change "
            "the sizes, each 1 or more, or the devices"
        )
    sizes = {"data": data, "ring": ring, "context": context, "tensor": tensor}
    if ring == 1:
        del sizes["ring"]
    grid = np.asarray(devices).reshape(*sizes.values())
    return Mesh(grid, tuple(sizes), axis_types=(AxisType.Auto,) * len(sizes))


def check_axes(mesh: Mesh) -> None:
    """Raises a ValueError unless the mesh has the axes that `make_mesh` makes, of its
    type `Auto`."""
    names = {"data", "context", "tensor"}
    if not names <= {*mesh.axis_names} <= names | {"ring"}:
        raise ValueError(
            "a mesh has the axes data, context, tensor and perhaps ring, got "
            f"{', '.join(mesh.axis_names)}: make one with chorus_jax.make_mesh"
        )
    if set(mesh.axis_types) != {AxisType.Auto}:
        types = ", ".join(kind.name for kind in mesh.axis_types)
        raise ValueError(
            f"the axes of a mesh have the type Auto, got {types} (jax.make_mesh's "
            "default is Explicit): make one with chorus_jax.make_mesh"
        )


def token_axes(mesh: Mesh | AbstractMesh) -> tuple[str, ...]:
    """The axes of a mesh that split the video's tokens."""
    return tuple(axis for axis in TOKENS if axis in mesh.shape)


def token_split(mesh: Mesh | AbstractMesh) -> int:
    """The number of devices that a video's tokens are split over."""
    return math.prod(mesh.shape[axis] for axis in token_axes(mesh))


def spec(axes: Sequence[str | None]) -> PartitionSpec:
    """The PartitionSpec of an array whose dimensions have these logical names, over the
    mesh in `jax.set_mesh`."""
    tokens = token_axes(jax.sharding.get_abstract_mesh()) or "context"
    rules: dict[str, Any] = {**RULES, "tokens": tokens}
    return PartitionSpec(*(axis if axis is None else rules[axis] for axis in axes))


def whole_shares(x: jax.Array, axis: int, count: int) -> jax.Array:
    """Pads the end of an axis with zeros, so that `count` devices get equal shares."""
    pads = [(0, 0)] * x.ndim
    pads[axis] = (0, -x.shape[axis] % count)
    return jnp.pad(x, pads) if pads[axis][1] else x


def constrain(x: jax.Array, *axes: str | None) -> jax.Array:
    """Constrains the sharding of `x` by logical axis names; does nothing outside
    `jax.set_mesh`."""
    if jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, spec(axes))


def canonical(partition: PartitionSpec, mesh: Mesh) -> PartitionSpec:
    """The shortest equivalent PartitionSpec: without axes of one device and without
    trailing `None`.

    jax may write the sharding of a program's result like that of its first argument if
    the two are equivalent, and it dispatches a program anew for shardings that are
    written differently. With one form for each sharding, results that are fed back into
    a program are dispatched like its first arguments.
    """
    entries = [
        tuple(axis for axis in named_axes(entry) if mesh.shape[axis] > 1) or None
        for entry in partition
    ]
    while entries and entries[-1] is None:
        entries.pop()
    return PartitionSpec(*entries)


def named_axes(entry: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The mesh axes that an entry of a PartitionSpec names."""
    if entry is None:
        return ()
    return (entry,) if isinstance(entry, str) else entry


def shardings(module: M, mesh: Mesh) -> M:
    """The module with a NamedSharding in place of each parameter's array.

    Leading dimensions without a logical name (a stack of layers) are not split.

    Args:
        module: the module, whose arrays may be abstract.
        mesh: the mesh to shard over.

    Raises:
        ValueError: if the mesh does not divide a parameter, naming the first few.
    """
    refusals: list[str] = []

    def of(path: tuple, param: nnx.Variable) -> nnx.Variable:
        shape = param.get_value().shape
        axes = param.get_metadata().get("axes", (None,) * len(shape))
        logical = (None,) * (len(shape) - len(axes)) + tuple(axes)
        partition = canonical(spec(logical), mesh)
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


def unsharded(module: M) -> M:
    """The module with a sharding on jax's default device in place of each array."""
    here = SingleDeviceSharding(default_device())
    return jax.tree.map(lambda _: here, module)


def in_memory(places: M, kind: str) -> M:
    """The shardings with another memory kind of the devices, such as `pinned_host`."""
    return jax.tree.map(lambda x: x.with_memory_kind(kind), places)


def default_device() -> jax.Device:
    """The device that jax computes on by default."""
    chosen = getattr(jax.config, "jax_default_device", None)
    if isinstance(chosen, str):
        return jax.local_devices(backend=chosen)[0]
    return jax.local_devices()[0] if chosen is None else chosen


def platform() -> str:
    """The platform of the mesh in `jax.set_mesh`, else of jax's default device.

    The mesh comes first so that a program compiled ahead of time on a CPU host takes
    the code paths of the devices that it is compiled for.

    Returns:
        A name such as `cpu`, `gpu` or `tpu`.
    """
    mesh = jax.sharding.get_abstract_mesh()
    device = None if mesh.empty else mesh.abstract_device
    name = jax.default_backend() if device is None else device.platform
    return "gpu" if name in ("cuda", "rocm") else name
