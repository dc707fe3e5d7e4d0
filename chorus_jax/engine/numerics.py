"""Identity of the computation: versions, device, random numbers, settings of jax."""

import functools
import os
from importlib import metadata

import jax
from jax.sharding import Mesh

from chorus_jax.devices.sharding import default_device
from chorus_jax.engine.pixels import DIGEST

# Settings of jax that change numbers.
SETTINGS = (
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_enable_x64",
    "jax_threefry_partitionable",
    "jax_default_dtype_bits",
)
# Environment variables with XLA flags, and prefixes of flags that change no number.
FLAGS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")
WITHOUT_EFFECT = ("--xla_dump", "--xla_force_host_platform_device_count")


def run_by(mesh: Mesh | None) -> str:
    """The versions, device kind, jax settings and XLA flags of this process; part of
    recipes.

    Another version, device kind or random number generator would compute other latents.
    The number of devices is left out: a mesh changes the last bits only, and entries
    made on one mesh should serve requests on another.

    Args:
        mesh: the mesh that the model runs on; None for jax's default device.
    """
    device = default_device() if mesh is None else mesh.devices.flat[0]
    settings = [f"{name}={getattr(jax.config, name, None)}" for name in SETTINGS]
    kind = f"{device.platform} {device.device_kind}"
    return " ".join([f"pixels={DIGEST}", versions(), kind, *settings, *flags()])


def flags() -> list[str]:
    """The XLA flags in the environment that may change numbers, in their order."""
    words = [word for name in FLAGS for word in os.environ.get(name, "").split()]
    return [word for word in words if not word.startswith(WITHOUT_EFFECT)]


@functools.cache
def versions() -> str:
    """The versions of jax and jaxlib."""
    names = ("jax", "jaxlib")
    return " ".join(f"{name}={metadata.version(name)}" for name in names)
