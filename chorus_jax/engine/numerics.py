"""Identity of the computation: versions, device, random numbers, settings of jax."""

import functools
from importlib import metadata

import jax
from jax.sharding import Mesh

from chorus_jax.engine.pixels import DIGEST

# Settings of jax that change numbers.
SETTINGS = (
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_enable_x64",
    "jax_threefry_partitionable",
    "jax_default_dtype_bits",
)


def run_by(mesh: Mesh | None) -> str:
    """The versions, device kind and jax settings of this process; part of recipes.

    Another version, device kind or random number generator would compute other latents.
    The number of devices is left out: a mesh changes the last bits only, and entries
    made on one mesh should serve requests on another.

    Args:
        mesh: the mesh that the model runs on; None for jax's default device.
    """
    device = default_device() if mesh is None else mesh.devices.flat[0]
    settings = [f"{name}={getattr(jax.config, name, None)}" for name in SETTINGS]
    kind = f"{device.platform} {device.device_kind}"
    return " ".join([f"pixels={DIGEST}", versions(), kind, *settings])


def default_device() -> jax.Device:
    """The device that jax computes on by default."""
    chosen = getattr(jax.config, "jax_default_device", None)
    if isinstance(chosen, str):
        return jax.local_devices(backend=chosen)[0]
    return jax.devices()[0] if chosen is None else chosen


@functools.cache
def versions() -> str:
    """The versions of jax and jaxlib."""
    names = ("jax", "jaxlib")
    return " ".join(f"{name}={metadata.version(name)}" for name in names)
