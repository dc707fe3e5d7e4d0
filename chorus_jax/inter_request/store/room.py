"""Making room in the tiers: what a policy of eviction names goes.

A policy may name one key step of an entry instead of the whole. A tier that holds the
only copy of the entry then keeps the rest of it.
"""

import logging
from dataclasses import replace

from chorus_jax.inter_request.store import record
from chorus_jax.inter_request.store.disk import DiskTier
from chorus_jax.inter_request.store.tiers import Tiers

log = logging.getLogger(__name__)


def in_memory(tiers: Tiers, limit: int) -> None:
    """Evicts from memory until it holds at most `limit` bytes. Under `lock`."""
    while tiers.catalogue.memory > limit:
        held = tiers.catalogue.in_memory()
        id, step = tiers.eviction.victim(held, tiers.clock())
        item = tiers.catalogue[id]
        if step is None or item.disk:
            tiers.catalogue.put(replace(item, entry=None))
        else:
            tiers.catalogue.put(item.without(step))


def on_disk(tiers: Tiers, disk: DiskTier, limit: int) -> None:
    """Evicts from the disk until it holds at most `limit` bytes.

    What cannot be read, and so not be judged, goes last. With the folder to itself
    (`Tiers.alone`).
    """
    while True:
        # Together: readers may drop what is damaged meanwhile.
        with tiers.lock:
            if tiers.disk_used <= limit:
                return
            held, unread = tiers.catalogue.on_disk(), list(tiers.unread)
        if not held:
            _drop(tiers, disk, unread[0])
            continue
        victim = tiers.eviction.victim(held, tiers.clock())
        if victim.step is None or not _shorten(tiers, disk, victim.id, victim.step):
            _drop(tiers, disk, victim.id)


def _drop(tiers: Tiers, disk: DiskTier, id: str) -> None:
    with tiers.lock:
        item = tiers.catalogue.get(id)
        disk.remove(id)
        tiers.unread.pop(id, None)
        # A reader may have found it damaged meanwhile.
        if item is not None:
            tiers.catalogue.put(replace(item, disk=0))


def _shorten(tiers: Tiers, disk: DiskTier, id: str, step: int) -> bool:
    """Whether an entry could be written again without a key step."""
    try:
        loaded = disk.load(id)
        if loaded is None:
            return False
        shorter = loaded[0].without(step)
        packed = record.packed(shorter, disk.secret)
        disk.write(id, packed)
    except OSError as error:
        log.warning("evicting all of %s instead of step %d: %s", id, step, error)
        return False
    with tiers.lock:
        item = tiers.catalogue.get(id)
        if item is not None:
            tiers.catalogue.put(replace(item.of_entry(shorter), disk=packed.size))
    return True
