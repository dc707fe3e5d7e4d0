"""Hits begin from a source's clean latents, with the noise of their own seed."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.engine import Reuse
from chorus_jax.engine.task import OTHER_NOISE
from chorus_jax.inter_request.policy.policy import Tier
from tests.chorus_jax.engine.tiny import BLUE, OTHERS, RED, policy, small


@pytest.fixture
def filled(engine):
    engine.generate(small(RED, seed=0))
    return engine


def test_each_seed_is_a_video_of_its_own_from_one_source(filled):
    made = [filled.generate(small(BLUE, seed=seed)) for seed in (0, 1, 2)]
    assert {x.ledger.kind for x in made} == {"semantic"}
    assert len({x.video.latents.tobytes() for x in made}) == 3
    again = filled.generate(small(BLUE, seed=1))
    assert again.ledger.kind == "exact"
    np.testing.assert_array_equal(again.video.frames, made[1].video.frames)


def test_the_noise_of_a_source_is_not_mixed_with_it_again(filled, monkeypatch):
    """A request with the source's seed draws other noise, which its entry names."""
    drawn, noise = [], filled.pipeline.noise

    def watched(requests, *more, **named):
        drawn.append(requests[0].seed)
        return noise(requests, *more, **named)

    monkeypatch.setattr(filled.pipeline, "noise", watched)
    made = [filled.generate(small(BLUE, seed=seed)) for seed in (0, 5)]
    assert [x.video.request.seed for x in made] == [0, 5]
    assert list(dict.fromkeys(drawn)) == [OTHER_NOISE, 5]
    heads = {head.id: head for head in filled.cache.store}
    assert [heads[x.entry].noises for x in made] == [(0, OTHER_NOISE), (0, 5)]
    # Nor that of a source of the source.
    filled.cache.store.delete(made[0].ledger.source)
    filled.cache.store.delete(made[0].entry)
    filled.policies = lambda _: replace(policy(), tiers=(Tier(0.0, 2, 4),))
    drawn.clear()
    last = filled.generate(small(OTHERS[0], seed=0))
    assert last.ledger.source == made[1].entry and {*drawn} == {OTHER_NOISE}


def test_a_hit_begins_on_the_straight_path_from_clean_latents_to_noise(filled):
    """And at noise level 1 with the noise, bit for bit, as a full run does."""
    pipeline, request = filled.pipeline, small(RED, seed=4)
    conditions, _ = pipeline.condition([request])
    geometry = pipeline.model.geometry(request)
    [video] = pipeline(request)
    clean = geometry.named(jnp.asarray(video.latents[None]))
    noise = pipeline.noise([request], geometry, conditions)
    at = lambda level: pipeline.noise([request], geometry, conditions, "", clean, level)
    want = 0.7 * video.latents + 0.3 * noise[0]
    np.testing.assert_allclose(at(0.3)[0], want, atol=1e-6)
    np.testing.assert_array_equal(at(1.0), noise)


def test_a_drawn_seed_asks_for_the_same_video_again(filled):
    made = filled.generate(small(BLUE), Reuse(write=False))
    assert made.ledger.kind == "semantic"
    same = small(BLUE, seed=made.video.request.seed)
    again = filled.generate(same, Reuse(write=False))
    assert again.ledger.kind == "semantic"
    np.testing.assert_array_equal(again.video.frames, made.video.frames)


def test_the_same_words_with_another_seed_are_computed(filled):
    ledger = filled.generate(small(RED, seed=1)).ledger
    assert ledger.kind == "miss" and "of the same words" in ledger.reason


def test_what_a_hit_left_is_a_source_of_its_own_score(filled):
    first = filled.generate(small(BLUE, seed=1))
    assert first.ledger.kind == "semantic"
    store = filled.cache.store
    entry = store.get(first.entry, "default")
    jax.tree.map(np.testing.assert_array_equal, entry.latents, first.video.latents)
    assert entry.score == pytest.approx(first.ledger.score) and entry.score < 1
    store.delete(next(head.id for head in store if head.score == 1))
    second = filled.generate(small(OTHERS[0], seed=1)).ledger
    if second.kind == "semantic":
        assert second.source == first.entry and second.score <= first.ledger.score
    else:
        assert "below" in second.reason
