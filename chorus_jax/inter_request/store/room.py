"""Eviction: frees memory and disk by dropping what the policy selects."""

from dataclasses import replace

from chorus_jax.inter_request.store.disk import DiskTier
from chorus_jax.inter_request.store.tiers import StorageTiers


def in_memory(tiers: StorageTiers, limit: int) -> None:
    """Evicts from memory until it holds at most `limit` bytes. Under `lock`."""
    while tiers.catalogue.memory > limit:
        id = tiers.eviction.victim(tiers.catalogue.in_memory())
        tiers.catalogue.put(replace(tiers.catalogue[id], entry=None))


def on_disk(tiers: StorageTiers, disk: DiskTier, limit: int) -> None:
    """Evicts from the disk until it holds at most `limit` bytes.

    What cannot be read, and so not be judged, goes last. With the folder to itself
    (`StorageTiers.alone`).
    """
    while True:
        # Together: readers may drop what is damaged meanwhile.
        with tiers.lock:
            if tiers.disk_used <= limit:
                return
            items, unread = tiers.catalogue.on_disk(), list(tiers.unread)
        _drop(tiers, disk, tiers.eviction.victim(items) if items else unread[0])


def _drop(tiers: StorageTiers, disk: DiskTier, id: str) -> None:
    with tiers.lock:
        item = tiers.catalogue.get(id)
        disk.remove(id)
        tiers.unread.pop(id, None)
        # A reader may have found it damaged meanwhile.
        if item is not None:
            tiers.catalogue.put(replace(item, disk=0))
