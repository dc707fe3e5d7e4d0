"""Frames split over devices along their height or width.

Each device has some of the rows (or columns) of every frame, and fetches the rows next
to them from its neighbours before a convolution; the result is exact. Frames may be
split over all axes of the mesh in `jax.set_mesh`: decoding has no other use for them.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, PartitionSpec
from jaxtyping import Array, Float

from chorus_jax.nets.context_parallel import say_once

T = TypeVar("T")


class SpaceSplit(NamedTuple):
    """A split of frames over the devices of a mesh.

    Attributes:
        axes: the mesh axes that they are split over.
        size: the number of devices along these axes.
        along: the axis of [b f h w c] that is split: 2 or 3.
    """

    axes: tuple[str, ...]
    size: int
    along: int

    @classmethod
    def of(cls, mesh: AbstractMesh, height: int, width: int) -> "SpaceSplit | None":
        """The split over as many devices as divide the rows or the columns evenly.

        If rows and columns allow equally many devices, rows are split. None if neither
        can be split.
        """
        best = cls((), 1, 2)
        axes = mesh.axis_names
        subsets = [
            chosen
            for count in range(len(axes) + 1)
            for chosen in itertools.combinations(axes, count)
        ]
        for (along, rows), chosen in itertools.product(
            ((2, height), (3, width)), subsets
        ):
            size = math.prod(mesh.shape[axis] for axis in chosen)
            if rows % size == 0 and size > best.size:
                best = cls(chosen, size, along)
        return None if best.size == 1 else best

    @property
    def spec(self) -> PartitionSpec:
        """The partition of frames [b f h w c]."""
        return PartitionSpec(*(None,) * self.along, self.axes)


# The split in effect inside `over_space`. It is part of jax's cache keys.
current = jax.make_user_context(default_value=None)


def over_space(
    step: Callable[..., T], module: Any, height: int, width: int, *operands: Any
) -> T:
    """Runs `step(module, *operands)` with each device on its share of the frames.

    Args:
        step: returns arrays of frames [b f h w c]. Convolutions in it must use
            `with_halo`, means over pixels must use `share_mean`, and other operations
            across pixels `gathered`.
        module: the weights, replicated on every device.
        height: rows of the smallest frames that occur in `step`; the split divides
            either these rows or the columns.
        width: columns of the smallest frames.
        operands: arrays of frames, or pytrees of such arrays.
    """
    mesh = jax.sharding.get_abstract_mesh()
    split = None if mesh.empty else SpaceSplit.of(mesh, height, width)
    if split is None:
        if mesh.size > 1:
            say_once(f"{height} x {width} latents: whole pictures on each device")
        return step(module, *operands)
    what = {2: "rows", 3: "columns"}[split.along]
    say_once(f"{height} x {width} latents: {what} over {split.size} devices")

    def local(module: Any, *operands: Any) -> T:
        with current(split):
            return step(module, *operands)

    return jax.shard_map(
        local,
        in_specs=(PartitionSpec(), *(split.spec for _ in operands)),
        out_specs=split.spec,
        check_vma=False,
    )(module, *operands)


def with_halo(x: Float[Array, "b f h w c"], before: int, after: int) -> Array:
    """Adds the neighbouring devices' last `before` and first `after` rows (or columns)
    to this device's frames, zeros at the border; unchanged if frames are not split."""
    split: SpaceSplit | None = current.value
    if split is None:
        return x
    count, along = x.shape[split.along], split.along
    parts = [x]
    if before:
        last = jax.lax.slice_in_dim(x, count - before, count, axis=along)
        onward = [(i, i + 1) for i in range(split.size - 1)]
        parts.insert(0, jax.lax.ppermute(last, split.axes, onward))
    if after:
        first = jax.lax.slice_in_dim(x, 0, after, axis=along)
        back = [(i + 1, i) for i in range(split.size - 1)]
        parts.append(jax.lax.ppermute(first, split.axes, back))
    return jnp.concatenate(parts, axis=along)


def with_reflection(x: Float[Array, "b f h w c"]) -> Float[Array, "b f y x c"]:
    """Pads frames by one row and one column on each side.

    Within the whole frame, these come from the neighbouring devices; at its border,
    they are reflections of the second-outermost row or column.
    """
    split: SpaceSplit | None = current.value
    along = None if split is None else split.along
    padding = [(int(axis in (2, 3) and axis != along),) * 2 for axis in range(5)]
    x = jnp.pad(x, padding, mode="reflect")
    if split is None:
        return x
    wide, at = with_halo(x, 1, 1), jax.lax.axis_index(split.axes)
    count = wide.shape[split.along]
    row = lambda i: jax.lax.slice_in_dim(wide, i, i + 1, axis=split.along)
    first = jnp.where(at == 0, row(2), row(0))
    last = jnp.where(at == split.size - 1, row(count - 3), row(count - 1))
    return jnp.concatenate([first, x, last], axis=split.along)


def shared_out(plane: Float[Array, "h w"]) -> Float[Array, "y x"]:
    """This device's share of a plane, which is given whole."""
    split: SpaceSplit | None = current.value
    if split is None:
        return plane
    axis = split.along - 2
    size = plane.shape[axis] // split.size
    at = jax.lax.axis_index(split.axes) * size
    return jax.lax.dynamic_slice_in_dim(plane, at, size, axis=axis)


def whole_size(x: Float[Array, "b f h w c"]) -> tuple[int, int]:
    """Height and width of the whole frames of which `x` is this device's share."""
    split: SpaceSplit | None = current.value
    height, width = x.shape[2:4]
    if split is None:
        return height, width
    if split.along == 2:
        return height * split.size, width
    return height, width * split.size


def padding_beside(before: int, after: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The zero padding of height and width that a convolution needs after `with_halo`:
    none along the split axis."""
    split: SpaceSplit | None = current.value
    padding, none = (before, after), (0, 0)
    along = None if split is None else split.along
    return (none if along == 2 else padding, none if along == 3 else padding)


def share_mean(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The mean of `x` over the devices that share the frames.

    Shares have the same size, so the mean of their means is the mean over whole frames.
    """
    split: SpaceSplit | None = current.value
    return x if split is None else jax.lax.pmean(x, split.axes)


def gathered(x: Float[Array, "b f h w c"]) -> Float[Array, "b f y x c"]:
    """The whole frames, on every device."""
    split: SpaceSplit | None = current.value
    if split is None:
        return x
    return jax.lax.all_gather(x, split.axes, axis=split.along, tiled=True)
