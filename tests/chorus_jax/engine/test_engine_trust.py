"""Which requests a cached video may answer, and which not."""

import json
import os
import shutil
import threading
import time
from contextlib import contextmanager
from dataclasses import fields, replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from chorus_jax import checkpoints
from chorus_jax.audio_video import AudioVideoGuidance
from chorus_jax.engine import Cache, Engine, Reuse, numerics
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.engine.policies import requested
from chorus_jax.engine.recipes import of_sources, recipe_of
from chorus_jax.engine.reuse import Watch
from chorus_jax.engine.task import INPUTS, Task
from chorus_jax.families.protocols import VideoModel
from chorus_jax.guidance_schedule import GuidanceSchedule
from chorus_jax.inter_request.policy.policy import Policy, Tier
from chorus_jax.inter_request.store.entry import Entry, EntryHeader
from chorus_jax.inter_request.store.secret import Secret
from chorus_jax.intra_request import SkipSteps
from chorus_jax.media.inputs import InputMedia
from chorus_jax.media.keyframes import Keyframe
from chorus_jax.request import Request
from chorus_jax.spatio_temporal import SpatioTemporalGuidance
from chorus_jax.text.prompts import encode
from chorus_jax.token_budgets.budgets import TokenBudgets, TokenGroup
from tests.chorus_jax.engine.tiny import BLUE, OTHERS, RED, STEPS, policy, small

CHAIN = [RED, *OTHERS[:4]]


def looser(least=0.3):
    return replace(policy(), tiers=(Tier(least, 2, 4, active=0.5), Tier(1.0, 4, 4)))


def pixels(results):
    return {result.video.latents.tobytes() for result in results}


def test_scores_go_along_a_chain(engine):
    """Each link is near enough to the one before, but not to what the first showed."""
    engine.policies = lambda _: looser()
    scores = [engine.generate(small(CHAIN[0], seed=0)).ledger.score or 1.0]
    heads = {head.prompt: head for head in engine.cache.store}
    for i, prompt in enumerate(CHAIN[1:], 1):
        made = engine.generate(small(prompt, seed=i), Reuse(keep_prompt=True))
        heads = {head.id: head for head in engine.cache.store}
        ledger = made.ledger
        if ledger.kind == "miss":
            continue
        found = heads[ledger.source].score
        assert ledger.score <= found, "no better than its source"
        assert heads[made.entry].score == pytest.approx(ledger.score)
        scores.append(ledger.score)
    assert len(scores) > 2 and min(scores) < 1


@pytest.mark.parametrize("least", [0.5, 0.9, 0.99, 0.999])
def test_nothing_below_its_limit_is_served(engine, least):
    """Semantic hits, exact repeats and shared entries, after a loose request."""
    engine.policies = lambda _: looser(0.0)
    for i, prompt in enumerate(CHAIN):
        engine.generate(small(prompt, seed=i), Reuse(shared=True))
    for namespace in ("default", "other"):
        for i, prompt in enumerate(CHAIN):
            for seed in (i, 50 + i):
                strict = Reuse(least_score=least, namespace=namespace, write=False)
                ledger = engine.generate(small(prompt, seed=seed), strict).ledger
                assert ledger.kind == "miss" or ledger.score >= least


def test_a_strict_policy_does_not_replay_what_a_loose_one_made(engine):
    engine.generate(small(seed=3))
    loose = engine.generate(small(BLUE, seed=4))
    assert loose.ledger.kind == "semantic" and loose.ledger.score < 0.9999
    strict = Engine(engine.pipeline, engine.cache, lambda _: looser(0.9999))
    again = strict.generate(small(BLUE, seed=4), Reuse(write=False)).ledger
    assert again.kind == "miss"
    asked = Reuse(least_score=0.9999)
    again = engine.generate(small(BLUE, seed=4), asked).ledger
    assert again.kind == "miss" and "below the least score" in again.reason
    engine.generate(small(OTHERS[0], seed=4))
    reusing_nothing = lambda _: Policy(STEPS, ())
    never = Engine(engine.pipeline, engine.cache, reusing_nothing)
    assert never.generate(small(OTHERS[0], seed=4)).ledger.kind == "miss"


@pytest.mark.parametrize(
    "other",
    [
        lambda tier: replace(policy(), tiers=(replace(tier, key_gain=1.0),)),
        lambda tier: replace(policy(), tiers=(replace(tier, active=0.25),)),
        lambda tier: replace(policy(), cache=SkipSteps((5,))),
    ],
    ids=["gain", "active", "cache"],
)
def test_a_hit_is_replayed_for_its_policy_only_a_full_run_for_all(engine, other):
    engine.generate(small(seed=3))
    made = engine.generate(small(BLUE, seed=4))
    assert made.ledger.kind == "semantic"
    engine.policies = lambda _: other(policy().tiers[0])
    find = lambda prompt: engine.replayed(
        Task.of(
            small(prompt, seed=4 if prompt == BLUE else 3),
            Reuse(),
            engine.policies(small()),
            engine.pipeline.model,
            engine.cache.store.secret,
        ),
        Watch(),
    )
    assert find(BLUE) is None
    assert find(RED).ledger.kind == "exact"


def test_another_policy_replays_only_what_was_computed_in_full(engine):
    """Its hits are other videos, though their scores are the same."""
    engine.generate(small(seed=3))
    made = engine.generate(small(BLUE, seed=4))
    assert made.ledger.kind == "semantic"
    [tier] = policy().tiers
    knobs = replace(policy(), tiers=(replace(tier, key_gain=tier.key_gain + 1),))
    other = Engine(engine.pipeline, engine.cache, lambda _: knobs)
    again = other.generate(small(BLUE, seed=4))
    assert again.ledger.kind == "semantic" and "another policy" in again.ledger.reason
    assert pixels([again]) != pixels([made])
    for one, result in ((engine, made), (other, again)):
        assert one.generate(small(BLUE, seed=4)).ledger.kind == "exact"
        assert pixels([one.generate(small(BLUE, seed=4))]) == pixels([result])
    assert other.generate(small(seed=3)).ledger.kind == "exact"
    # A step cache of misses is of the recipe, not of what hits are.
    assert replace(knobs, miss_cache=SkipSteps((1,))).digest == knobs.digest


def test_another_namespace_does_not_learn_the_id_of_a_source(engine):
    shared = engine.generate(small(seed=3), Reuse(shared=True))
    there = Reuse(namespace="other")
    hit = engine.generate(small(BLUE, seed=4), there).ledger
    replay = engine.generate(small(seed=3), there).ledger
    assert (hit.kind, replay.kind) == ("semantic", "exact")
    assert hit.source is replay.source is None
    assert engine.generate(small(seed=3)).ledger.source == shared.entry


def test_a_prompt_is_cleaned_and_tokenised_once(engine, monkeypatch):
    tokenizer, cleaned, split = engine.pipeline.model.prompts.tokenizer, [], []
    true = tokenizer.rules.encode_batch

    class Rules:
        """The tokenizer's, watched: its own attributes cannot be set."""

        def __getattr__(self, name):
            return getattr(rules, name)

        def encode_batch(self, texts):
            split.extend(texts)
            return true(texts)

    rules = tokenizer.rules
    monkeypatch.setattr(tokenizer, "rules", Rules())
    once = lambda prompt: cleaned.append(prompt) or prompt
    monkeypatch.setattr(tokenizer, "clean", once)
    engine.generate(small(seed=3))
    assert cleaned.count(RED) == split.count(RED) == 1


def test_a_good_shared_video_is_not_hidden_by_a_poor_own_one(engine):
    engine.generate(small(seed=3))
    assert engine.generate(small(BLUE, seed=4)).ledger.kind == "semantic"
    full = Reuse(read=False, namespace="other", shared=True)
    engine.generate(small(BLUE, seed=4), full)
    ledger = engine.generate(small(BLUE, seed=4), Reuse(least_score=0.9999)).ledger
    assert ledger.kind == "exact" and ledger.score == 1


@pytest.mark.parametrize("seeds", [(1, 2, 3), (None, None, None)])
@pytest.mark.parametrize("write", [True, False])
def test_other_seeds_are_other_videos(engine, seeds, write):
    """Of the same words as the source and of others, kept or not."""
    engine.generate(small(seed=0))
    for prompt in (RED, BLUE):
        made = [
            engine.generate(small(prompt, seed=seed), Reuse(write=write))
            for seed in seeds
        ]
        assert len(pixels(made)) == 3
    assert {x.ledger.kind for x in made} == {"semantic"}


@pytest.mark.parametrize("write", [True, False])
def test_the_same_seed_is_the_same_video(engine, write):
    engine.generate(small(seed=0))
    made = [engine.generate(small(BLUE, seed=4), Reuse(write=write)) for _ in range(3)]
    assert len(pixels(made)) == 1


def test_unseeded_requests_at_once_are_different_videos(engine):
    engine.generate(small(seed=0))
    made, wait = [], threading.Barrier(3)

    def work():
        wait.wait()
        made.append(engine.generate(small(BLUE), Reuse(write=False)))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pixels(made)) == 3


def test_a_stopped_request_leaves_its_source_to_others(engine):
    engine.generate(small(seed=0))
    stop = threading.Event()

    def observer(event):
        stop.set()

    with pytest.raises(Exception, match="stopped"):
        engine.generate(small(BLUE, seed=4), observer=observer, stop=stop)
    assert engine.generate(small(BLUE, seed=5)).ledger.kind == "semantic"


@pytest.mark.parametrize("value", [float("nan"), -0.1, 1.1, float("inf"), "no", True])
def test_a_least_score_is_a_number_from_0_to_1(value):
    with pytest.raises(ValueError, match="least_score must be"):
        Reuse(least_score=value)


@pytest.mark.parametrize(
    "namespace, message",
    [
        (("org", "user"), "must be text"),
        ("x" * 257, "at most 256 characters"),
        ("\ud800", "namespace is no valid text"),
    ],
)
def test_a_namespace_is_short_text(namespace, message):
    with pytest.raises(ValueError, match=message):
        Reuse(namespace=namespace)


def test_a_region_that_is_written_to_later_is_the_same():
    buffer = np.ones((2, 4, 4), np.float32)
    reuse = Reuse(region=buffer)
    before = reuse.region_digest
    buffer[:] = 0
    assert reuse.region_digest == before and reuse.region.all()
    assert not reuse.region.flags.writeable


def test_a_source_whose_load_fails_is_left_to_others(engine, monkeypatch):
    """Its video is nobody's then: the next request of these words may have it."""
    engine.generate(small(seed=0))
    with monkeypatch.context() as patch:
        broken = lambda *_: (_ for _ in ()).throw(MemoryError)
        patch.setattr(engine.cache.store, "get", broken)
        with pytest.raises(MemoryError):
            engine.generate(small(BLUE))
    assert engine.generate(small(BLUE)).ledger.kind == "semantic"


def test_the_step_cache_of_misses_is_of_the_recipe(engine):
    plain = policy()
    lossy = SkipSteps((1, 3))
    model, request = engine.pipeline.model, small()
    digests = {
        recipe_of(request, model, each).digest
        for each in (
            plain,
            replace(plain, cache=lossy),
            replace(plain, miss_cache=lossy),
            replace(plain, miss_cache=SkipSteps((1,))),
        )
    }
    assert len(digests) == 3
    engine.policies = lambda _: replace(plain, miss_cache=lossy)
    engine.generate(small(seed=3))
    engine.policies = policy
    assert engine.generate(small(seed=3)).ledger.kind == "miss"


@pytest.mark.parametrize(
    "setting, value",
    [
        ("jax_default_prng_impl", "rbg"),
        ("jax_default_matmul_precision", "highest"),
    ],
)
def test_what_computes_is_of_the_recipe(engine, setting, value):
    model, request = engine.pipeline.model, small()
    before = recipe_of(request, model, policy()).digest
    old = getattr(jax.config, setting)
    jax.config.update(setting, value)
    try:
        assert recipe_of(request, model, policy()).digest != before
    finally:
        jax.config.update(setting, old)
    assert recipe_of(request, model, policy()).digest == before


def test_the_default_device_is_of_the_recipe(monkeypatch):
    with jax.default_device(jax.devices()[3]):
        assert numerics.default_device() is jax.devices()[3]
    with jax.default_device("cpu"):
        assert numerics.default_device() is jax.devices()[0]
    gpu = SimpleNamespace(platform="gpu", device_kind="H100")
    monkeypatch.setattr(numerics, "default_device", lambda: gpu)
    assert "gpu H100" in numerics.run_by(None)


@pytest.mark.parametrize("name", ["XLA_FLAGS", "LIBTPU_INIT_ARGS"])
def test_flags_that_change_numbers_are_in_the_recipe(monkeypatch, name):
    before = numerics.run_by(None)
    for harmless in ("--xla_dump_to=x", "--xla_force_host_platform_device_count=8"):
        monkeypatch.setenv(name, f"{os.environ.get(name, '')} {harmless}")
        assert numerics.run_by(None) == before
    monkeypatch.setenv(name, "--xla_cpu_enable_fast_math=true")
    assert numerics.run_by(None) != before


def test_the_code_that_decides_pixels_is_of_the_recipe(engine, monkeypatch):
    model, request = engine.pipeline.model, small()
    before = recipe_of(request, model, policy()).digest
    monkeypatch.setattr(numerics, "DIGEST", "0" * 16)
    assert recipe_of(request, model, policy()).digest != before


def test_two_kinds_of_guidance_are_two_recipes(engine):
    """Written one after the other, their numbers are the same."""
    schedule = GuidanceSchedule((0.7,), (3.0,), (1.0,), (0.0,), ((5,),))
    perturbed = SpatioTemporalGuidance((3, 1, 0, 1, 5, 0), 1.0, 0.7)
    model = EveryFamily(engine.pipeline.model)
    digests = {
        recipe_of(small(**kind), model, policy()).digest
        for kind in ({"guidance_schedule": schedule}, {"perturbed": perturbed})
    }
    assert len(digests) == 2


def test_sources_of_other_inputs_have_them_at_the_same_places(engine):
    """Their latents have other shapes else: given frames may be tokens of their own."""
    model, image = EveryFamily(engine.pipeline.model), np.zeros((4, 4, 3), np.uint8)

    def recipe(*fields, keyframes=()):
        request = small(inputs=InputMedia(*fields, keyframes=keyframes))
        return of_sources(recipe_of(request, model, policy()), request).digest

    assert recipe(image) == recipe(image + 1)
    others = [
        recipe(image, image),
        *(recipe(image, keyframes=(Keyframe(image[None], at),)) for at in (3, 4)),
        recipe(image, keyframes=(Keyframe(image[None], 3, 0.5),)),
    ]
    assert len({recipe(image), *others}) == 5


def test_a_video_made_of_other_inputs_is_replayed_if_asked_only(engine):
    """`Reuse.other_inputs` is asked of the stored video too, as the score is."""
    model, rules = EveryFamily(engine.pipeline.model), policy()
    request = small(seed=3, inputs=InputMedia(np.zeros((4, 4, 3), np.uint8)))
    asked, strict = (
        Task.of(request, Reuse(other_inputs=any), rules, model, Secret())
        for any in (True, False)
    )
    assert asked.exact == strict.exact and asked.recipe != strict.recipe
    of_others = EntryHeader(
        recipe=asked.recipe,
        exact=asked.exact,
        namespace="default",
        noises=(3,),
        embedding=np.eye(4, dtype=np.float32)[0],
        words=(),
        meanings=np.zeros((0, 4), np.float16),
        created=1.0,
        policy=rules.digest,
    )
    of_own = replace(of_others, recipe=strict.recipe)
    in_full = replace(of_others, policy="")
    assert asked.takes(of_others) and not strict.takes(of_others)
    assert strict.not_replayed == INPUTS
    assert all(
        task.takes(head) for task in (asked, strict) for head in (of_own, in_full)
    )


def test_many_entries_that_are_refused_do_not_hide_one_that_is_not(engine):
    """Twenty of the same words are nearer than the one of others."""
    engine.generate(small(seed=0))
    [other] = list(engine.cache.store)
    source = engine.cache.store.get(other.id, "default")
    words = engine.query(small(BLUE))
    for _ in range(20):
        same = replace(
            source.owned(),
            id=f"{np.random.default_rng().integers(2**63):032x}",
            exact=f"{np.random.default_rng().integers(2**63):064x}",
            embedding=words.embedding,
            words=words.words,
            meanings=words.meanings,
        )
        engine.cache.store.admit(same)
    ledger = engine.generate(small(BLUE, seed=4)).ledger
    assert ledger.kind == "semantic" and ledger.source == other.id


class EveryFamily:
    """A model of several transformers that reads all that any family reads."""

    transformers = {"high": None, "low": None}

    def __init__(self, model):
        self.model = model

    def __getattr__(self, name):
        return getattr(self.model, name)

    def fps(self, request):
        return request.fps

    def geometry(self, request):
        return self.model.geometry(small())


# From Python 3.12 on, an instance of a protocol has its members without `__getattr__`.
for name in {*dir(VideoModel), *VideoModel.__annotations__} - set(dir(EveryFamily)):
    if not name.startswith("_"):
        read = lambda self, name=name: getattr(self.model, name)
        setattr(EveryFamily, name, property(read))


def changes_of(request):
    """Another value for each field of a request."""
    image = np.zeros((4, 4, 3), np.uint8)
    levels = (1.0, 0.5), (3.0, 2.0), (1.0, 0.0), (0.5, 0.0), ((0,), (0,))
    return {
        "prompt": BLUE,
        "negative_prompt": "blurred",
        "frames": request.frames + 4,
        "height": request.height * 2,
        "width": request.width * 2,
        "steps": request.steps + 1,
        "solver": "dpmpp",
        "shift": request.shift + 1,
        "guidance_scale": request.guidance_scale + 1,
        "seed": 9,
        "guidance_scale_high": 4.0,
        "guidance_scale_low": 4.5,
        "inputs": InputMedia(image),
        "fps": 12.0,
        "perturbed": SpatioTemporalGuidance((0,), 1.0),
        "joint": AudioVideoGuidance(joint=2.0),
        "guidance_schedule": GuidanceSchedule(*levels),
        "step_cache": "taylor:interval=2",
        "tokens": TokenBudgets(request.steps, (TokenGroup(1.0, request.steps),)),
    }


def test_every_field_of_a_request_is_of_its_digest(engine):
    request, model = small(seed=3), EveryFamily(engine.pipeline.model)
    secret, changes, digests = engine.cache.store.secret, changes_of(request), set()
    assert changes.keys() == {field.name for field in fields(Request)}, (
        "a new field of requests: recipe_of must tell its values apart"
    )
    for other in ({}, *({name: value} for name, value in changes.items())):
        changed = replace(request, **other)
        policy = requested(lambda given: Policy(given.step_count, ()))(changed)
        digests.add(Task.of(changed, Reuse(), policy, model, secret).exact)
    assert len(digests) == 1 + len(changes)


def test_latents_that_are_not_finite_are_not_admitted(engine):
    engine.generate(small(seed=0))
    [head] = list(engine.cache.store)
    entry = engine.cache.store.get(head.id, "default")
    broken = np.array(entry.latents)
    broken[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        replace(entry, latents=broken)


def test_a_source_that_breaks_the_run_is_forgotten(engine, monkeypatch):
    """It is finite, but the run from it is not."""
    engine.generate(small(seed=0))
    [head] = list(engine.cache.store)
    entry = engine.cache.store.get(head.id, "default")
    huge = np.full(entry.latents.shape, 3e38, np.float32)
    engine.cache.store.delete(head.id)
    engine.cache.store.admit(replace(entry, latents=huge))
    made = engine.generate(small(BLUE, seed=4))
    assert made.ledger.kind == "miss" and "not finite" in made.ledger.reason
    [plain] = engine.pipeline(small(BLUE, seed=4))
    np.testing.assert_array_equal(made.video.latents, plain.latents)
    assert head.id not in {x.id for x in engine.cache.store}
    assert isinstance(engine.cache.store.get(made.entry, "default"), Entry)


@pytest.mark.parametrize("asked", [dict(seed=3), dict(prompt=BLUE, seed=4)], ids=str)
def test_stored_latents_of_another_shape_are_forgotten(engine, asked):
    """As a record that was made by hand: neither replayed nor a source."""
    made = engine.generate(small(seed=3))
    entry = engine.cache.store.get(made.entry, "default")
    engine.cache.store.delete(made.entry)
    engine.cache.store.admit(replace(entry, latents=entry.latents[:1]))
    again = engine.generate(small(**asked))
    assert again.ledger.kind == "miss" and "another shape" in again.ledger.reason
    assert made.entry not in {head.id for head in engine.cache.store}


@pytest.mark.parametrize("asked", [dict(seed=3), dict(prompt=BLUE, seed=4)], ids=str)
def test_an_entry_that_cannot_be_deleted_is_a_miss(engine, asked, monkeypatch):
    """The folder has become read-only, or another process holds its lock."""
    made = engine.generate(small(seed=3))
    entry, store = engine.cache.store.get(made.entry, "default"), engine.cache.store
    store.delete(made.entry)
    store.admit(replace(entry, latents=entry.latents[:1]))
    locked = lambda *_: (_ for _ in ()).throw(TimeoutError("held by another process"))
    monkeypatch.setattr(store, "delete", locked)
    again = engine.generate(small(**asked), Reuse(write=False))
    assert again.ledger.kind == "miss" and "another shape" in again.ledger.reason


def test_a_stored_video_whose_frames_are_not_finite_is_forgotten(engine):
    """Its latents are finite, and what the decoder makes of them is not."""
    made = engine.generate(small(seed=3))
    entry = engine.cache.store.get(made.entry, "default")
    engine.cache.store.delete(made.entry)
    engine.cache.store.admit(replace(entry, latents=np.full_like(entry.latents, 3e38)))
    again = engine.generate(small(seed=3))
    assert again.ledger.kind == "miss" and "not finite" in again.ledger.reason
    assert pixels([again]) == pixels([made])
    assert made.entry not in {head.id for head in engine.cache.store}


def test_a_source_whose_frames_are_not_finite_is_forgotten(engine, monkeypatch):
    source = engine.generate(small(seed=0)).entry
    true, broken = engine.pipeline.decode, [True]

    def decode(latents, requests, seconds):
        if broken and broken.pop():
            latents = jax.tree.map(lambda x: x + np.float32(3e38), latents)
        return true(latents, requests, seconds)

    monkeypatch.setattr(engine.pipeline, "decode", decode)
    made = engine.generate(small(BLUE, seed=4))
    assert made.ledger.kind == "miss" and "not finite" in made.ledger.reason
    [plain] = engine.pipeline(small(BLUE, seed=4))
    np.testing.assert_array_equal(made.video.frames, plain.frames)
    assert source not in {head.id for head in engine.cache.store}


def test_own_entries_only(engine):
    """Not those of others, nor own ones that were made from others'."""
    engine.generate(small(seed=3), Reuse(namespace="a", shared=True))
    alone = Reuse(namespace="b", own_only=True)
    taken = engine.generate(small(BLUE, seed=9), Reuse(namespace="b"))
    assert taken.ledger.kind == "semantic"
    assert engine.generate(small(BLUE, seed=9), Reuse(namespace="b")).entry is None
    again = engine.generate(small(BLUE, seed=9), alone)
    assert again.ledger.kind == "miss"
    engine.cache.store.delete(again.entry)
    made = engine.generate(small(OTHERS[0], seed=3), alone)
    assert made.ledger.kind == "miss"
    ledger = engine.generate(small(seed=3), alone).ledger
    assert (ledger.kind, ledger.source) == ("semantic", made.entry)
    found = engine.generate(small(BLUE, seed=4), alone).ledger
    own = {head.id for head in engine.cache.store if head.namespace == "b"}
    assert found.kind == "semantic" and found.source in own


def test_settings_cannot_be_tried_out_without_the_secret(engine):
    """A record has no digest of its recipe that anyone could compute."""
    engine.generate(small(seed=3))
    [head] = list(engine.cache.store)
    digest = recipe_of(small(seed=3), engine.pipeline.model, policy()).digest
    assert head.recipe == engine.cache.store.secret.recipe(digest) != digest
    assert Secret(bytes(32)).recipe(digest) != head.recipe


LONG = " ".join(f"word{i}" for i in range(20_000))


def test_work_is_bounded_by_what_the_model_reads(engine):
    """Twice a prompt of many more words than that."""
    limit = engine.pipeline.model.prompts.tokenizer.limit
    began = time.process_time()
    first = engine.generate(small(LONG, seed=1))
    again = engine.generate(small(LONG + " end", seed=2))
    assert first.video.cut.endswith("word19999") and again.ledger.kind == "miss"
    for head in engine.cache.store:
        assert len(head.words) <= limit
    assert time.process_time() - began < 60


def test_a_long_prompt_keeps_nobody_from_the_device(engine, monkeypatch):
    """A tokenizer takes long for one, and for a long negative prompt: on a miss, a hit
    and a replay it has no lock."""
    kind, locked, read = type(engine.pipeline.model.prompts.tokenizer), [], []
    true = kind.__call__

    def tokens(tokenizer, texts):
        locked.append(engine.device_lock.locked())
        read.extend(texts)
        return true(tokenizer, texts)

    monkeypatch.setattr(kind, "__call__", tokens)
    bad = {"negative_prompt": "a blurred circle"}
    asked = (small(seed=3, **bad), small(BLUE, seed=4, **bad), small(seed=3, **bad))
    kinds = [engine.generate(request).ledger.kind for request in asked]
    assert kinds == ["miss", "semantic", "exact"]
    assert len(locked) >= 3 and not any(locked)
    assert bad["negative_prompt"] in read


def test_a_cut_prompt_is_not_in_the_log(engine, caplog):
    engine.generate(small("secretword " * 2000, seed=1))
    [told] = [x.getMessage() for x in caplog.records if "cut at" in x.getMessage()]
    assert "secretword" not in caplog.text and "its last" in told


def test_no_namespace_learns_what_another_encoded(engine, monkeypatch):
    """How long an answer takes must not tell."""
    prompts, asked = engine.pipeline.model.prompts, []
    true = prompts.encoder
    monkeypatch.setattr(
        "chorus_jax.text.prompts.encode",
        lambda encoder, tokens: asked.append(1) or encode(encoder, tokens),
    )
    prompts.forget()
    for namespace in ("a", "b", "a", "b"):
        reuse = Reuse(read=False, write=False, namespace=namespace)
        engine.generate(small("what a asks only", seed=1), reuse)
    # The prompt and the negative prompt, once for each.
    assert len(asked) == 4 and prompts.encoder is true
    engine.forget("a")
    assert {tenant for tenant, _ in prompts.known} == {"b"}


def test_a_namespace_is_forgotten_whole(engine):
    engine.generate(small(seed=0), Reuse(namespace="a"))
    hit = engine.generate(small(BLUE, seed=1), Reuse(namespace="a"))
    engine.generate(small(seed=0), Reuse(namespace="b"))
    assert engine.forget("a") == 2
    assert {head.namespace for head in engine.cache.store} == {"b"}
    assert hit.ledger.kind == "semantic"


def test_ids_of_another_namespace_are_of_no_use(engine):
    made = engine.generate(small(seed=0), Reuse(namespace="a"))
    store = engine.cache.store
    assert store.get(made.entry, "b") is None and store.head(made.entry, "b") is None
    assert not store.delete(made.entry, "b")
    store.hit(made.entry, "b")
    entry = store.get(made.entry, "a")
    assert entry.last_used == entry.created
    assert store.delete(made.entry, "a")


def test_a_replay_compiles_nothing(engine):
    engine.generate(small(seed=3))
    with jax.log_compiles(False), count_compilations() as counted:
        assert engine.generate(small(seed=3)).ledger.kind == "exact"
    assert counted() == 0


@contextmanager
def count_compilations():
    """A function that gives the programs compiled since."""
    events = []

    def heard(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            events.append(duration)

    jax.monitoring.register_event_duration_secs_listener(heard)
    try:
        yield lambda: len(events)
    finally:
        jax.monitoring.unregister_event_duration_listener(heard)


def test_an_adapter_merged_in_memory_is_a_miss(weights):
    pipeline = Pipeline.load(weights)
    engine = Engine(pipeline, Cache.in_memory(), policy)
    engine.generate(small(seed=3))
    assert engine.generate(small(seed=3)).ledger.kind == "exact"
    kernel = pipeline.model.transformer.patch.kernel
    kernel.set_value(kernel.get_value() * 1.01)
    assert engine.generate(small(seed=3)).ledger.kind == "miss"
    engine.cache.close()


def test_a_folder_that_is_swapped_during_a_load_is_refused(
    weights, tmp_path, monkeypatch
):
    """Old weights must not get the new name, nor new ones the old."""
    folder = tmp_path / "w"
    shutil.copytree(weights, folder)
    true = checkpoints.load

    def swapping(folder, part, *rest, **more):
        card = json.loads((folder / "model.json").read_text())
        for entry in card["parts"].values():
            entry["fingerprint"] = "0" * 64
        (folder / "model.json").write_text(json.dumps(card))
        return true(folder, part, *rest, **more)

    monkeypatch.setattr(checkpoints, "load", swapping)
    card = checkpoints.Card.read(folder)
    loaded = Pipeline.load(folder)
    assert set(loaded.fingerprints.values()) <= {
        part.fingerprint for part in card.parts.values()
    }
