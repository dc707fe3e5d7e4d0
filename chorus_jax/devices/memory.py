"""The memory of the devices that jax computes on."""

import os

from jax.sharding import Mesh

from chorus_jax.devices.sharding import default_device

GIB = 2**30
# Kinds of memory that the devices of a platform can read, by jax's names.
DEVICE_MEMORY, HOST_MEMORY = "device", "pinned_host"


def device_memory(mesh: Mesh | None = None) -> int | None:
    """Bytes of memory of a device; an equal share of the host's if it is a CPU.

    Args:
        mesh: devices, of which that with the least memory counts; None for jax's
            default device.

    Returns:
        The bytes; None if a device does not report them.
    """
    devices = [default_device()] if mesh is None else list(mesh.devices.flat)
    if devices[0].platform == "cpu":
        host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return host // len(devices)
    limits = [(device.memory_stats() or {}).get("bytes_limit") for device in devices]
    known = [limit for limit in limits if limit]
    return min(known) if len(known) == len(devices) else None


def check_memory(needed: int, what: str, advice: str, mesh: Mesh | None = None) -> None:
    """Raises a ValueError if more memory is needed than a device has.

    Args:
        needed: a lower bound of the bytes that are needed on a device.
        what: the subject of the message, such as "41 frames".
        advice: the end of the message, which says what the caller may do.
        mesh: the devices; None for jax's default device.
    """
    there = device_memory(mesh)
    if there is not None and needed > there:
        every = "" if mesh is None else " on each device"
        raise ValueError(
            f"{what} need at least {needed / GIB:,.0f} GiB of memory{every}, but there "
            f"are {there / GIB:,.0f} GiB: {advice}"
        )
