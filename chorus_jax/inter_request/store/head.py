"""The head of a record: an entry's header as bytes.

JSON comes first, then the arrays: embedding, keys of words, and meanings. This module
handles no files.
"""

import json
import math
import struct
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from chorus_jax.inter_request.store.entry import Entry, EntryHeader, Statistics
from chorus_jax.inter_request.store.secret import Secret

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = {"float32": np.dtype(np.float32), "bfloat16": BFLOAT16}
PLAIN: tuple[str, ...] = ("id", "recipe", "exact", "made", "policy", "namespace")
PLAIN += ("score", "shared", "prompt")
LENGTH, WORD = struct.Struct("<I"), 8


class ForeignError(ValueError):
    """The head belongs to another entry, or to a store with another secret."""


@dataclass(frozen=True)
class Described:
    """A header, with shape, dtype and checksum of the latents that belong to it.

    Attributes:
        head: the header.
        shape: the shape of the final latents: frames, height, width, channels.
        dtype: the dtype of the final latents.
        check: the checksum of the payload, which holds all latents.
    """

    head: EntryHeader
    shape: tuple[int, ...]
    dtype: np.dtype
    check: bytes

    @property
    def kept(self) -> tuple[int, ...]:
        """The shape of the latents at the key steps."""
        return (len(self.head.steps), *self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of all latents."""
        steps = math.prod(self.kept) * BFLOAT16.itemsize
        return steps + math.prod(self.shape) * self.dtype.itemsize


def written(entry: Entry, check: bytes, secret: Secret) -> bytes:
    """The head of an entry as bytes.

    Args:
        entry: the entry.
        check: the checksum of the payload.
        secret: the secret of the store.

    Raises:
        ValueError: for final latents of an unsupported dtype, or keys of words that
            have another size than `WORD` bytes.
    """
    dtype = entry.final.dtype.name
    if dtype not in DTYPES:
        raise ValueError(f"final latents are kept as {list(DTYPES)}, got {dtype}")
    if {len(word) for word in entry.words} - {WORD}:
        raise ValueError(f"keys of words have {WORD} bytes: make them with word_keys")
    content = {name: getattr(entry, name) for name in PLAIN} | {
        "secret": secret.fingerprint,
        "steps": entry.steps,
        "width": len(entry.embedding),
        "words": len(entry.words),
        "meanings": entry.meanings.shape,
        "created": entry.statistics.created,
        "cost": entry.statistics.cost,
        "shape": entry.final.shape,
        "dtype": dtype,
        "check": check.hex(),
    }
    text = json.dumps(content).encode()
    embedding, meanings = entry.embedding.astype("<f4"), entry.meanings.astype("<f2")
    traces = embedding.tobytes() + b"".join(entry.words) + meanings.tobytes()
    return LENGTH.pack(len(text)) + text + traces


def read(data: bytes, id: str, secret: Secret, used: float) -> Described:
    """Parses the bytes of a head.

    Args:
        data: the bytes.
        id: the id that the entry must have.
        secret: the secret of the store.
        used: the time of the entry's last hit, in seconds since the epoch.

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
        return _described(content, data[end:], used)
    except (
        *(KeyError, TypeError, AttributeError, struct.error),
        *(ArithmeticError, RecursionError),  # absurdly large numbers, deep nesting
    ) as error:
        raise ValueError(f"not the head of an entry: {error!r}") from error


def _described(content: dict[str, Any], traces: bytes, used: float) -> Described:
    words = content["width"] * 4
    end = words + content["words"] * WORD
    if len(traces) != end + 2 * math.prod(content["meanings"]):
        raise ValueError("its traces are not of the size that it tells")
    head = EntryHeader(
        **{name: content[name] for name in PLAIN},
        steps=tuple(content["steps"]),
        embedding=np.frombuffer(traces, "<f4", content["width"]),
        words=tuple(traces[at : at + WORD] for at in range(words, end, WORD)),
        meanings=np.frombuffer(traces, "<f2", offset=end).reshape(content["meanings"]),
        statistics=Statistics(content["created"], content["cost"], used),
    )
    dtype, check = DTYPES[content["dtype"]], bytes.fromhex(content["check"])
    return Described(head, tuple(content["shape"]), dtype, check)
