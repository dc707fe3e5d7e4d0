"""Records: entries packed into bytes, without pickle, and verified when read.

    prefix    magic, version, bytes of the head, bytes of the payload
    head      see `head`; with the checksum of the payload
    checksum  of prefix and head
    payload   the clean latents

Checksums are BLAKE2b of 32 bytes. Numbers are little-endian, arrays in C order. The
file's modification time is the time of the entry's last use.
"""

import hashlib
import os
import struct

import numpy as np

from chorus_jax.inter_request.store import head
from chorus_jax.inter_request.store.entry import Entry
from chorus_jax.inter_request.store.secret import Secret

MAGIC = b"chorusEN"
VERSION = 7  # to be raised with any change of the head or the payload
PREFIX = struct.Struct("<8sIIQ")
CHECK = 32
FIRST = 2**14  # bytes of the first read, enough for most heads
LONGEST = 2**24  # the most bytes of a head


class DamagedError(ValueError):
    """The record differs from what was written."""


class UnknownError(Exception):
    """A file that this store cannot judge, and so must not remove.

    It belongs to another version or store, or is incomplete, for example because it is
    still being copied.
    """


def packed(entry: Entry, secret: Secret) -> bytes:
    """The record of an entry.

    Raises:
        ValueError: for an entry that cannot be stored (see `head.written`), or a head
            longer than `LONGEST`.
    """
    latents = entry.latents.tobytes()
    described = head.written(entry, _check(latents), secret)
    if len(described) > LONGEST:
        raise ValueError(
            f"the head of an entry has at most {LONGEST} bytes, got {len(described)}: "
            "keep no prompt as long"
        )
    begin = PREFIX.pack(MAGIC, VERSION, len(described), len(latents)) + described
    return b"".join((begin, _check(begin), latents))


def opened(handle: int, id: str, secret: Secret) -> head.Described:
    """Reads and verifies the head of the record in an open file.

    Args:
        handle: the file descriptor.
        id: the id that the record must have.
        secret: the secret of the store.

    Raises:
        DamagedError: if the record differs from what was written.
        UnknownError: if this store cannot judge the file.
    """
    file = os.fstat(handle)
    begin = os.pread(handle, FIRST, 0)
    if len(begin) < PREFIX.size or begin[: len(MAGIC)] != MAGIC:
        raise UnknownError("it does not begin as a record")
    _, version, length, payload = PREFIX.unpack_from(begin)
    if version != VERSION:
        raise UnknownError(
            f"it is of format {version}, and this version reads {VERSION}"
        )
    if length + payload > file.st_size:
        raise UnknownError("it is not whole")
    if length > LONGEST:
        raise UnknownError(f"its head would have {length} bytes")
    end = PREFIX.size + length
    if end + CHECK > len(begin):
        begin += os.pread(handle, end + CHECK - len(begin), len(begin))
    if _check(begin[:end]) != begin[end : end + CHECK]:
        raise DamagedError("the checksum of its head is wrong")
    try:
        text = begin[PREFIX.size : end]
        described = head.read(text, id, secret, file)
    except head.ForeignError as error:
        raise UnknownError(str(error)) from error
    except ValueError as error:
        raise DamagedError(str(error)) from error
    size = file.st_size
    if size != end + CHECK + payload or payload != described.nbytes:
        raise DamagedError(f"it has {size} bytes, not those that its head tells")
    return described


def entry(handle: int, record: head.Described) -> Entry:
    """Reads the entry of an opened record.

    The file is read, not memory-mapped, so that the entry cannot change afterwards, and
    a file that is truncated meanwhile raises an error instead of a signal.

    Raises:
        DamagedError: if the payload's checksum is wrong.
        UnknownError: if the file was truncated meanwhile.
    """
    payload = np.empty(record.nbytes, np.uint8)
    buffer = payload.data
    while buffer:
        count = os.preadv(handle, [buffer], record.size - len(buffer))
        if not count:
            raise UnknownError("it was cut while it was read")
        buffer = buffer[count:]
    if _check(payload.data) != record.check:
        raise DamagedError("the checksum of its latents is wrong")
    payload.flags.writeable = False
    latents = np.ndarray(record.shape, np.float32, payload)
    return Entry(**vars(record.head), latents=latents)


def _check(data: bytes | memoryview) -> bytes:
    return hashlib.blake2b(data, digest_size=CHECK).digest()
