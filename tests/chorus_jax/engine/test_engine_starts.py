"""Hits that begin from a source's clean latents, with the noise of their own seed."""

from dataclasses import replace

import numpy as np
import pytest

from chorus_jax.engine import Engine, Reuse
from tests.chorus_jax.engine.tiny import BLUE, OTHERS, RED, policy, small


def renoised(_=None):
    """The usual tiers, without key steps."""
    return replace(policy(), keep=(), start="renoised")


@pytest.fixture
def renoising(engine):
    engine.policies = renoised
    engine.generate(small(RED, seed=0))
    return engine


def test_each_seed_is_a_video_of_its_own_from_one_source(renoising):
    made = [renoising.generate(small(BLUE, seed=seed)) for seed in (0, 1, 2)]
    assert {x.ledger.kind for x in made} == {"semantic"}
    assert len({x.video.latents.tobytes() for x in made}) == 3
    assert all(x.ledger.own_noise for x in made)
    again = renoising.generate(small(BLUE, seed=1))
    assert again.ledger.kind == "exact" and again.ledger.own_noise
    np.testing.assert_array_equal(again.video.frames, made[1].video.frames)


def test_a_drawn_seed_asks_for_the_same_video_again(renoising):
    made = renoising.generate(small(BLUE), Reuse(write=False))
    assert made.ledger.kind == "semantic"
    same = small(BLUE, seed=made.video.request.seed)
    again = renoising.generate(same, Reuse(write=False))
    assert again.ledger.kind == "semantic"
    np.testing.assert_array_equal(again.video.frames, made.video.frames)


def test_the_same_words_with_another_seed_are_computed(renoising):
    assert renoising.generate(small(RED, seed=1)).ledger.kind == "miss"


def test_what_a_hit_left_is_a_source_of_its_own_score(renoising):
    first = renoising.generate(small(BLUE, seed=1))
    assert first.ledger.kind == "semantic"
    store = renoising.cache.store
    entry = store.get(first.entry, "default")
    assert entry.steps == () and entry.source and entry.score < 1
    store.delete(next(head.id for head in store if head.score == 1))
    second = renoising.generate(small(OTHERS[0], seed=1)).ledger
    if second.kind == "semantic":
        assert second.source == first.entry and second.score <= first.ledger.score
    else:
        assert "below" in second.reason


def test_a_policy_of_trajectories_takes_no_source_without_key_steps(renoising):
    kept = Engine(renoising.pipeline, renoising.cache, policy)
    ledger = kept.generate(small(BLUE, seed=1), Reuse(write=False)).ledger
    assert ledger.kind == "miss" and "key steps" in ledger.reason
