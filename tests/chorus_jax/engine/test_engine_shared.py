"""Engines that threads share, and folders that engines share."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from chorus_jax.engine import Cache, Engine, Reuse
from tests.chorus_jax.engine.tiny import BLUE, OTHERS, RED, policy, small


def test_eight_threads_share_an_engine(tiled_pipeline, tmp_path):
    """Whatever their order: each video is its own request's, and nothing is lost."""
    cache = Cache.in_folder(tmp_path, 10**8)
    engine = Engine(tiled_pipeline, cache, policy)
    asked = [
        small(prompt, seed=seed)
        for prompt in (RED, BLUE, "the blue square", "a gray circle")
        for seed in (0, 1)
    ]

    def work(number):
        turned = asked[number:] + asked[:number]
        # A hit: all others are there by then.
        own = small(OTHERS[number], seed=10 + number)
        return [engine.generate(request) for request in (*turned, *turned, own)]

    with ThreadPoolExecutor(8) as pool:
        results = [each for found in pool.map(work, range(8)) for each in found]
    assert len(results) == 8 * (2 * len(asked) + 1)
    plain = {request: tiled_pipeline(request)[0] for request in asked}
    made = {each.entry: each for each in results if each.entry is not None}
    for each in results:
        request, latents = each.video.request, each.video.latents
        if each.ledger.kind == "miss":
            np.testing.assert_array_equal(latents, plain[request].latents)
        if each.ledger.kind == "exact":
            stored = made[each.ledger.source].video
            assert stored.request == request
            np.testing.assert_array_equal(latents, stored.latents)
    kinds = {each.ledger.kind for each in results}
    assert kinds == {"miss", "exact", "semantic"}
    heads = {head.id: head for head in cache.store}
    # Of two that made the same at the same time one is kept, unless it is the better.
    exact = {head.exact for head in heads.values()}
    assert set(heads) <= set(made) and len(exact) == len(asked) + 8
    places = set(cache.matcher.shelves.places)
    assert places == set(heads)
    hits = [each for each in results if each.ledger.kind == "semantic"]
    hits = [each for each in hits if each.ledger.source in heads]
    assert hits
    for each in hits:
        np.testing.assert_array_equal(
            from_its_source_alone(engine, each).latents, each.video.latents
        )
    cache.close()


def from_its_source_alone(engine, hit):
    """The video of a hit again, from a cache that holds nothing but its source."""
    store = engine.cache.store
    entries = [store.get(head.id, "default") for head in store]
    for each in entries:
        if each.id != hit.ledger.source:
            store.delete(each.id)
    again = engine.generate(hit.video.request, Reuse(write=False))
    assert (again.ledger.kind, again.ledger.source) == ("semantic", hit.ledger.source)
    for each in entries:
        store.admit(each)
    return again.video


def test_a_restarted_engine_finds_everything_again(tiled_pipeline, tmp_path):
    first = Cache.in_folder(tmp_path, 10**8)
    made = Engine(tiled_pipeline, first, policy).generate(small(seed=3))
    first.close()
    again = Cache.in_folder(tmp_path, 10**8)
    engine = Engine(tiled_pipeline, again, policy)
    replayed = engine.generate(small(seed=3))
    assert replayed.ledger.kind == "exact"
    np.testing.assert_array_equal(replayed.video.frames, made.video.frames)
    assert engine.generate(small(BLUE, seed=3)).ledger.kind == "semantic"
    again.close()


def test_what_one_engine_leaves_another_on_its_folder_finds(tiled_pipeline, tmp_path):
    caches = [Cache.in_folder(tmp_path, 10**8) for _ in range(2)]
    one, other = (Engine(tiled_pipeline, cache, policy) for cache in caches)
    made = one.generate(small(seed=3))
    hit = other.generate(small(BLUE, seed=4))
    assert hit.ledger.kind == "semantic" and hit.ledger.source == made.entry
    replayed = other.generate(small(seed=3))
    assert replayed.ledger.kind == "exact"
    np.testing.assert_array_equal(replayed.video.frames, made.video.frames)
    assert one.generate(small(BLUE, seed=4)).ledger.kind == "exact"
    caches[0].store.delete(made.entry)
    caches[0].store.delete(hit.entry)
    assert other.generate(small(seed=3)).ledger.kind == "miss"
    for cache in caches:
        cache.close()


def test_a_source_on_disk_is_read_while_the_text_encoder_runs(
    tiled_pipeline, tmp_path, monkeypatch
):
    cache = Cache.in_folder(tmp_path, disk_bytes=2**24, memory_bytes=0)
    engine = Engine(tiled_pipeline, cache, policy)
    first = engine.generate(small(seed=3))
    engine.generate(small("something else that shares no word at all", seed=5))
    asked, embed = [], tiled_pipeline.condition
    monkeypatch.setattr(cache.store, "prefetch", lambda *given: asked.append(given))

    def condition(*given):
        assert asked, "embedded before anything was foreseen"
        return embed(*given)

    monkeypatch.setattr(tiled_pipeline, "condition", condition)
    hit = engine.generate(small(BLUE, seed=4))
    assert asked == [(first.entry, "default")] and hit.ledger.source == first.entry
    engine.generate(small(BLUE, seed=4), Reuse(read=False, write=False))
    assert len(asked) == 1
    cache.close()
