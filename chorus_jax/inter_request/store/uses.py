"""The end of a record: how its entry was used, the one part that is rewritten in place.

Two slots with a checksum each. A change goes to the slot that is not the newest, so
that a torn write costs the last change and never the statistics.
"""

import hashlib
import math
import os
import struct
from collections.abc import Callable
from dataclasses import replace

from chorus_jax.inter_request.store.entry import Statistics

CHECK = 16
FIELDS = struct.Struct("<QQdd")  # number of the change, hits, last use, saved
SLOT = FIELDS.size + CHECK
SLOTS = 2 * SLOT


def first_slots(statistics: Statistics) -> bytes:
    """Both slots of a new record."""
    slot = _packed(0, statistics)
    return slot + bytes(len(slot))


def newest(slots: bytes, made: Statistics) -> Statistics:
    """The newest statistics in the slots; `made`, as of admission, if none is whole."""
    return _newest(slots, made)[1]


def rewrite(
    handle: int,
    offset: int,
    made: Statistics,
    change: Callable[[Statistics], Statistics],
) -> Statistics:
    """Changes the statistics in the open file's slots at this offset; returns them."""
    number, old = _newest(os.pread(handle, SLOTS, offset), made)
    new = change(old)
    os.pwrite(handle, _packed(number + 1, new), offset + (number + 1) % 2 * SLOT)
    return new


def _newest(slots: bytes, made: Statistics) -> tuple[int, Statistics]:
    parsed = [_parsed(slots[:SLOT], made), _parsed(slots[SLOT:], made)]
    valid = [slot for slot in parsed if slot is not None]
    return max(valid, key=lambda slot: slot[0], default=(1, made))


def _parsed(slot: bytes, made: Statistics) -> tuple[int, Statistics] | None:
    if len(slot) != SLOT or _check(slot[:-CHECK]) != slot[-CHECK:]:
        return None
    number, hits, last_used, saved = FIELDS.unpack(slot[:-CHECK])
    if not (math.isfinite(last_used) and math.isfinite(saved)):
        return None
    return number, replace(made, hits=hits, last_used=last_used, saved=saved)


def _packed(number: int, use: Statistics) -> bytes:
    slot = FIELDS.pack(number, use.hits, use.last_used, use.saved)
    return slot + _check(slot)


def _check(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=CHECK).digest()
