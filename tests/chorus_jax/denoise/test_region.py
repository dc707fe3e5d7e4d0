"""Regions: scores of tiles, dilation, which tiles are run, and what they weigh."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus_jax.denoise.region import (
    Region,
    attended,
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
ONE = (1, 1, 1)


def region(core, halo=0, sampled=0, open_until=9):
    context = "sampled" if sampled else "dropped"
    return Region((1, 2, 2), core, halo, open_until, 0, context, sampled)


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


def test_attention_to_new_words_gives_way_to_velocities_where_there_are_none():
    share = jnp.zeros((2, 24)).at[0, TILING.order[:4]].set(0.5)
    apart = jnp.array([[1.0, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]])
    found = attended(share, apart, TILING)
    np.testing.assert_allclose(found, [[0.5, 0, 0, 0, 0, 0], [6, 5, 4, 3, 2, 1]])


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
    wanted = region(core, halo, sampled)
    tiles = np.asarray(chosen(jnp.asarray([scores]), wanted))[0]
    assert len(tiles) == wanted.tiles == len(set(tiles.tolist()))
    found = np.asarray(scores, np.float32)[tiles]
    active = found[: core + halo]
    assert (np.diff(active) <= 0).all()
    left = np.delete(np.asarray(scores, np.float32), tiles[: core + halo])
    assert not left.size or active[-1] >= left.max()
    assert core_and_sampled(wanted).sum() == wanted.closed_tiles == core + sampled


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
    wanted = region(2, 1, 3)
    for halo, active in ((True, 3), (False, 2)):
        weights = np.exp(np.asarray(token_bias(wanted, TILING, halo)))
        assert weights.shape == ((active + 3) * TILING.size,)
        np.testing.assert_allclose(weights[: active * TILING.size], 1)
        np.testing.assert_allclose(weights.sum(), TILING.count * TILING.size, rtol=1e-6)


@pytest.mark.parametrize(
    "open_until, closing", [(0, 5), (5, 5), (7, 7), (9, 9), (12, 9)]
)
def test_the_halo_closes_within_the_region_steps(open_until, closing):
    assert region(2, 1, open_until=open_until).closing(5, 9) == closing
    assert region(2, open_until=open_until).closing(5, 9) == 5


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: region(0), "at least one core tile"),
        (lambda: region(1, -1), "no negative halo"),
        (lambda: Region(ONE, 1, reach=-1), "no negative halo or reach"),
        (lambda: Region(ONE, 1, context="sampled"), "1 or more tiles are sampled"),
        (lambda: Region(ONE, 1, sampled=1), "got 1 with 'held'"),
        (lambda: Region(ONE, 1, context="sky"), "context is one of"),
        (lambda: Region(ONE, 1, found_by="sky"), "found_by is one of"),
        (lambda: Region(ONE, 1, limit=-1.0), "a limit is 0 or more"),
        (lambda: Region(ONE, 1, limit=np.nan), "a limit is 0 or more"),
        (lambda: region(7).check(TILING), "the video has 6 in all"),
        (lambda: region(3, 2, 2).check(TILING), "2 sampled tiles"),
    ],
)
def test_impossible_regions_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
