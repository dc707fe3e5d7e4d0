"""Regions: scores of tiles, dilation, which tiles are run, and what they weigh."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus_jax.denoise.regions import (
    DroppedContext,
    RegionPlan,
    SampledContext,
    beyond,
    by_tile,
    chosen,
    core_and_sampled,
    dilated,
    disagreement,
    token_bias,
)
from chorus_jax.nets.tokens import Tiling

TILING = Tiling((1, 4, 6), (1, 2, 2))
PATCH = (2, 1, 1)


def plan(core, halo=0, context=DroppedContext(), open_until=9):
    return RegionPlan((1, 2, 2), core, halo, open_until, 0, context)


def test_scores_are_means_over_tiles():
    mask = np.zeros((1, 2, 4, 6, 1), np.float32)
    mask[0, :, 2:, 4:] = 1
    mask[0, 0, :2, 2:4] = 1
    found = by_tile(jnp.asarray(mask), PATCH, TILING)
    np.testing.assert_allclose(found, [[0, 0.5, 0, 0, 0, 1]])


def test_velocities_disagree_where_they_differ_either_way():
    a = jnp.zeros((1, 2, 4, 6, 3))
    b = a.at[:, :, :2, :2, 0].set(3.0).at[:, :, 2:, :2, 0].set(-3.0)
    np.testing.assert_allclose(disagreement(a, b, PATCH, TILING), [[1, 0, 0, 1, 0, 0]])


def test_dilation_reaches_neighbours_and_never_puts_them_first():
    scores = jnp.array([[0.0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0]])
    counts = (1, 3, 4)
    assert (dilated(scores, counts, 0) == scores).all()
    one = np.asarray(dilated(scores, counts, 1)).reshape(3, 4)
    want = [[4, 4, 4, 0], [4, 8, 4, 0], [4, 4, 4, 0]]
    np.testing.assert_array_equal(one, want)
    assert (np.asarray(dilated(scores, counts, 2)) > 0).all()


@given(
    st.lists(st.floats(0, 1, width=32), min_size=12, max_size=12),
    st.integers(1, 5),
    st.integers(0, 3),
    st.integers(0, 4),
)
def test_the_most_differing_tiles_are_run_and_none_twice(scores, core, halo, sampled):
    context = SampledContext(sampled) if sampled else DroppedContext()
    region = plan(core, halo, context)
    tiles = np.asarray(chosen(jnp.asarray([scores]), region))[0]
    assert len(tiles) == region.tiles == len(set(tiles.tolist()))
    found = np.asarray(scores, np.float32)[tiles]
    active = found[: core + halo]
    assert (np.diff(active) <= 0).all()
    left = np.delete(np.asarray(scores, np.float32), tiles[: core + halo])
    assert not left.size or active[-1] >= left.max()
    assert core_and_sampled(region).sum() == core + sampled


def test_what_differs_beyond_the_region_is_told_in_units_of_the_source():
    apart = jnp.array([[4.0, 1.0, 3.0, 2.0], [0.0, 0.0, 9.0, 0.0]])
    tiles = jnp.array([[0, 2], [2, 0]])
    source = jnp.array([[[-2.0, 2.0]], [[0.5, 0.5]]])
    np.testing.assert_allclose(beyond(apart, tiles, source), [0.75, 0.0])
    every = jnp.array([[0, 1, 2, 3]] * 2)
    assert beyond(apart, every, source).tolist() == [0, 0]
    still = beyond(apart[:1], tiles[:1], jnp.zeros((1, 2)))
    assert np.isfinite(still).all() and still > 1e6


def test_sampled_tiles_count_for_the_background():
    region = plan(2, 1, SampledContext(3))
    for halo, active in ((True, 3), (False, 2)):
        weights = np.exp(np.asarray(token_bias(region, TILING, halo)))
        assert weights.shape == ((active + 3) * TILING.size,)
        np.testing.assert_allclose(weights[: active * TILING.size], 1)
        np.testing.assert_allclose(weights.sum(), TILING.count * TILING.size, rtol=1e-6)


@pytest.mark.parametrize(
    "open_until, closing", [(0, 5), (5, 5), (7, 7), (9, 9), (12, 9)]
)
def test_the_halo_closes_within_the_region_steps(open_until, closing):
    assert plan(2, 1, open_until=open_until).closing(range(5, 9)) == closing


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: plan(0), "at least one core tile"),
        (lambda: plan(1, -1), "no negative halo"),
        (lambda: SampledContext(0), "at least one tile is sampled"),
        (lambda: RegionPlan((1, 1, 1), 1, 0, 0, found_by="sky"), "found_by is one of"),
        (lambda: RegionPlan((1, 1, 1), 1, 0, 0, limit=-1.0), "a limit is 0 or more"),
        (lambda: RegionPlan((1, 1, 1), 1, 0, 0, limit=np.nan), "a limit is 0 or more"),
        (lambda: plan(7).check(TILING), "the video has 6 in all"),
        (lambda: plan(3, 2, SampledContext(2)).check(TILING), "2 sampled tiles"),
    ],
)
def test_impossible_regions_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
