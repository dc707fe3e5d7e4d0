"""Both indexes against a dictionary, and their threads."""

import threading

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chorus_jax.inter_request.index import (
    ExactIndex,
    Index,
    Rebuilds,
    ScannIndex,
    scann_index,
)

WIDTH = 8
OFTEN = Rebuilds(least=20, growth=0.2)
KINDS = {"exact": ExactIndex, "scann": lambda width: ScannIndex(width, OFTEN)}


@pytest.fixture(params=KINDS)
def index(request):
    made = KINDS[request.param](WIDTH)
    yield made
    made.close()


def vectors(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, WIDTH)).astype("f4")


def true_nearest(known, vector, count):
    unit = vector / np.linalg.norm(vector)
    scores = {k: float(v @ unit / np.linalg.norm(v)) for k, v in known.items()}
    return sorted(scores.items(), key=lambda one: (-one[1], one[0]))[:count]


def test_both_are_indexes(index):
    assert isinstance(index, Index)
    assert len(index) == 0 and index.search(np.ones(WIDTH), 3) == []


def test_an_identical_vector_has_a_cosine_of_one(index):
    for i, vector in enumerate(vectors(60)):
        index.add(str(i), 7 * vector)
    if isinstance(index, ScannIndex):
        index.wait()
    for i, vector in enumerate(vectors(60)):
        [best] = index.search(vector, 1)
        assert best.id == str(i) and best.similarity == pytest.approx(1, abs=1e-6)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(1, 8))
def test_equal_vectors_come_by_id(groups, count):
    index = ExactIndex(WIDTH)
    choices = vectors(4)
    for i, group in enumerate(groups):
        index.add(f"{i:02}", choices[group])
    found = index.search(choices[groups[0]], count)
    same = [f"{i:02}" for i, group in enumerate(groups) if group == groups[0]]
    want = same[:count]
    assert [match.id for match in found][: len(want)] == want


@example(4, 1.0, 60, 8)  # all rows are asked for, and the nearest is out of date
@given(st.integers(0, 9), st.floats(-1, 1), st.integers(1, 40), st.integers(0, 30))
def test_a_least_cosine_leaves_out_what_is_below_it_and_nothing_else(
    settled, seed, least, count, changes
):
    index = settled
    for id in range(changes):  # some of the searcher's answers are out of date
        index.add(str(id), vectors(60, seed=id % 3)[id])
    query = vectors(1, seed=100 + seed)[0]
    every, some = index.search(query, count), index.search(query, count, least)
    assert some[0] == every[0]
    near = lambda answer: [one for one in answer if one.similarity >= least]
    assert near(some) == near(every)


@pytest.fixture(scope="module", params=KINDS)
def settled(request):
    """An index of each kind, its searcher built."""
    made = KINDS[request.param](WIDTH)
    for i, vector in enumerate(vectors(60)):
        made.add(str(i), vector)
    if isinstance(made, ScannIndex):
        made.wait()
    yield made
    made.close()


def test_what_changed_while_a_searcher_was_built_is_in_the_next(monkeypatch):
    go = threading.Event()

    class Slow(scann_index.Searcher):
        def __init__(self, array):
            go.wait(10)
            super().__init__(array)

    monkeypatch.setattr(scann_index, "Searcher", Slow)
    index = ScannIndex(WIDTH, OFTEN)
    for i, vector in enumerate(vectors(60)):
        index.add(str(i), vector)
    go.set()
    index.wait()
    assert not index._built.changed and len(index._built.ids) == 60
    index.close()


@pytest.mark.parametrize(
    "vector, message",
    [
        (np.ones(WIDTH + 1), "expected a vector of 8 numbers"),
        (np.zeros(WIDTH), "not zero"),
        (np.full(WIDTH, np.nan), "finite"),
        (np.full(WIDTH, np.inf), "finite"),
    ],
)
def test_impossible_vectors_are_refused_and_change_nothing(index, vector, message):
    index.add("a", np.ones(WIDTH))
    for use in (lambda: index.add("a", vector), lambda: index.search(vector, 1)):
        with pytest.raises(ValueError, match=message):
            use()
    assert index.search(np.ones(WIDTH), 1)[0].similarity == pytest.approx(1)


def test_scann_serves_while_the_next_searcher_is_built(monkeypatch):
    go, calls = threading.Event(), []

    class Slow(scann_index.Searcher):
        def __init__(self, array):
            calls.append(len(array))
            go.wait(10)
            super().__init__(array)

    monkeypatch.setattr(scann_index, "Searcher", Slow)
    index = ScannIndex(WIDTH, OFTEN)
    known = {str(i): vector for i, vector in enumerate(vectors(40))}
    for id, vector in known.items():
        index.add(id, vector)
    index.remove("3")
    del known["3"]
    query = vectors(1, seed=5)[0]
    before = index.search(query, 5)
    go.set()
    index.wait()
    after = index.search(query, 5)
    want = [id for id, _ in true_nearest(known, query, 5)]
    assert [match.id for match in before] == want
    assert [match.id for match in after] == want
    assert calls[0] == OFTEN.least
    index.close()


def test_search_is_exact_where_most_of_a_searchers_answers_are_gone():
    index = ScannIndex(WIDTH, Rebuilds(least=300, growth=2.0))
    known = {str(i): vector for i, vector in enumerate(vectors(300))}
    for id, vector in known.items():
        index.add(id, vector)
    index.wait()
    for i in range(280):
        assert index.remove(str(i))
        del known[str(i)]
    query = vectors(1, seed=5)[0]
    want = [id for id, _ in true_nearest(known, query, 12)]
    assert [match.id for match in index.search(query, 12)] == want
    index.close()


@pytest.mark.parametrize("most", [0, 10, 60])
def test_changes_without_end_are_not_all_remembered(most):
    index = ScannIndex(WIDTH, OFTEN)
    for i, vector in enumerate(vectors(max(most, 1))):
        index.add(f"first {i}", vector)
    index.wait()
    for i in range(most - 12):
        assert index.remove(f"first {i}")
    for i, vector in enumerate(vectors(300)):
        index.add(str(i), vector)
        assert index.remove(str(i))
        index.wait()
    built = index._built
    held = [] if built is None else [*built.changed, *built.fresh.ids]
    assert len(index._meanwhile) + len(held) < 30
    [best] = index.search(vectors(max(most, 1))[-1], 1)
    assert best.similarity == pytest.approx(1, abs=1e-6)
    index.close()


def test_a_searcher_that_cannot_be_built_leaves_exact_search(monkeypatch, caplog):
    def fail(_):
        raise ImportError("no scann")

    monkeypatch.setattr(scann_index, "Searcher", fail)
    index = ScannIndex(WIDTH, OFTEN)
    for i, vector in enumerate(vectors(30)):
        index.add(str(i), vector)
    index.wait()
    index.add("more", vectors(1)[0])
    assert index.search(vectors(1)[0], 1)[0].similarity == pytest.approx(1)
    assert "search stays exact" in caplog.text
    index.close()


def test_threads_share_an_index(index):
    errors = []

    def work(seed):
        rng = np.random.default_rng(seed)
        try:
            for _ in range(150):
                id = f"{seed} {rng.integers(20)}"
                index.add(id, rng.standard_normal(WIDTH))
                found = index.search(rng.standard_normal(WIDTH), 3)
                assert found == sorted(found, key=lambda m: (-m.similarity, m.id))
                if rng.random() < 0.5:
                    assert index.remove(id)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
