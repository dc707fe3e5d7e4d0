"""Entries that follow from a number, so that any process can check their content."""

import hashlib

import numpy as np
import pytest

from chorus_jax.inter_request.store import Entry, FairShare, Store

ARRAYS = ("latents", "embedding", "meanings")


def make_entry(number, *, side=4, **fields):
    """An entry; the prompt's traces are made with a secret of zeros."""
    random = np.random.default_rng(number)
    shape = (2, side, side, 8)
    embedding = random.normal(size=16).astype(np.float32)
    given = {
        "recipe": "ab" * 32,
        "exact": f"{number:064x}",
        "namespace": "us",
        "noises": (2**31 + number % 2**31,),
        "latents": random.normal(size=shape).astype(np.float32),
        "embedding": embedding / np.linalg.norm(embedding),
        "words": keys(f"cat number {number}", bytes(32)),
        "meanings": random.normal(size=(3, 4)).astype(np.float16),
        "created": 100.0 + number,
        "id": f"{number:032x}",
    }
    return Entry(**(given | fields))


def keys(prompt, secret):
    """Digests of words, of the size that a store gets."""
    digest = lambda word: hashlib.blake2b(word.encode(), digest_size=8, key=secret)
    return tuple(digest(word).digest() for word in prompt.split())


def is_same(found, wanted):
    """Whether all of an entry is right, but for how it was used."""
    plain = (
        "id",
        "recipe",
        "exact",
        "namespace",
        "shared",
        "noises",
        "words",
        "prompt",
    )
    return (
        all(getattr(found, name) == getattr(wanted, name) for name in plain)
        and all(_equal(getattr(found, one), getattr(wanted, one)) for one in ARRAYS)
        and found.created == wanted.created
    )


def _equal(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


class LargestFirst:
    """A policy of eviction that goes by size alone."""

    def victim(self, items, coming=None):
        return max(items, key=lambda item: (item.size, item.id)).id


class Mirror:
    """Keeps ids in step with a store, and refuses what an index would refuse."""

    def __init__(self):
        self.ids = []

    def admitted(self, head):
        assert head.id not in self.ids
        self.ids.append(head.id)

    def removed(self, id):
        self.ids.remove(id)


@pytest.fixture(scope="session")
def make():
    return make_entry


@pytest.fixture(scope="session")
def word_keys():
    return keys


@pytest.fixture(scope="session")
def same():
    return is_same


@pytest.fixture(params=[FairShare, LargestFirst])
def eviction(request):
    return request.param()


@pytest.fixture
def mirror():
    return Mirror()


@pytest.fixture
def open_store(tmp_path):
    """Opens stores on one folder, with much room unless told; closes them at last."""
    stores = []

    def open_one(memory_bytes=2**24, **options):
        given = {"folder": tmp_path / "s", "disk_bytes": 2**24} | options
        store = Store(memory_bytes, **given)
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        store.close()
