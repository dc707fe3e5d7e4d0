"""Records: entries packed into bytes, without pickle, and verified when read.

    prefix    magic, version, bytes of the head, bytes of the payload
    head      see `head`; with the checksum of the payload
    checksum  of prefix and head
    payload   latents and final latents, from a multiple of 64 bytes on

Checksums are BLAKE2b of 32 bytes. Numbers are little-endian, arrays in C order. The
file's modification time is the time of the entry's last use.
"""

import hashlib
import os
import struct
from dataclasses import dataclass, fields

import numpy as np

from chorus_jax.inter_request.store import head
from chorus_jax.inter_request.store.entry import Entry, EntryHeader
from chorus_jax.inter_request.store.secret import Secret

MAGIC = b"chorusEN"
VERSION = 5  # to be raised with any change of the head or the payload
PREFIX = struct.Struct("<8sIIQ")
CHECK = 32
ALIGN = 64
FIRST = 2**14  # bytes of the first read, enough for most heads
LONGEST = 2**24  # the most bytes of a head


class DamagedError(ValueError):
    """The record differs from what was written."""


class UnknownError(Exception):
    """A file that this store cannot judge, and so must not remove.

    It belongs to another version or store, or is incomplete, as while it is copied.
    """


@dataclass(frozen=True)
class Record:
    """A record that is ready to be written.

    Attributes:
        pieces: the content, to be written one piece after the other.
        size: the total number of bytes.
    """

    pieces: tuple[bytes | memoryview, ...]
    size: int


@dataclass(frozen=True)
class Opened:
    """A record whose head has been verified, but whose payload has not.

    Attributes:
        described: its header, with shape, dtype and checksum of its latents.
        payload: the offset in bytes at which the latents begin.
        size: the bytes of the whole record.
    """

    described: head.Described
    payload: int
    size: int


def packed(entry: Entry, secret: Secret) -> Record:
    """Packs an entry into a record.

    Raises:
        ValueError: for an entry that cannot be stored (see `head.written`), or a head
            longer than `LONGEST`.
    """
    arrays = [_raw(entry.latents), _raw(entry.final)]
    length = sum(map(len, arrays))
    arrays.append(memoryview(bytes(-length % ALIGN)))
    check = hashlib.blake2b(digest_size=CHECK)
    for array in arrays:
        check.update(array)
    described = head.written(entry, check.digest(), secret)
    if len(described) > LONGEST:
        raise ValueError(
            f"the head of an entry has at most {LONGEST} bytes, got {len(described)}: "
            "keep no prompt as long"
        )
    begin = PREFIX.pack(MAGIC, VERSION, len(described), sum(map(len, arrays)))
    begin += described
    begin += _check(begin)
    begin += bytes(-len(begin) % ALIGN)
    return Record((begin, *arrays), len(begin) + sum(map(len, arrays)))


def opened(handle: int, id: str, secret: Secret) -> Opened:
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
        described = head.read(text, id, secret, file.st_mtime)
    except head.ForeignError as error:
        raise UnknownError(str(error)) from error
    except ValueError as error:
        raise DamagedError(str(error)) from error
    start = _even(end + CHECK)
    if file.st_size != start + payload or payload != _even(described.nbytes):
        size = file.st_size
        raise DamagedError(f"it has {size} bytes, not those that its head tells")
    return Opened(described, start, file.st_size)


def entry(handle: int, record: Opened) -> Entry:
    """Reads the entry of an opened record.

    The file is read, not memory-mapped, so that the entry cannot change afterwards, and
    a file that is truncated meanwhile raises an error instead of a signal.

    Raises:
        DamagedError: if the payload's checksum is wrong.
        UnknownError: if the file was truncated meanwhile.
    """
    described = record.described
    payload = np.empty(record.size - record.payload, np.uint8)
    buffer = payload.data
    while buffer:
        count = os.preadv(handle, [buffer], record.size - len(buffer))
        if not count:
            raise UnknownError("it was cut while it was read")
        buffer = buffer[count:]
    if _check(payload.data) != described.check:
        raise DamagedError("the checksum of its latents is wrong")
    payload.flags.writeable = False
    latents = np.ndarray(described.kept, head.BFLOAT16, payload)
    final = np.ndarray(described.shape, described.dtype, payload, latents.nbytes)
    header = described.head
    known = {field.name: getattr(header, field.name) for field in fields(EntryHeader)}
    return Entry(**known, latents=latents, final=final)


def _raw(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _even(count: int) -> int:
    return count + -count % ALIGN


def _check(data: bytes | memoryview) -> bytes:
    return hashlib.blake2b(data, digest_size=CHECK).digest()
