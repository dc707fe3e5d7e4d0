"""The default index: exact while it is small, ScaNN's above, exact without ScaNN."""

import logging
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from chorus_jax.inter_request.index import (
    ExactIndex,
    Rebuilds,
    ScannIndex,
    default_index,
    scann_index,
)

WIDTH, LEAST = 8, 40

needs_scann = pytest.mark.skipif(
    find_spec("scann") is None, reason="ScaNN is not installed"
)


@pytest.fixture
def asked(monkeypatch):
    """Gets the count of each question to a searcher."""
    counts = []

    class Watched(scann_index.Searcher):
        def rows(self, unit, count):
            counts.append(count)
            return super().rows(unit, count)

    monkeypatch.setattr(scann_index, "Searcher", Watched)
    return counts


def filled(index, count):
    drawn = np.random.default_rng(0).standard_normal((count, WIDTH))
    for i, vector in enumerate(drawn):
        index.add(str(i), vector)
    return index


def searches(index):
    queries = np.random.default_rng(1).standard_normal((50, WIDTH))
    return [index.search(query, 5) for query in queries]


@needs_scann
def test_below_the_switch_it_finds_bit_for_bit_what_exact_search_does(asked):
    index = filled(default_index(Rebuilds(LEAST))(WIDTH), LEAST - 1)
    assert isinstance(index, ScannIndex)
    index.wait()
    assert searches(index) == searches(filled(ExactIndex(WIDTH), LEAST - 1))
    assert not asked
    index.close()


@needs_scann
def test_above_the_switch_a_searcher_answers(asked):
    index = filled(default_index(Rebuilds(LEAST))(WIDTH), LEAST)
    index.wait()
    assert searches(index) == searches(filled(ExactIndex(WIDTH), LEAST))
    assert len(asked) == 50
    index.close()


def test_without_scann_it_is_exact_and_the_log_says_from_where_it_matters(
    monkeypatch, caplog
):
    monkeypatch.setitem(sys.modules, "scann", None)
    caplog.set_level(logging.INFO)
    make = default_index(Rebuilds(LEAST))
    for _ in range(2):
        assert isinstance(make(WIDTH), ExactIndex)
    [record] = caplog.records
    assert "scann is not installed" in record.message
    assert f"from about {LEAST} of them on" in record.message
