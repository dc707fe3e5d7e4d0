"""A seam measures what a region's border adds, and nothing else."""

import numpy as np
import pytest

from benchmarks.reuse.seams import region_of, seam
from chorus_jax.nets.tokens import Tiling
from chorus_jax.training.world.attributes import Attributes
from chorus_jax.training.world.render import render

GRID, TILE, PATCH = (5, 8, 8), (1, 2, 2), (1, 2, 2)


@pytest.fixture(scope="module")
def video():
    return render(Attributes("red", "circle", "large", "left", "striped"), 0)


@pytest.fixture
def region():
    """The middle four of the sixteen tiles of every frame of latents."""
    tiles = [16 * f + 4 * y + x for f in range(5) for y in (1, 2) for x in (1, 2)]
    return region_of(np.array(tiles), Tiling(GRID, TILE), PATCH)


def test_tiles_are_where_they_belong(region):
    expected = np.zeros(GRID, bool)
    expected[:, 2:6, 2:6] = True
    np.testing.assert_array_equal(region, expected)


def test_patches_in_time_are_frames_of_latents():
    region = region_of(np.array([0]), Tiling((2, 1, 1), (1, 1, 1)), (3, 1, 1))
    np.testing.assert_array_equal(region.ravel(), [1, 1, 1, 0, 0, 0])


def test_the_full_run_itself_has_no_seam(video, region):
    assert seam(video, video, region) == 1


def test_what_is_pasted_shows_at_its_border(video, region):
    pasted = video.astype(int)
    pasted[:, 16:48, 16:48] += 12
    found = seam(np.clip(pasted, 0, 255).astype(np.uint8), video, region)
    assert found > 1.2
    # The same change that ends elsewhere is no seam of this region.
    pasted = video.astype(int)
    pasted[:, 20:44, 20:44] += 12
    found = seam(np.clip(pasted, 0, 255).astype(np.uint8), video, region)
    assert found == pytest.approx(1, abs=0.01)


def test_only_frames_in_which_the_region_ends_there_count(video):
    tiles = np.array([4 * y + x for y in (1, 2) for x in (1, 2)])
    region = region_of(tiles, Tiling(GRID, TILE), PATCH)
    for first, last, shows in ((0, 1, True), (1, 17, False)):
        pasted = video.copy()
        pasted[first:last, 16:48, 16:48] //= 2
        assert (seam(pasted, video, region) > 1.05) == shows


@pytest.mark.parametrize("value", [False, True])
def test_a_region_without_a_border_has_no_seam(video, value):
    assert seam(video, video, np.full(GRID, value)) is None
