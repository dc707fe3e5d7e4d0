"""The memory of the devices that jax computes on."""

import os

import jax

GIB = 2**30
# Kinds of memory that the devices of a platform can read, by jax's names.
DEVICE_MEMORY, HOST_MEMORY = "device", "pinned_host"


def total_memory() -> int | None:
    """Bytes of memory of all devices together; of the host if the device is the CPU.
    None if not all devices report theirs."""
    devices = jax.devices()
    if devices[0].platform == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [(device.memory_stats() or {}).get("bytes_limit") for device in devices]
    known = [limit for limit in limits if limit]
    return sum(known) if len(known) == len(devices) else None


def check_memory(needed: int, what: str, advice: str) -> None:
    """Raises a ValueError if more memory is needed than there is.

    Args:
        needed: a lower bound of the bytes that are needed.
        what: the subject of the message, such as "41 frames".
        advice: the end of the message, which says what the caller may do.
    """
    total = total_memory()
    if total is not None and needed > total:
        raise ValueError(
            f"{what} need at least {needed / GIB:,.0f} GiB of memory, but there are "
            f"{total / GIB:,.0f} GiB: {advice}"
        )
