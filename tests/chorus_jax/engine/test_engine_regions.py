"""Regions that a caller gives, through the engine."""

from dataclasses import replace

import numpy as np
import pytest

from chorus_jax.engine import Reuse
from chorus_jax.token_budgets import TokenBudgets, TokenGroup
from tests.chorus_jax.engine.tiny import BLUE, REGIONS, STEPS, policy, small


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
    engine.policies = lambda _: replace(wanted, tiers=(tier,))
    source = engine.generate(small(seed=3))
    hit = engine.generate(small(BLUE, seed=4), Reuse(region=right_part(4)))
    ledger = hit.ledger
    assert (ledger.kind, ledger.active, ledger.reason) == ("semantic", 0.25, "")
    apart = np.abs(hit.video.latents - source.video.latents).mean(axis=(0, 1, 3))
    whole = engine.generate(small(BLUE, seed=5), Reuse(region=right_part(16)))
    expected = np.abs(whole.video.latents - source.video.latents).mean(axis=(0, 1, 3))
    assert whole.ledger.active == 1 and whole.ledger.equivalents == STEPS - 2
    assert "rounded up" in whole.ledger.reason
    # One last step of all tokens is common to both.
    assert apart[:12].mean() < 0.8 * expected[:12].mean()
    assert apart[12:].mean() > 0.9 * expected[12:].mean()


def test_without_room_for_its_keys_a_region_is_left_out(engine, monkeypatch):
    """A hit needs the keys and values of all tokens, which a miss does not hold."""
    engine.generate(small(seed=3))
    asked = []

    def check(request, batch=1, held_keys=False):
        asked.append(held_keys)
        if held_keys:
            raise ValueError("too much")

    monkeypatch.setattr(engine.pipeline, "checker", check)
    hit = engine.generate(small(BLUE, seed=4))
    assert (hit.ledger.kind, hit.ledger.active) == ("semantic", 1.0)
    assert hit.ledger.equivalents == STEPS - 2 and asked == [False, True]
    assert "need too much memory" in hit.ledger.reason


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


@pytest.mark.parametrize("region", [None, right_part(8)], ids=["tier's", "given"])
def test_budgets_beside_a_region_of_another_context_are_told(engine, region):
    wanted = replace(policy(), regions=replace(REGIONS, context="dropped"))
    engine.policies = lambda _: wanted
    budgets = TokenBudgets(STEPS, (TokenGroup(0.5, STEPS), TokenGroup(0.5, STEPS)))
    engine.generate(small(seed=3, tokens=budgets))
    reuse = Reuse(region=region)
    ledger = engine.generate(small(BLUE, seed=4, tokens=budgets), reuse).ledger
    assert ledger.kind == "semantic" and ledger.active == 1
    assert "token budgets need a region of the context 'held'" in ledger.reason


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
