"""A cache by itself: finding its entries, and the effects of closing it."""

import logging
import sys
import threading
import time
from importlib.util import find_spec

import numpy as np
import pytest

from chorus_jax.engine import Cache
from chorus_jax.inter_request.index import (
    ExactIndex,
    Rebuilds,
    ScannIndex,
    default_index,
    scann_index,
)
from chorus_jax.inter_request.match.matching import Query
from chorus_jax.inter_request.store import Entry, Store

WIDTH, LEAST, RECIPE = 8, 30, "a" * 64
SMALL = Rebuilds(LEAST)

needs_scann = pytest.mark.skipif(
    find_spec("scann") is None, reason="ScaNN is not installed"
)


def admit(cache, count):
    """Admits so many entries; their embeddings by id."""
    drawn = np.random.default_rng(0).standard_normal((count, WIDTH)).astype("f4")
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    entries = [entry(number, vector) for number, vector in enumerate(drawn)]
    assert all(cache.store.admit(one) for one in entries)
    return {one.id: one.embedding for one in entries}


def entry(number, embedding):
    return Entry(
        namespace="us",
        recipe=RECIPE,
        exact=f"{number:064x}",
        noises=(number,),
        embedding=embedding,
        words=(),
        meanings=np.zeros((0, 64), np.float16),
        created=0.0,
        latents=np.zeros((1, 1, 1, 1), np.float32),
    )


def nearest(cache, embedding):
    query = Query(RECIPE, "us", embedding, (), np.zeros((0, 64), np.float16))
    [(id, cosine)] = cache.matcher.shelves.near(query, 1)
    assert cosine == pytest.approx(1, abs=1e-6)
    return id


@needs_scann
def test_a_cache_takes_scann_and_imports_it_for_many_entries_only(monkeypatch):
    monkeypatch.delitem(sys.modules, "scann", raising=False)
    cache = Cache.in_memory()
    known = admit(cache, LEAST)
    [index] = cache.matcher.shelves.indexes.values()
    assert isinstance(index, ScannIndex) and index.rebuilds == Rebuilds()
    assert all(nearest(cache, embedding) == id for id, embedding in known.items())
    assert "scann" not in sys.modules
    cache.close()


def test_without_scann_a_cache_says_once_that_its_search_is_exact(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "scann", None)
    caplog.set_level(logging.INFO)
    cache = Cache.in_memory()
    admit(cache, 3)
    [index] = cache.matcher.shelves.indexes.values()
    assert isinstance(index, ExactIndex)
    [record] = caplog.records
    assert "scann is not installed" in record.message
    assert f"about {Rebuilds().least} of" in record.message
    cache.close()


@needs_scann
def test_above_the_switch_a_searcher_finds_a_caches_entries(monkeypatch):
    asked = []

    class Watched(scann_index.Searcher):
        def rows(self, unit, count):
            asked.append(count)
            return super().rows(unit, count)

    monkeypatch.setattr(scann_index, "Searcher", Watched)
    cache = Cache(Store(10**6), default_index(SMALL))
    known = admit(cache, LEAST)
    [index] = cache.matcher.shelves.indexes.values()
    index.wait()
    assert all(nearest(cache, embedding) == id for id, embedding in known.items())
    assert len(asked) == LEAST
    cache.close()


@pytest.mark.parametrize("emptied", [False, True], ids=["with entries", "emptied"])
def test_closing_a_cache_ends_the_thread_that_builds_a_searcher(monkeypatch, emptied):
    class Slow(scann_index.Searcher):
        def __init__(self, vectors):
            time.sleep(0.5)

    monkeypatch.setattr(scann_index, "Searcher", Slow)
    before = set(threading.enumerate())
    cache = Cache(Store(10**6), lambda width: ScannIndex(width, SMALL))
    known = admit(cache, LEAST)
    if emptied:
        assert cache.store.delete_namespace("us") == len(known)
        assert not cache.matcher.shelves.indexes
    assert len(set(threading.enumerate()) - before) == 1
    cache.close()
    assert not set(threading.enumerate()) - before


def test_an_emptied_index_is_not_kept_when_no_thread_is_at_work():
    cache = Cache.in_memory()
    admit(cache, 3)
    assert cache.store.delete_namespace("us") == 3
    shelves = cache.matcher.shelves
    assert not shelves.indexes and not shelves.emptied
    cache.close()
