"""The head of an entry as JSON, and back. It knows nothing of files."""

import base64
import json
import math
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from chorus_jax.inter_request.store.entry import Entry, EntryHeader, Statistics
from chorus_jax.inter_request.store.secret import Secret

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = {"float32": np.dtype(np.float32), "bfloat16": BFLOAT16}
PLAIN = ("id", "recipe", "exact", "made", "namespace", "score", "shared", "prompt")


class ForeignError(ValueError):
    """The head of another entry, or of one of another store."""


@dataclass(frozen=True)
class Described:
    """A head and what its latents must be; `shape` and `dtype` are of the final ones.

    `check` is the checksum of the payload that holds them.
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
    """The JSON text. ValueError for final latents of a dtype that is not kept."""
    dtype = entry.final.dtype.name
    if dtype not in DTYPES:
        raise ValueError(f"final latents are kept as {list(DTYPES)}, got {dtype}")
    content = {name: getattr(entry, name) for name in PLAIN} | {
        "secret": secret.fingerprint,
        "steps": entry.steps,
        "embedding": _text(entry.embedding.astype("<f4").tobytes()),
        "words": [key.hex() for key in entry.words],
        "meanings": _text(entry.meanings.astype("<f2").tobytes()),
        "meanings_shape": entry.meanings.shape,
        "created": entry.statistics.created,
        "cost": entry.statistics.cost,
        "shape": entry.final.shape,
        "dtype": dtype,
        "check": check.hex(),
    }
    return json.dumps(content).encode()


def read(text: bytes, id: str, secret: Secret, used: float) -> Described:
    """Parses the JSON text of a header; `used` is when its entry last was a hit.

    Raises:
        ForeignError: if it is of another id, or of a store with another secret.
        ValueError: if it is no head.
    """
    try:
        return _read(json.loads(text), id, secret, used)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not the head of an entry: {error!r}") from error


def _read(content: dict[str, Any], id: str, secret: Secret, used: float) -> Described:
    if content["secret"] != secret.fingerprint:
        raise ForeignError("it is of a store with another secret")
    if content["id"] != id:
        raise ForeignError("it is of another id")
    meanings = np.frombuffer(base64.b64decode(content["meanings"]), "<f2")
    head = EntryHeader(
        **{name: content[name] for name in PLAIN},
        steps=tuple(content["steps"]),
        embedding=np.frombuffer(base64.b64decode(content["embedding"]), "<f4"),
        words=tuple(map(bytes.fromhex, content["words"])),
        meanings=meanings.reshape(content["meanings_shape"]),
        statistics=Statistics(content["created"], content["cost"], used),
    )
    dtype, check = DTYPES[content["dtype"]], bytes.fromhex(content["check"])
    return Described(head, tuple(content["shape"]), dtype, check)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
