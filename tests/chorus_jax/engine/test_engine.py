"""The engine: hits, misses and replays, what they leave, and what they must not."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from chorus_jax import staged_sampler
from chorus_jax.engine import Cache, Engine, Reuse, StoppedError
from chorus_jax.inter_request.policy import Policy, Regions, Tier
from chorus_jax.pipeline import Pipeline
from chorus_jax.request import Request

STEPS = 6
RED = "a red circle moves left on a gray background"
BLUE = "a blue circle moves left on a gray background"


@pytest.fixture(scope="module")
def pipeline(weights):
    made = Pipeline.load(weights)
    # The usual tile would be the whole of so small a video.
    transformer = replace(made.sizes.transformer, tile=(1, 2, 2))
    made.sizes = replace(made.sizes, transformer=transformer)
    return made


def policy(steps):
    """Hits from a score of 0.3 on; random weights tell prompts apart badly."""
    tiers = (Tier(0.3, 2, 4, active=0.5, key_gain=1.5, output_gain=1.2),)
    return Policy(STEPS, tiers, (2, 3, 4), Regions(reach=0)).for_steps(steps)


@pytest.fixture
def engine(pipeline):
    cache = Cache.in_memory()
    yield Engine(pipeline, cache, policy)
    cache.close()


def small(prompt=RED, **changes):
    """A request for a small video."""
    fields = dict(frames=5, height=32, width=64, steps=STEPS, solver="euler")
    return Request(prompt, **{**fields, "guidance_scale": 3.0, **changes})


def test_a_miss_is_what_the_pipeline_makes(engine, pipeline):
    request = small(seed=3)
    ours, [plain] = engine.generate(request), pipeline(request)
    assert ours.ledger.kind == "miss" and "no entry" in ours.ledger.reason
    assert ours.ledger.equivalents == STEPS
    np.testing.assert_array_equal(ours.video.latents, plain.latents)
    np.testing.assert_array_equal(ours.video.frames, plain.frames)


def test_the_same_request_again_is_replayed(engine):
    first, again = engine.generate(small(seed=3)), engine.generate(small(seed=3))
    assert again.ledger.kind == "exact" and again.ledger.equivalents == 0
    np.testing.assert_array_equal(again.video.frames, first.video.frames)
    np.testing.assert_array_equal(again.video.latents, first.video.latents)


def test_a_request_without_a_seed_is_never_replayed(engine):
    engine.generate(small())
    assert engine.generate(small()).ledger.kind != "exact"


def test_a_similar_request_starts_from_its_source(engine):
    source = engine.generate(small(seed=3))
    hit = engine.generate(small(BLUE, seed=4))
    ledger = hit.ledger
    assert ledger.kind == "semantic" and ledger.score < 1 and not ledger.reason
    assert (ledger.reuse_until, ledger.region_until) == (2, 4)
    assert ledger.active == 0.5 and ledger.equivalents == 3.5
    assert set(ledger.seconds) == {"embed", "look_up", "load", "denoise", "decode"}
    assert np.abs(hit.video.latents - source.video.latents).max() > 0
    [head] = [each for each in engine.cache.store if each.id == ledger.source]
    assert head.statistics.hits == 1 and head.statistics.uses == (1, 0, 0)


def test_a_hit_leaves_key_steps_of_its_own_only(engine):
    engine.generate(small(seed=3))
    engine.generate(small(BLUE, seed=4))
    assert sorted(head.steps for head in engine.cache.store) == [(2, 3, 4), (4,)]


@pytest.mark.parametrize(
    "change",
    [
        {"guidance_scale": 4.0},
        {"negative_prompt": "blue"},
        {"shift": 3.0},
        {"height": 64},
        {"frames": 9},
        {"solver": "unipc"},
    ],
    ids=str,
)
def test_another_recipe_is_a_miss(change, engine):
    engine.generate(small(seed=3))
    assert engine.generate(small(seed=3, **change)).ledger.kind == "miss"


def test_namespaces_see_what_is_theirs_or_shared(engine):
    engine.generate(small(seed=3), Reuse(namespace="a"))
    other = Reuse(namespace="b")
    assert engine.generate(small(seed=3), other).ledger.kind == "miss"
    engine.generate(small(BLUE, seed=5), Reuse(namespace="a", shared=True))
    assert engine.generate(small(BLUE, seed=5), other).ledger.kind == "exact"


def test_a_request_may_only_read_or_only_write_or_neither(engine):
    engine.generate(small(seed=3), Reuse(write=False))
    assert not len(engine.cache.store)
    engine.generate(small(seed=3))
    unread = engine.generate(small(seed=3), Reuse(read=False, write=False))
    assert unread.ledger.kind == "miss" and "no reading" in unread.ledger.reason
    assert len(engine.cache.store) == 1


def test_a_least_score_is_asked_of_sources(engine):
    engine.generate(small(seed=3))
    strict = engine.generate(small(BLUE, seed=4), Reuse(least_score=0.999))
    assert strict.ledger.kind == "miss"
    assert "below 0.999" in strict.ledger.reason and strict.ledger.score < 0.999


def test_prompts_are_not_kept_in_clear_unless_asked(engine):
    engine.generate(small(seed=3))
    engine.generate(small(BLUE, seed=4), Reuse(read=False, keep_prompt=True))
    assert {head.prompt for head in engine.cache.store} == {None, BLUE}


def test_a_stopped_request_leaves_nothing(engine):
    reuse = Reuse()
    reuse.stop.set()
    with pytest.raises(StoppedError):
        engine.generate(small(seed=3), reuse)
    assert not len(engine.cache.store)


def test_a_failed_request_leaves_nothing(engine, monkeypatch):
    def fail(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(engine.pipeline, "decoded", fail)
    with pytest.raises(MemoryError):
        engine.generate(small(seed=3))
    assert not len(engine.cache.store)


def test_a_given_region_is_what_is_run(engine):
    engine.generate(small(seed=3))
    region = np.zeros((2, 8, 16), np.float32)
    region[:, :, 8:] = 1
    hit = engine.generate(small(BLUE, seed=4), Reuse(region=region))
    assert hit.ledger.kind == "semantic"


def test_an_evicted_source_is_a_miss(engine, monkeypatch):
    engine.generate(small(seed=3))
    monkeypatch.setattr(engine.cache.store, "get", lambda *_: None)
    missed = engine.generate(small(BLUE, seed=4))
    assert missed.ledger.kind == "miss" and "evicted" in missed.ledger.reason


def test_one_program_for_all_hits_of_a_tier(engine):
    engine.generate(small(seed=3))
    engine.generate(small(BLUE, seed=4))
    count = staged_sampler.denoise._cache_size()
    engine.generate(small("the blue square left of the circle", seed=5))
    engine.generate(small("a red square still on gray", seed=6))
    assert staged_sampler.denoise._cache_size() == count


def test_eight_threads_share_an_engine(engine):
    prompts = [RED, BLUE, "the blue square", "a gray circle"]
    results, errors = [], []

    def work(number):
        try:
            for i in range(2):
                prompt = prompts[(number + i) % len(prompts)]
                results.append(engine.generate(small(prompt, seed=number % 3)))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and len(results) == 16
    assert {result.ledger.kind for result in results} >= {"miss"}


def test_a_restarted_engine_finds_everything_again(pipeline, tmp_path):
    first = Cache.in_folder(tmp_path, 10**8)
    made = Engine(pipeline, first, policy).generate(small(seed=3))
    first.close()
    again = Cache.in_folder(tmp_path, 10**8)
    engine = Engine(pipeline, again, policy)
    replayed = engine.generate(small(seed=3))
    assert replayed.ledger.kind == "exact"
    np.testing.assert_array_equal(replayed.video.frames, made.video.frames)
    assert engine.generate(small(BLUE, seed=3)).ledger.kind == "semantic"
    again.close()
