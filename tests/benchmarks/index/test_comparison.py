"""The benchmark of indexes: its vectors, its cases and its table."""

from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks.index import comparison as index
from benchmarks.index import tables as index_tables
from benchmarks.index.case import IndexCase, measured, resident_bytes
from benchmarks.index.vectors import COSINES, followers, vectors


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
        index.check([IndexCase(1536, 100_000, 1)], 2**30)
    index.check([IndexCase(1536, 100, 1)], 2**30)


needs_scann = pytest.mark.skipif(
    find_spec("scann") is None, reason="ScaNN is not installed"
)


@needs_scann
def test_memory_that_was_freed_counts_when_it_is_taken_again():
    pieces = lambda: [np.ones(10_000) for _ in range(500)]
    earlier = pieces()
    del earlier[1::2]  # between pieces that stay: the process holds on to such memory
    before = resident_bytes()
    held = pieces()
    assert resident_bytes() - before > 0.9 * sum(piece.nbytes for piece in held)


@needs_scann
def test_a_small_case_tells_all_that_its_table_shows():
    found = measured(IndexCase(16, 300, 2))
    assert [row["row"] for row in found] == list(index_tables.ORDER)
    assert found[0]["recall_10"] == 1.0 and found[1]["recall_1"] > 0.9
    shown = index_tables.indexes(found)
    assert shown.count("\n| 16 | 300 |") == 3 and "Width 16" in shown
    for name in ("index_search", "index_build", "index_add"):
        page = index_tables.TABLES[name].draw(found)
        line = page.splitlines()[2].split(" | ")
        assert line[0] == "| width 16, 300 entries" and all(line), name
