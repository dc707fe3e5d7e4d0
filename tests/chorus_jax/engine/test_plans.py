"""From tiers to plans, from entries to sources, from scores to gains."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus_jax.denoise.cost import equivalents
from chorus_jax.denoise.plan import Stretch
from chorus_jax.engine.plans import (
    batch_of_one,
    padded,
    planned,
    region_plan,
)
from chorus_jax.families.forward import Geometry
from chorus_jax.inter_request.policy.policy import CONTEXTS, Policy, Regions, Tier
from chorus_jax.inter_request.store import Entry
from chorus_jax.intra_request import EveryStep, SkipSteps
from chorus_jax.nets.tokens import Tiling

TILING = Tiling((1, 16, 16), (1, 2, 2))
TIER = Tier(0.5, 10, 30, active=0.5, key_gain=2.0)
SHAPE = (1, 2, 2, 1)


def policy(tier=TIER, **fields):
    return Policy(50, (tier,), **{"regions": Regions(), **fields})


def entry(latents=2.0):
    return Entry(
        recipe="a" * 64,
        exact="b" * 64,
        namespace="us",
        noises=(0,),
        embedding=np.array([1.0], np.float32),
        words=(),
        meanings=np.zeros((0, 4), np.float16),
        created=0.0,
        latents=np.full(SHAPE, latents, np.float32),
    )


def test_a_tier_becomes_a_plan():
    plan = planned(policy(), TIER, TILING)
    assert plan.region is not None and plan.region.core == 32
    assert plan.stretches == (
        Stretch(10, 11),
        Stretch(11, 30, plan.region),
        Stretch(30, 50),
    )
    assert equivalents(plan, 64) == 1 + 19 * 0.5 + 20


def test_equivalents_count_halo_and_samples():
    regions = Regions(halo=0.25, open=0.5, context="sampled", sampled=0.25)
    plan = planned(policy(regions=regions), TIER, TILING)
    assert plan.region is not None
    assert (plan.region.core, plan.region.halo) == (24, 8)
    assert plan.region.sampled == 8
    closing = plan.region.closing(11, 30)
    halo_steps = closing - 11
    want = 1 + 20 + (19 * (24 + 8) + halo_steps * 8) / 64
    assert equivalents(plan, 64) == pytest.approx(want)


def test_steps_are_skipped_where_the_plan_allows_it():
    cache = SkipSteps((0, 5, 10, 11, 12, 20, 30, 31, 49))
    plan = planned(policy(cache=cache, miss_cache=EveryStep()), TIER, TILING)
    assert {stretch.cache for stretch in plan.stretches} == {cache}
    # Of these 12, 20, 31 and 49 are skipped: others begin on other tokens.
    assert equivalents(plan, 64) == 1 + (19 - 2) * 0.5 + 20 - 2


def test_without_a_halo_its_share_of_the_steps_changes_no_plan():
    plans = {planned(policy(regions=Regions(open=x)), TIER, TILING) for x in (0.0, 0.5)}
    assert len(plans) == 1


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
    parts = (region.core, region.halo, region.sampled)
    assert all(part * TILING.size % split == 0 for part in parts)
    assert region.core + region.halo >= active * TILING.count - 0.5


def test_stored_latents_of_two_streams_are_those_of_a_batch():
    streams = (("video", SHAPE), ("sound", (3, 2)))
    geometry = Geometry(streams, (1, 2, 2), (1, 1, 1), (1, 1, 1))
    rng = np.random.default_rng(0)
    latents = {n: rng.normal(size=s).astype(np.float32) for n, s in streams}
    stored = geometry.packed(latents)
    assert stored.shape == (1, 1, 1, 10)
    batch = batch_of_one(stored, geometry)
    for name, array in latents.items():
        np.testing.assert_array_equal(batch[name], array[None])


@pytest.mark.parametrize("rows, want", [(1, [True]), (2, [True, False]), (3, 3)])
def test_masks_are_cut_or_filled_up(rows, want):
    found = padded(np.array([True, False]), rows)
    assert found.tolist() == ([True, False, False] if want == 3 else want)
