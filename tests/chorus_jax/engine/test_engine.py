"""The engine: hits, misses and replays, what they leave, and what they must not."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from chorus_jax.denoise import staged_sampler
from chorus_jax.engine import Cache, Engine, Reuse, StoppedError
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.engine.recipes import recipe_of
from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.request import Request

STEPS = 6
REGIONS = Regions(reach=0)
RED = "a red circle moves left on a gray background"
BLUE = "a blue circle moves left on a gray background"


@pytest.fixture(scope="module")
def pipeline(weights):
    made = Pipeline.load(weights)
    # The usual tile would be the whole of so small a video.
    transformer = replace(made.sizes.transformer, tile=(1, 2, 2))
    made.sizes = replace(made.sizes, transformer=transformer)
    return made


def policy(request=None):
    """Hits from a score of 0.3 on; random weights tell prompts apart badly."""
    tiers = (Tier(0.3, 2, 4, active=0.5, key_gain=1.5, output_gain=1.2),)
    return Policy(STEPS, tiers, (2, 3, 4), REGIONS)


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


def test_requests_without_a_seed_get_different_videos(engine):
    first, again = engine.generate(small()), engine.generate(small())
    assert first.ledger.kind == again.ledger.kind == "miss"
    assert "of the same words" in again.ledger.reason
    # Two sources now, each good for one more video of other words.
    found = [engine.generate(small(BLUE)) for _ in range(3)]
    assert [each.ledger.kind for each in found] == ["semantic", "semantic", "miss"]
    assert "made from this source" in found[2].ledger.reason
    assert {each.ledger.source for each in found[:2]} == {first.entry, again.entry}
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
    assert head.statistics.hits == 1 and head.statistics.uses == (1, 0, 0)


def test_a_target_that_differs_beyond_its_region_is_run_whole_and_says_so(engine):
    wanted = policy()
    regions = replace(wanted.regions, limit=0.0)
    engine.policies = lambda _: replace(wanted, regions=regions)
    engine.generate(small(seed=3))
    ledger = engine.generate(small(BLUE, seed=4)).ledger
    assert (ledger.kind, ledger.reuse_until, ledger.region_until) == ("semantic", 2, 4)
    assert ledger.active == 1 and ledger.equivalents == STEPS - 2
    assert "differ beyond the region" in ledger.reason


@pytest.mark.parametrize("later, left", [((), ()), ((Tier(0.999, 4, 4),), (4,))])
def test_a_hit_leaves_key_steps_of_its_own_that_a_tier_can_use(engine, later, left):
    wanted = policy()
    engine.policies = lambda _: replace(wanted, tiers=(*wanted.tiers, *later))
    engine.generate(small(seed=3))
    assert engine.generate(small(BLUE, seed=4)).ledger.region_until == 4
    assert {head.steps for head in engine.cache.store} == {left, (2, 3, 4)}


def test_what_hits_leave_does_not_hide_the_source_from_later_ones(engine):
    engine.cache.matcher.candidates = 1
    engine.generate(small(seed=3))
    for seed in range(4, 10):
        hit = engine.generate(small(seed=seed))
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


def test_equal_sigmas_with_other_timesteps_are_another_recipe(pipeline):
    spaced = small(solver="unipc", shift=1.0)
    schedule = spaced.make_solver().schedule
    told = replace(spaced, steps=schedule.sigmas)
    assert told.make_solver().schedule.sigmas == schedule.sigmas
    assert recipe_of(told, pipeline).digest != recipe_of(spaced, pipeline).digest


@pytest.mark.parametrize("part", ["transformer", "text_encoder", "vae"])
def test_the_dtype_of_each_part_is_of_the_recipe(pipeline, part):
    other = copy.copy(pipeline)
    config = replace(getattr(pipeline.sizes, part), dtype="bfloat16")
    other.sizes = replace(pipeline.sizes, **{part: config})
    assert recipe_of(small(), other).digest != recipe_of(small(), pipeline).digest


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
    engine.generate(small(BLUE, seed=5))
    lax = engine.generate(small(BLUE, seed=5), Reuse(least_score=0.3)).ledger
    assert lax.kind == "exact" and 0.3 <= lax.score < 1


def test_a_policy_without_tiers_says_that_it_reuses_nothing(engine):
    engine.policies = lambda _: Policy(STEPS, (), (2,))
    engine.generate(small(seed=3))
    ledger = engine.generate(small(BLUE, seed=4)).ledger
    assert ledger.kind == "miss" and "reuses nothing at 6 steps" in ledger.reason


def test_an_entry_without_the_key_steps_that_a_tier_takes_is_no_source(engine):
    engine.policies = lambda _: Policy(STEPS, (), (1,))
    engine.generate(small(seed=3))
    engine.policies = policy
    ledger = engine.generate(small(BLUE, seed=4)).ledger
    assert ledger.kind == "miss" and "key steps" in ledger.reason


def test_one_policy_serves_any_number_of_steps(pipeline):
    cache = Cache.in_memory()
    engine = Engine(pipeline, cache, policy())
    for steps, first in ((STEPS, 2), (3, 1)):
        engine.generate(small(seed=3, steps=steps))
        found = engine.generate(small(BLUE, seed=4, steps=steps)).ledger
        assert (found.kind, found.reuse_until) == ("semantic", first)
    cache.close()


def test_a_video_larger_than_the_budgets_is_told(pipeline, caplog):
    cache = Cache.in_memory(1)
    assert Engine(pipeline, cache, policy).generate(small(seed=3)).entry is None
    assert "a video was not kept" in caplog.text
    cache.close()


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


def test_a_stopped_request_is_not_replayed(engine):
    engine.generate(small(seed=3))
    reuse = Reuse()
    reuse.stop.set()
    with pytest.raises(StoppedError):
        engine.generate(small(seed=3), reuse)
    [head] = engine.cache.store
    assert head.statistics.hits == 0


@pytest.mark.parametrize("waits_for", ["embed", "denoise"])
def test_a_request_stopped_while_it_waits_for_the_device_computes_nothing(
    engine, monkeypatch, waits_for
):
    reuse, waiting, errors = Reuse(), threading.Event(), []
    part = {"embed": "prepared", "denoise": "run"}[waits_for]
    monkeypatch.setattr(engine, part, lambda *_: pytest.fail(f"{part} was run"))

    class Queue:
        """A device that the request waits for, and gets when it was stopped."""

        def __enter__(self):
            waiting.set()
            assert reuse.stop.wait(60)

        def __exit__(self, *_):
            pass

    if waits_for == "embed":
        engine.device = Queue()
    else:
        source = engine.sources

        def look(*given):
            engine.device = Queue()
            return source(*given)

        monkeypatch.setattr(engine, "sources", look)

    def work():
        with pytest.raises(StoppedError):
            engine.generate(small(seed=3), reuse)
        errors.append(None)

    thread = threading.Thread(target=work)
    thread.start()
    assert waiting.wait(60)
    reuse.stop.set()
    thread.join()
    assert errors == [None] and not len(engine.cache.store)


@pytest.mark.parametrize("part", ["run", "decoded"])
def test_a_request_stopped_at_work_leaves_nothing(engine, monkeypatch, part):
    of, reuse = engine if part == "run" else engine.pipeline, Reuse()
    work = getattr(of, part)

    def stopped(*given):
        made = work(*given)
        reuse.stop.set()
        return made

    monkeypatch.setattr(of, part, stopped)
    with pytest.raises(StoppedError):
        engine.generate(small(seed=3), reuse)
    assert not len(engine.cache.store)


def test_a_replay_tells_what_was_cut_from_the_prompt(engine):
    long = " ".join([RED] * 100)
    first, again = (engine.generate(small(long, seed=3)) for _ in range(2))
    assert again.ledger.kind == "exact"
    assert again.video.cut == first.video.cut != ""


def test_a_failed_request_leaves_nothing(engine, monkeypatch):
    def fail(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(engine.pipeline, "decoded", fail)
    with pytest.raises(MemoryError):
        engine.generate(small(seed=3))
    assert not len(engine.cache.store)


def right_part(columns):
    """A region of the last columns of the 2 x 8 x 16 latents."""
    region = np.zeros((2, 8, 16), np.float32)
    region[:, :, 16 - columns :] = 1
    return region


def test_a_given_region_is_what_is_run(engine):
    """Outside of it the latents before K2 are the source's; so if K2 is the end but for
    a step that does nothing, the video's are."""
    wanted = policy()
    tier = replace(wanted.tiers[0], reuse_until=2, region_until=STEPS - 1)
    keep = (2, 3, STEPS - 1)
    engine.policies = lambda _: replace(wanted, tiers=(tier,), keep=keep)
    source = engine.generate(small(seed=3))
    hit = engine.generate(small(BLUE, seed=4), Reuse(region=right_part(4)))
    ledger = hit.ledger
    assert (ledger.kind, ledger.active, ledger.reason) == ("semantic", 0.25, "")
    apart = np.abs(hit.video.latents - source.video.latents).mean(axis=(0, 1, 3))
    whole = engine.generate(small(BLUE, seed=5), Reuse(region=right_part(16)))
    expected = np.abs(whole.video.latents - source.video.latents).mean(axis=(0, 1, 3))
    assert whole.ledger.active == 1 and whole.ledger.equivalents == STEPS - 2
    # One last step of all tokens is common to both.
    assert apart[:12].mean() < 0.8 * expected[:12].mean()
    assert apart[12:].mean() > 0.9 * expected[12:].mean()


def test_a_given_region_of_everything_is_no_region(engine):
    wanted = policy()
    engine.policies = lambda _: replace(wanted, regions=replace(REGIONS, limit=0.0))
    engine.generate(small(seed=3))
    plain = engine.generate(small(BLUE, seed=4), Reuse(write=False))
    assert plain.ledger.active == 1
    region = right_part(16)
    whole = engine.generate(small(BLUE, seed=4), Reuse(region=region))
    np.testing.assert_allclose(whole.video.latents, plain.video.latents, atol=1e-5)


def test_a_given_region_is_run_though_the_tier_has_no_steps_for_it(engine):
    wanted = policy()
    tiers = (replace(wanted.tiers[0], region_until=2),)
    engine.policies = lambda _: replace(wanted, tiers=tiers)
    engine.generate(small(seed=3))
    ledger = engine.generate(small(BLUE, seed=4), Reuse(region=right_part(8))).ledger
    assert (ledger.reuse_until, ledger.region_until) == (2, 4)
    assert ledger.active == 0.5 and not ledger.reason


def test_a_given_region_that_cannot_be_used_is_told(engine):
    wanted = policy()
    tiers = (replace(wanted.tiers[0], reuse_until=4, region_until=4),)
    engine.policies = lambda _: replace(wanted, tiers=tiers)
    engine.generate(small(seed=3))
    ledger = engine.generate(small(BLUE, seed=4), Reuse(region=right_part(8))).ledger
    assert ledger.kind == "semantic" and ledger.active == 1
    assert "region was not used" in ledger.reason


def test_an_empty_region_is_refused(engine):
    with pytest.raises(ValueError, match="above 0 where the video may differ"):
        engine.generate(small(seed=3), Reuse(region=np.zeros((2, 8, 16), np.float32)))


@pytest.mark.parametrize(
    "region",
    [
        np.zeros((2, 8, 8), np.float32),
        np.zeros((2, 8, 32), np.float32),
        np.full((2, 8, 16), np.nan, np.float32),
    ],
    ids=["small", "large", "nan"],
)
def test_a_region_on_another_grid_is_refused(engine, region):
    with pytest.raises(ValueError, match=r"request, \(2, 8, 16\); got one of"):
        engine.generate(small(seed=3), Reuse(region=region))


def test_another_region_is_no_repeat(engine):
    left = np.zeros((2, 8, 16), np.float32)
    left[:, :, :8] = 1
    for reuse in (Reuse(region=left), Reuse(region=1 - left), Reuse()):
        assert engine.generate(small(seed=3), reuse).ledger.kind != "exact"
    again = engine.generate(small(seed=3), Reuse(region=left.copy()))
    assert again.ledger.kind == "exact"


def test_an_evicted_source_is_a_miss(engine, monkeypatch):
    engine.generate(small(seed=3))
    monkeypatch.setattr(engine.cache.store, "get", lambda *_: None)
    missed = engine.generate(small(BLUE, seed=4))
    assert missed.ledger.kind == "miss" and "evicted" in missed.ledger.reason


def test_one_program_for_all_hits_of_a_tier(engine):
    engine.generate(small(seed=3))
    engine.generate(small(BLUE, seed=4))
    count = staged_sampler.denoise._cache_size()
    for prompt in ("the blue square left of the circle", "a red square still on gray"):
        assert engine.generate(small(prompt, seed=5)).ledger.kind == "semantic"
    assert staged_sampler.denoise._cache_size() == count


def test_eight_threads_share_an_engine(pipeline, tmp_path):
    """Whatever their order: each video is its own request's, and nothing is lost."""
    cache = Cache.in_folder(tmp_path, 10**8)
    engine = Engine(pipeline, cache, policy)
    asked = [
        small(prompt, seed=seed)
        for prompt in (RED, BLUE, "the blue square", "a gray circle")
        for seed in (0, 1)
    ]

    def work(number):
        turned = asked[number:] + asked[:number]
        own = small(BLUE, seed=10 + number)  # a hit: all others are there by then
        return [engine.generate(request) for request in (*turned, *turned, own)]

    with ThreadPoolExecutor(8) as pool:
        results = [each for found in pool.map(work, range(8)) for each in found]
    assert len(results) == 8 * (2 * len(asked) + 1)
    plain = {request: pipeline(request)[0] for request in asked}
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
    # Of two that made the same at the same time one is kept.
    assert set(heads) <= set(made) and len(heads) == len(asked) + 8
    places = set(cache.matcher.shelves.places)
    assert places == {id for id, head in heads.items() if head.steps}
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


def test_what_one_engine_leaves_another_on_its_folder_finds(pipeline, tmp_path):
    caches = [Cache.in_folder(tmp_path, 10**8) for _ in range(2)]
    one, other = (Engine(pipeline, cache, policy) for cache in caches)
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
    pipeline, tmp_path, monkeypatch
):
    cache = Cache.in_folder(tmp_path, disk_bytes=2**24, memory_bytes=0)
    engine = Engine(pipeline, cache, policy)
    first = engine.generate(small(seed=3))
    engine.generate(small("something else that shares no word at all", seed=5))
    asked, embed = [], engine.prepared
    monkeypatch.setattr(cache.store, "prefetch", lambda *given: asked.append(given))

    def prepared(request):
        assert asked, "embedded before anything was foreseen"
        return embed(request)

    monkeypatch.setattr(engine, "prepared", prepared)
    hit = engine.generate(small(BLUE, seed=4))
    assert asked == [(first.entry, "default")] and hit.ledger.source == first.entry
    engine.generate(small(BLUE, seed=4), Reuse(read=False, write=False))
    assert len(asked) == 1
    cache.close()
