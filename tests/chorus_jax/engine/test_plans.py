"""From tiers to plans, from entries to sources, from scores to gains."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus_jax.denoise.stages import StagePlan
from chorus_jax.engine.plans import (
    gain_tables,
    padded,
    planned,
    reached,
    region_plan,
    source_of,
    usable,
)
from chorus_jax.inter_request.policy.policy import CONTEXTS, Policy, Regions, Tier
from chorus_jax.inter_request.store import Entry, Statistics
from chorus_jax.nets.tokens import Tiling

GRID, TILE = (1, 16, 16), (1, 2, 2)
TILING = Tiling(GRID, TILE)
TIER = Tier(0.5, 10, 30, active=0.5, key_gain=2.0)
SHAPE = (1, 2, 2, 1)


def policy(tier=TIER, **fields):
    keep = (10, 20, 30, 40)
    return Policy(50, (tier,), keep, **{"regions": Regions(), **fields})


def entry(steps=(1, 2, 3), values=(8.0, 6.0, 5.0), final=2.0):
    latents = [np.full(SHAPE, value) for value in values]
    return Entry(
        recipe="a" * 64,
        exact="b" * 64,
        namespace="us",
        steps=steps,
        embedding=np.array([1.0], np.float32),
        token_ids=np.arange(3, dtype=np.int32),
        words=(),
        meanings=np.zeros((0, 4), np.float16),
        statistics=Statistics.new(0.0, 1.0, steps),
        latents=np.stack(latents).astype(ml_dtypes.bfloat16),
        final=np.full(SHAPE, final, np.float32),
    )


def test_a_tier_becomes_a_plan():
    run = planned(policy(), TIER, GRID, TILE)
    assert run.stages == StagePlan(50, 10, 30, keep=(10, 20, 30, 40))
    assert run.stages.kept == (30, 40)
    assert run.region is not None and run.region.core == 32
    assert run.equivalents(64) == 1 + 19 * 0.5 + 20


def test_equivalents_count_halo_and_samples():
    regions = Regions(halo=0.25, open=0.5, context="sampled", sampled=0.25)
    run = planned(policy(regions=regions), TIER, GRID, TILE)
    assert run.region is not None
    assert (run.region.core, run.region.halo) == (24, 8)
    assert run.region.context.sampled == 8
    closing = run.region.closing(run.stages.regional)
    halo_steps = closing - 11
    want = 1 + 20 + (19 * (24 + 8) + halo_steps * 8) / 64
    assert run.equivalents(64) == pytest.approx(want)


def test_steps_are_skipped_where_the_plan_allows_it():
    wanted = (0, 5, 10, 11, 12, 20, 30, 31, 49)
    run = planned(policy(skipped=wanted), TIER, GRID, TILE)
    assert run.stages.skipped == (12, 20, 31, 49)
    assert run.equivalents(64) == 1 + (19 - 2) * 0.5 + 20 - 2


def test_all_tiles_or_no_region_steps_are_no_region():
    assert region_plan(Regions(), 1.0, TILING, range(11, 30)) is None
    assert region_plan(Regions(), 0.5, TILING, range(11, 11)) is None
    least = region_plan(Regions(halo=1.0), 0.001, TILING, range(11, 30))
    assert least is not None and (least.core, least.halo) == (1, 0)


@given(
    st.floats(0.01, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from(CONTEXTS),
    st.sampled_from([1, 2, 4, 8, 32, 256]),
)
def test_regions_divide_over_the_devices_as_the_video_does(
    active, halo, sampled, context, split
):
    regions = Regions(halo=halo, sampled=sampled, context=context)
    region = region_plan(regions, active, TILING, range(11, 30), split)
    if region is None:
        return
    region.check(TILING)
    parts = (region.core, region.halo, region.context.sampled)
    assert all(part * TILING.size % split == 0 for part in parts)
    assert region.core + region.halo >= active * TILING.count - 0.5


def test_tiers_need_their_key_steps():
    low, high = Tier(0.5, 1, 2), Tier(0.8, 2, 3)
    both = Policy(4, (low, high), (1, 2, 3))
    assert reached(both, 0.9, entry()) == [low, high]
    assert reached(both, 0.6, entry()) == [low]
    assert reached(both, 0.4, entry()) == []
    assert reached(both, 0.9, entry((2, 3), (6.0, 5.0))) == [high]


def test_key_steps_that_no_tier_begins_and_fills_up_with_are_of_no_use():
    both = Policy(6, (Tier(0.5, 1, 3), Tier(0.8, 2, 4)), (1, 2, 3, 4))
    assert usable(both, (3, 4)) == usable(both, (1, 2)) == usable(both, ()) == ()
    assert usable(both, (2, 3, 4)) == (2, 3, 4) and usable(both, (1, 3)) == (1, 3)
    assert usable(Policy(6, (), (1, 2)), (1, 2)) == ()


def test_a_source_starts_goes_and_ends_as_the_entry_did():
    sigmas = (1.0, 0.9, 0.5, 0.3, 0.0)
    source = source_of(entry(), StagePlan(4, 1, 3, keep=(1, 2, 3)), sigmas)
    assert source.start.shape == (1, *SHAPE)
    assert float(source.start.mean()) == 8 and float(source.end.mean()) == 5
    assert float(source.velocity.mean()) == pytest.approx((6 - 8) / (0.5 - 0.9))
    # The velocity is of the key steps of the plan, whatever else there is.
    other = source_of(entry(), StagePlan(4, 1, 3, keep=(1, 3)), sigmas)
    assert float(other.velocity.mean()) == pytest.approx((5 - 8) / (0.3 - 0.9))
    last = source_of(entry(), StagePlan(4, 3, 3, keep=(1, 2, 3)), sigmas)
    assert float(last.velocity.mean()) == pytest.approx((2 - 5) / (0 - 0.3))


def test_gains_are_for_differing_tokens_and_none_if_all_are_one():
    stages, mask = StagePlan(4, 1, 3), np.array([False, True])
    assert gain_tables(stages, Tier(0.5, 1, 3), 0.0, mask, 4) is None
    tables = gain_tables(stages, Tier(0.5, 1, 3, key_gain=2.0), 0.0, mask, 4)
    assert tables is not None and tables.key.shape == (4, 1, 4)
    np.testing.assert_allclose(tables.key[:, 0, 1], [1, 2, 1.5, 1])
    np.testing.assert_allclose(tables.key[:, 0, (0, 2, 3)], 1)
    np.testing.assert_allclose(tables.output, 1)


@pytest.mark.parametrize("rows, want", [(1, [True]), (2, [True, False]), (3, 3)])
def test_masks_are_cut_or_filled_up(rows, want):
    found = padded(np.array([True, False]), rows)
    assert found.tolist() == ([True, False, False] if want == 3 else want)
