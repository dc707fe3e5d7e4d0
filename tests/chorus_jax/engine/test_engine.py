"""The engine: hits, misses and replays, and which entries they leave."""

import copy
from dataclasses import replace

import numpy as np
import pytest

from chorus_jax.denoise import loop
from chorus_jax.engine import Cache, Engine, Reuse
from chorus_jax.engine.recipes import recipe_of
from chorus_jax.inter_request.policy.policy import Policy
from tests.chorus_jax.engine.tiny import BLUE, OTHERS, RED, STEPS, policy, small


def test_a_miss_is_what_the_pipeline_makes(engine, tiled_pipeline):
    request = small(seed=3)
    ours, [plain] = engine.generate(request), tiled_pipeline(request)
    assert ours.ledger.kind == "miss" and "no entry" in ours.ledger.reason
    assert ours.ledger.equivalents == STEPS
    np.testing.assert_array_equal(ours.video.latents, plain.latents)
    np.testing.assert_array_equal(ours.video.frames, plain.frames)


def test_the_same_request_again_is_replayed(engine):
    first, again = engine.generate(small(seed=3)), engine.generate(small(seed=3))
    assert again.ledger.kind == "exact" and again.ledger.equivalents == 0
    np.testing.assert_array_equal(again.video.frames, first.video.frames)
    np.testing.assert_array_equal(again.video.latents, first.video.latents)


def test_requests_without_a_seed_get_different_videos(engine):
    first, again = engine.generate(small()), engine.generate(small())
    assert first.ledger.kind == again.ledger.kind == "miss"
    assert "of the same words" in again.ledger.reason
    found = [engine.generate(small(BLUE)) for _ in range(3)]
    assert {each.ledger.kind for each in found} == {"semantic"}
    assert {each.ledger.source for each in found} <= {first.entry, again.entry}
    videos = [each.video.latents.tobytes() for each in (first, again, *found)]
    assert len(set(videos)) == 5


def test_the_seed_of_a_hit_without_one_asks_for_it_again(engine):
    engine.generate(small())
    hit = engine.generate(small(BLUE))
    assert hit.ledger.kind == "semantic"
    again = engine.generate(hit.video.request)
    assert again.ledger.kind == "exact" and again.ledger.source == hit.entry
    np.testing.assert_array_equal(again.video.frames, hit.video.frames)


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
    assert head.last_used > head.created


def test_a_target_that_differs_beyond_its_region_is_run_whole_and_says_so(engine):
    wanted = policy()
    regions = replace(wanted.regions, limit=0.0)
    engine.policies = lambda _: replace(wanted, regions=regions)
    engine.generate(small(seed=3))
    ledger = engine.generate(small(BLUE, seed=4)).ledger
    assert (ledger.kind, ledger.reuse_until, ledger.region_until) == ("semantic", 2, 4)
    assert ledger.active == 1 and ledger.equivalents == STEPS - 2
    assert "differ beyond the region" in ledger.reason


def test_what_hits_leave_does_not_hide_the_source_from_later_ones(engine):
    engine.cache.matcher.candidates = 1
    engine.generate(small(seed=3))
    for prompt in OTHERS[:5]:
        hit = engine.generate(small(prompt, seed=4))
        assert hit.ledger.kind == "semantic", hit.ledger.reason


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


def test_equal_sigmas_with_other_timesteps_are_another_recipe(tiled_pipeline):
    spaced = small(solver="unipc", shift=1.0)
    schedule = spaced.make_solver().schedule
    told = replace(spaced, steps=schedule.sigmas)
    assert told.make_solver().schedule.sigmas == schedule.sigmas
    model = tiled_pipeline.model
    digests = {recipe_of(each, model, policy()).digest for each in (told, spaced)}
    assert len(digests) == 2


@pytest.mark.parametrize("part", ["transformer", "text_encoder", "vae"])
def test_the_dtype_of_each_part_is_of_the_recipe(tiled_pipeline, part):
    model, other = tiled_pipeline.model, copy.copy(tiled_pipeline.model)
    config = replace(getattr(model.sizes, part), dtype="bfloat16")
    other.sizes = replace(model.sizes, **{part: config})
    digests = {recipe_of(small(), each, policy()).digest for each in (other, model)}
    assert len(digests) == 2


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


def test_a_least_score_is_asked_of_what_a_stored_video_was_made_from(engine):
    engine.generate(small(seed=3))
    made = engine.generate(small(BLUE, seed=4)).ledger
    strict = engine.generate(small(BLUE, seed=4), Reuse(least_score=0.999)).ledger
    assert (made.kind, strict.kind) == ("semantic", "miss")
    assert "stored video" in strict.reason and "below 0.999" in strict.reason
    replayed = engine.generate(small(BLUE, seed=4), Reuse(least_score=0.999)).ledger
    assert replayed.kind == "exact" and replayed.score == 1
    engine.generate(small(OTHERS[0], seed=5))
    lax = engine.generate(small(OTHERS[0], seed=5), Reuse(least_score=0.3)).ledger
    assert lax.kind == "exact" and 0.3 <= lax.score < 1


def test_a_policy_without_tiers_says_that_it_reuses_nothing(engine):
    engine.policies = lambda _: Policy(STEPS, ())
    engine.generate(small(seed=3))
    ledger = engine.generate(small(BLUE, seed=4)).ledger
    assert ledger.kind == "miss" and "reuses nothing at 6 steps" in ledger.reason


def test_what_a_policy_without_tiers_left_is_a_source_for_every_other(engine):
    engine.policies = lambda _: Policy(STEPS, ())
    made = engine.generate(small(seed=3))
    engine.policies = policy
    ledger = engine.generate(small(BLUE, seed=4)).ledger
    assert (ledger.kind, ledger.source) == ("semantic", made.entry)


def test_one_policy_serves_any_number_of_steps(tiled_pipeline):
    cache = Cache.in_memory()
    engine = Engine(tiled_pipeline, cache, policy())
    for steps, first in ((STEPS, 2), (3, 1)):
        engine.generate(small(seed=3, steps=steps))
        found = engine.generate(small(BLUE, seed=4, steps=steps)).ledger
        assert (found.kind, found.reuse_until) == ("semantic", first)
    cache.close()


def test_a_video_larger_than_the_budgets_is_told(tiled_pipeline, caplog):
    cache = Cache.in_memory(1)
    assert Engine(tiled_pipeline, cache, policy).generate(small(seed=3)).entry is None
    assert "a video was not kept" in caplog.text
    cache.close()


def test_prompts_are_not_kept_in_clear_unless_asked(engine):
    engine.generate(small(seed=3))
    engine.generate(small(BLUE, seed=4), Reuse(read=False, keep_prompt=True))
    assert {head.prompt for head in engine.cache.store} == {None, BLUE}


def test_a_replay_tells_what_was_cut_from_the_prompt(engine):
    long = " ".join([RED] * 100)
    first, again = (engine.generate(small(long, seed=3)) for _ in range(2))
    assert again.ledger.kind == "exact"
    assert again.video.cut == first.video.cut != ""


def test_an_evicted_source_is_a_miss(engine, monkeypatch):
    engine.generate(small(seed=3))
    monkeypatch.setattr(engine.cache.store, "get", lambda *_: None)
    missed = engine.generate(small(BLUE, seed=4))
    assert missed.ledger.kind == "miss" and "evicted" in missed.ledger.reason


def test_one_program_for_all_hits_of_a_tier(engine):
    engine.generate(small(seed=3))
    engine.generate(small(BLUE, seed=4))
    count = loop.advance._cache_size()
    for prompt in ("the blue square left of the circle", "a red square still on gray"):
        assert engine.generate(small(prompt, seed=5)).ledger.kind == "semantic"
    assert loop.advance._cache_size() == count


def test_a_failed_request_leaves_nothing(engine, monkeypatch):
    def fail(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(engine, "decoded", fail)
    with pytest.raises(MemoryError):
        engine.generate(small(seed=3))
    assert not len(engine.cache.store)
