"""Chooses the implementation of a kernel: the platform's own, or the one that is named.

    reference        plain jnp: the definition
    tpu              Pallas, Mosaic TPU
    gpu              Pallas, Triton
    tpu_interpreted  those two run op by op on a CPU, for tests
    gpu_interpreted

Nothing falls back in silence: an implementation that cannot do what is asked raises
NotImplementedError and says why. `refusal` tells it beforehand, `choose` which runs.
"""

import importlib
from collections.abc import Callable
from typing import Any

import jax

NAMES = ("reference", "tpu", "gpu", "tpu_interpreted", "gpu_interpreted")
Query = jax.Array | jax.ShapeDtypeStruct
PLATFORMS = {"cpu": "reference", "gpu": "gpu", "tpu": "tpu"}

# `with forced("reference"):` is as naming it in every call. It is part of jax's cache
# keys: what was compiled outside is compiled again.
forced = jax.make_user_context(default_value=None)


def device() -> tuple[str, str]:
    """Platform (`cpu`, `gpu`, `tpu`) and kind of the device that is compiled for.

    That of the mesh in `jax.set_mesh`, else the default one: a program compiled ahead
    of time on a CPU host takes the kernels of its own device.
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

    Raises ValueError for a name that there is not, NotImplementedError for one that the
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
    """Why an implementation of a kernel does not take these queries and keys, laid out
    as the kernel's own are; None if it does."""
    if name == "reference":
        return None
    return module(kernel, name).refusal(query, *keys)


def variant(
    kernel: str, implementation: str | None, query: Query, *keys: Query
) -> Callable[..., Any]:
    """The function that runs. NotImplementedError if it refuses the arrays."""
    name = choose(implementation)
    reason = refusal(kernel, name, query, *keys)
    if reason is not None:
        raise NotImplementedError(f"{kernel} {name!r}: {reason}; take 'reference'")
    return module(kernel, name).attend


def module(kernel: str, name: str) -> Any:
    """The file of an implementation, imported when it is needed: Pallas takes long."""
    return importlib.import_module(
        f"kernels_pallas.{kernel}.{name.removesuffix('_interpreted')}"
    )
