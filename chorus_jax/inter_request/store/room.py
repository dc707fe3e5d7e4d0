"""Eviction: frees memory and disk by dropping what the policy selects."""

from dataclasses import replace

from chorus_jax.inter_request.store.disk import DiskTier
from chorus_jax.inter_request.store.eviction import StoredItem
from chorus_jax.inter_request.store.tiers import StorageTiers


def in_memory(
    tiers: StorageTiers, limit: int, coming: StoredItem | None = None
) -> None:
    """Evicts from memory until it holds at most `limit` bytes, and `coming` has room.
    Under `lock`."""
    limit -= 0 if coming is None else coming.size
    while tiers.catalogue.memory > limit:
        items = tiers.catalogue.in_memory(tiers.clock())
        id = tiers.eviction.victim(items, coming)
        tiers.catalogue.put(replace(tiers.catalogue[id], entry=None))


def on_disk(
    tiers: StorageTiers,
    disk: DiskTier,
    limit: int,
    coming: StoredItem | None = None,
) -> None:
    """Evicts from the disk until it holds at most `limit` bytes, and `coming` has room.

    What cannot be read, and so not be judged, goes last. With the folder to itself
    (`StorageTiers.alone`).
    """
    limit -= 0 if coming is None else coming.size
    while True:
        # Together: readers may drop what is damaged meanwhile.
        with tiers.lock:
            if tiers.disk_used <= limit:
                return
            items = tiers.catalogue.on_disk(tiers.clock())
            unread = list(tiers.unread)
        id = tiers.eviction.victim(items, coming) if items else unread[0]
        _drop(tiers, disk, id)


def _drop(tiers: StorageTiers, disk: DiskTier, id: str) -> None:
    with tiers.lock:
        item = tiers.catalogue.get(id)
        disk.remove(id)
        tiers.unread.pop(id, None)
        # A reader may have found it damaged meanwhile.
        if item is not None:
            tiers.catalogue.put(replace(item, disk=0))
