"""Entries determined by a number, so that any process can check their content."""

import hashlib

import numpy as np

from chorus_jax.inter_request.store import Entry

NAMESPACE = "default"


def made(number: int, side: int = 4) -> Entry:
    """The entry of a number; its latents have `side` x `side` tokens in 2 frames."""
    random = np.random.default_rng(number)
    shape = (2, side, side, 8)
    vector = random.normal(size=16).astype(np.float32)
    words = (hashlib.blake2b(b"%d" % number, digest_size=8).digest(),)
    return Entry(
        recipe="ab" * 32,
        exact=f"{number:064x}",
        namespace=NAMESPACE,
        noises=(number,),
        latents=random.normal(size=shape).astype(np.float32),
        embedding=vector / np.linalg.norm(vector),
        words=words,
        meanings=random.normal(size=(1, 4)).astype(np.float16),
        created=100.0 + number,
        id=f"{number:032x}",
    )


def right(entry: Entry, side: int = 4) -> bool:
    """Whether an entry equals `made(number)` for its own number, in every bit."""
    wanted = made(int(entry.id, 16), side)
    arrays = ("latents", "embedding", "meanings")
    plain = ("recipe", "exact", "namespace", "noises", "words", "score", "shared")
    return all(
        getattr(entry, x).tobytes() == getattr(wanted, x).tobytes() for x in arrays
    ) and all(getattr(entry, x) == getattr(wanted, x) for x in plain)
