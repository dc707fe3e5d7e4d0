"""The head of a record: an entry's header as bytes.

JSON comes first, then the arrays: embedding, keys of words, and meanings. This module
handles no files.
"""

import json
import math
import os
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from chorus_jax.inter_request.store.entry import Entry, EntryHeader
from chorus_jax.inter_request.store.secret import Secret

PLAIN: tuple[str, ...] = ("id", "recipe", "exact", "policy", "namespace")
PLAIN += ("created", "score", "shared", "own", "prompt")
LENGTH, WORD = struct.Struct("<I"), 8


class ForeignError(ValueError):
    """The head belongs to another entry, or to a store with another secret."""


@dataclass(frozen=True)
class Described:
    """A record whose head has been verified, but whose latents have not.

    Attributes:
        head: the header.
        shape: the shape of the latents: frames, height, width, channels.
        check: the checksum of the latents.
        size: the bytes of the whole record; the latents are at its end.
    """

    head: EntryHeader
    shape: tuple[int, ...]
    check: bytes
    size: int

    @property
    def nbytes(self) -> int:
        """The bytes of the latents."""
        return math.prod(self.shape) * np.dtype(np.float32).itemsize


def written(entry: Entry, check: bytes, secret: Secret) -> bytes:
    """The head of an entry as bytes.

    Args:
        entry: the entry.
        check: the checksum of the payload.
        secret: the secret of the store.

    Raises:
        ValueError: for keys of words that have another size than `WORD` bytes.
    """
    if {len(word) for word in entry.words} - {WORD}:
        raise ValueError(f"keys of words have {WORD} bytes: make them with word_keys")
    content = {name: getattr(entry, name) for name in PLAIN} | {
        "secret": secret.fingerprint,
        "noises": entry.noises,
        "width": len(entry.embedding),
        "words": len(entry.words),
        "meanings": entry.meanings.shape,
        "shape": entry.latents.shape,
        "check": check.hex(),
    }
    text = json.dumps(content).encode()
    embedding, meanings = entry.embedding.astype("<f4"), entry.meanings.astype("<f2")
    traces = embedding.tobytes() + b"".join(entry.words) + meanings.tobytes()
    return LENGTH.pack(len(text)) + text + traces


def read(data: bytes, id: str, secret: Secret, file: os.stat_result) -> Described:
    """Parses the bytes of a head.

    Args:
        data: the bytes.
        id: the id that the entry must have.
        secret: the secret of the store.
        file: the status of the record's file; its modification time is the time of the
            entry's last use.

    Raises:
        ForeignError: if the head has another id or secret.
        ValueError: if the bytes are no head.
    """
    try:
        end = LENGTH.size + LENGTH.unpack_from(data)[0]
        content = json.loads(data[LENGTH.size : end])
        if content["secret"] != secret.fingerprint:
            raise ForeignError("it is of a store with another secret")
        if content["id"] != id:
            raise ForeignError("it is of another id")
        return _described(content, data[end:], file)
    except (
        *(KeyError, TypeError, AttributeError, struct.error),
        *(ArithmeticError, RecursionError),  # absurdly large numbers, deep nesting
    ) as error:
        raise ValueError(f"not the head of an entry: {error!r}") from error


def _described(
    content: dict[str, Any], traces: bytes, file: os.stat_result
) -> Described:
    words = content["width"] * 4
    end = words + content["words"] * WORD
    if len(traces) != end + 2 * math.prod(content["meanings"]):
        raise ValueError("its traces are not of the size that it tells")
    head = EntryHeader(
        **{name: content[name] for name in PLAIN},
        noises=tuple(content["noises"]),
        embedding=np.frombuffer(traces, "<f4", content["width"]),
        words=tuple(traces[at : at + WORD] for at in range(words, end, WORD)),
        meanings=np.frombuffer(traces, "<f2", offset=end).reshape(content["meanings"]),
        last_used=file.st_mtime,
    )
    shape = tuple(map(int, content["shape"]))
    return Described(head, shape, bytes.fromhex(content["check"]), file.st_size)
