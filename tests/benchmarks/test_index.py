"""The benchmark of indexes: its vectors, its cases, what its table says."""

import numpy as np
import pytest

from benchmarks import index, index_tables
from benchmarks.index_case import Case, measured
from benchmarks.index_vectors import COSINES, followers, vectors
from chorus_jax.inter_request.index import ScannIndex


def test_vectors_are_as_near_to_an_earlier_one_as_prompts_are():
    rng = np.random.default_rng(0)
    drawn = vectors(500, 256, rng)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1, atol=1e-5)
    nearest = (followers(drawn, 400, rng) @ drawn.T).max(axis=1)
    assert abs(np.median(nearest) - COSINES[3]) < 0.05
    assert nearest.min() > COSINES[0] - 0.05


def test_the_switch_is_where_the_ratio_passes_one():
    ratios = [(1000, 4.0), (10_000, 2.0), (100_000, 0.5)]
    assert index_tables.switch(ratios) == pytest.approx(10**4.5)
    assert index_tables.switch(ratios[:2]) is None
    assert index_tables.switch(ratios[2:]) == 100_000
    assert index_tables.switch([]) is None


def test_a_case_that_does_not_fit_is_refused_before_it_is_run():
    with pytest.raises(SystemExit, match="this machine has 1: ask for fewer"):
        index.check([Case(1536, 100_000, 1)], 2**30)
    index.check([Case(1536, 100, 1)], 2**30)


def test_a_small_case_tells_all_that_its_table_shows():
    try:
        ScannIndex(8).close()
    except ImportError:
        pytest.skip("ScaNN is not installed")
    found = measured(Case(16, 300, 2))
    assert [row["row"] for row in found] == list(index_tables.ORDER)
    assert found[0]["recall_10"] == 1.0 and found[1]["recall_1"] > 0.9
    shown = index_tables.indexes(found)
    assert shown.count("\n| 16 | 300 |") == 3 and "Width 16" in shown
