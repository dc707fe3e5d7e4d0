"""Regions that a caller gives: their tiles, their sizes, the steps that run them."""

import math

import numpy as np
import pytest

from chorus_jax.engine.given import BUCKETS, Given
from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.nets.tokens import Tiling

PATCH = (1, 2, 2)
TILING = Tiling((2, 4, 8), (1, 2, 2))  # 16 tiles of 2 x 2 tokens of 2 x 2 latents
EARLY, LATE = Tier(0.3, 1, 3, active=0.9), Tier(0.9, 3, 3)


def given(*places):
    """The tiles of a region that is a single latent at each of these places."""
    region = np.zeros((2, 8, 16), np.float32)
    for place in places:
        region[place] = 0.01
    return Given.of(region, TILING, PATCH)


def test_a_tile_is_of_the_region_if_any_of_it_is():
    found = given((0, 0, 0), (1, 7, 15))
    assert np.flatnonzero(found.tiles).tolist() == [0, 15]
    mask = np.zeros((2, 8, 16))
    mask[0, :4, :4] = mask[1, 4:, 12:] = 1
    np.testing.assert_array_equal(found.mask[0, ..., 0], mask)


@pytest.mark.parametrize("count", range(1, 17))
def test_no_tile_is_left_out_and_there_are_few_sizes(count):
    places = [(i // 8, i % 8 // 4 * 4, i % 4 * 4) for i in range(count)]
    active = given(*places).active
    assert count / 16 <= active < count / 16 + 1 / BUCKETS
    assert (active * BUCKETS).is_integer()


def test_the_highest_tier_with_room_runs_it():
    found = given((0, 0, 0))
    chosen = found.tier([EARLY, LATE], 5)
    assert (chosen.reuse_until, chosen.region_until) == (1, 3)
    assert chosen.active == found.active == 1 / BUCKETS
    later = found.tier([EARLY, LATE], 7)
    assert (later.reuse_until, later.region_until) == (3, 5)
    assert found.tier([LATE], 5) is None


def test_it_is_the_whole_truth():
    policy = Policy(6, (EARLY,), Regions(halo=0.5, limit=0.6, reach=1))
    regions = given((0, 0, 0)).policy(policy).regions
    assert (regions.halo, regions.limit, regions.reach) == (0, math.inf, 1)
