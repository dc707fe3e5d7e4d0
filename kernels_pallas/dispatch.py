"""Chooses the implementation of a kernel: the one that is named, or the platform's own.

    reference        plain jnp: the definition
    tpu              Pallas, Mosaic TPU
    gpu              Pallas, Triton
    tpu_interpreted  the kernel for TPUs, run op by op on a CPU, for tests
    gpu_interpreted  the kernel for GPUs, run op by op on a CPU, for tests

There are no silent fallbacks: an implementation that does not support the arrays raises
NotImplementedError with the reason. `refusal` gives the reason beforehand, `choose` the
implementation that will run.
"""

import importlib
from collections.abc import Callable
from typing import Any

import jax

NAMES = ("reference", "tpu", "gpu", "tpu_interpreted", "gpu_interpreted")
Query = jax.Array | jax.ShapeDtypeStruct
PLATFORMS = {"cpu": "reference", "gpu": "gpu", "tpu": "tpu"}

# `with forced("reference"):` is like naming it in every call. It is part of jax's cache
# keys, so functions compiled outside are compiled again.
forced = jax.make_user_context(default_value=None)


def device() -> tuple[str, str]:
    """Platform (`cpu`, `gpu`, `tpu`) and kind of the device that is compiled for.

    This is the device of the mesh in `jax.set_mesh`, else the default device: so a
    program compiled ahead of time on a CPU host uses the kernels of its target.
    """
    mesh = jax.sharding.get_abstract_mesh()
    mesh_device = None if mesh.empty else mesh.abstract_device
    if mesh_device is None:
        first = jax.devices()[0]
        name, kind = first.platform, first.device_kind
    else:
        name, kind = mesh_device.platform, mesh_device.device_kind
    return ("gpu" if name in ("cuda", "rocm") else name), kind


def choose(implementation: str | None = None) -> str:
    """The implementation that runs: the one named, else forced, else the platform's.

    Raises a ValueError for an unknown name, NotImplementedError for one that the
    platform cannot run.
    """
    platform = device()[0]
    name = implementation or forced.value or PLATFORMS.get(platform, "reference")
    if name not in NAMES:
        raise ValueError(f"implementation {name!r} is none of {', '.join(NAMES)}")
    if name in ("tpu", "gpu") and name != platform:
        raise NotImplementedError(
            f"implementation {name!r} needs a {name.upper()}, but this is compiled for "
            f"a {platform}: take 'reference', or '{name}_interpreted' to test it"
        )
    return name


def refusal(kernel: str, name: str, query: Query, *keys: Query) -> str | None:
    """The reason why an implementation refuses these arrays; None if it takes them.

    Queries and keys have the layout of the kernel's own arguments.
    """
    if name == "reference":
        return None
    return module(kernel, name).refusal(query, *keys)


def variant(
    kernel: str, implementation: str | None, query: Query, *keys: Query
) -> Callable[..., Any]:
    """The function that runs. Raises a NotImplementedError if it refuses the arrays."""
    name = choose(implementation)
    reason = refusal(kernel, name, query, *keys)
    if reason is not None:
        raise NotImplementedError(f"{kernel} {name!r}: {reason}; take 'reference'")
    return module(kernel, name).attend


def module(kernel: str, name: str) -> Any:
    """The module of an implementation, imported when needed, as Pallas loads slowly."""
    return importlib.import_module(
        f"kernels_pallas.{kernel}.{name.removesuffix('_interpreted')}"
    )
