"""Matching: the second look, what a namespace sees, and why there is no source."""

import random
from dataclasses import replace

import numpy as np
import pytest

from chorus_jax.inter_request.index import ExactIndex, Rebuilds, ScannIndex
from chorus_jax.inter_request.match.foresight import Foresight
from chorus_jax.inter_request.match.matching import Match, Matcher, Query, Rejection
from chorus_jax.inter_request.match.second_look import SecondLook
from chorus_jax.inter_request.match.words import split_words, word_keys
from chorus_jax.inter_request.store import Entry, Store, new_id

LOOK = SecondLook()
RECIPE, OTHER = "a" * 64, "b" * 64
SHAPE = (1, 2, 2, 1)
WORDS = ["red", "blue", "cat", "dog"]
NONE = np.zeros((0, 16), np.float16)


@pytest.fixture
def store():
    with Store(10**7) as made:
        yield made


def unit(*numbers):
    vector = np.array(numbers, np.float32)
    return vector / np.linalg.norm(vector)


def meanings(prompt):
    """Each word as far from all others as can be; some words are synonyms."""
    axis = {"runs": 0, "sprints": 0, "sleeps": 1, "a": 2, "cat": 3, "dog": 4}
    words = [axis.get(word, 5 + len(word)) for word in prompt.split()]
    return np.eye(16, dtype=np.float16)[words]


def admit(store, prompt, vector, recipe=RECIPE, **fields):
    entry = Entry(
        **{"namespace": "us", **fields},
        recipe=recipe,
        exact=f"{random.getrandbits(256):064x}",
        noises=(0,),
        embedding=vector,
        words=word_keys(split_words(prompt), store.secret.for_words),
        meanings=meanings(prompt),
        created=0.0,
        latents=np.zeros(SHAPE, np.float32),
    )
    assert store.admit(entry)
    return entry.id


def query(store, prompt, vector, recipe=RECIPE, namespace="us", own_only=False):
    words = word_keys(split_words(prompt), store.secret.for_words)
    return Query(recipe, namespace, vector, words, meanings(prompt), own_only)


def test_the_second_look_prefers_words_that_mean_the_same(store):
    matcher, look = Matcher(store, ExactIndex), SecondLook(weight=0.2)
    near = admit(store, "a cat sprints", unit(1, 0.02))
    admit(store, "a cat sleeps", unit(1, 0.01))
    found = matcher(query(store, "a cat runs", unit(1, 0)), look, 0.5)
    assert isinstance(found, Match) and found.head.id == near
    assert found.risk == 0 and found.score == pytest.approx(found.cosine, abs=1e-6)
    assert found.difference.added == (2,)


def test_a_word_that_is_lacked_lowers_the_score(store):
    matcher, look = Matcher(store, ExactIndex), SecondLook(weight=0.2)
    admit(store, "a cat sleeps", unit(1, 0))
    found = matcher(query(store, "a cat runs", unit(1, 0)), look, 0.5)
    assert isinstance(found, Match) and found.risk == 1
    assert found.score == pytest.approx(0.8, abs=1e-6)
    refused = matcher(query(store, "a cat runs", unit(1, 0)), look, 0.9)
    assert isinstance(refused, Rejection)
    assert "cosine 1.000, less 0.200 for the word that differs" in refused.reason


def test_a_score_below_the_least_says_so(store):
    matcher = Matcher(store, ExactIndex)
    admit(store, "a cat runs", unit(1, 1))
    refused = matcher(query(store, "a cat runs", unit(1, 0)), LOOK, 0.9)
    assert isinstance(refused, Rejection) and "below 0.9" in refused.reason
    assert refused.score == pytest.approx(0.5**0.5, abs=1e-6)


def test_a_low_score_is_not_told_as_too_few_words(store):
    matcher = Matcher(store, ExactIndex)
    admit(store, "a cat sleeps", unit(0.01, 1))
    refused = matcher(query(store, "a cat runs", unit(1, 0)), LOOK, 0.5)
    assert isinstance(refused, Rejection) and refused.score < 0
    assert "best score" in refused.reason


def test_an_entry_that_is_refused_gives_way_to_one_that_is_not(store):
    matcher = Matcher(store, ExactIndex)
    near = admit(store, "a cat runs", unit(1, 0))
    other = admit(store, "a cat runs", unit(1, 0.1))
    asked = query(store, "a cat runs", unit(1, 0))

    def refusing(*ids):
        return lambda found: "no" if found.head.id in ids else ""

    found = matcher(asked, LOOK, 0.5, refusing(near))
    assert isinstance(found, Match) and found.head.id == other
    none = matcher(asked, LOOK, 0.5, refusing(near, other))
    assert isinstance(none, Rejection) and none.reason == "no"


def test_recipes_and_namespaces_are_apart_unless_shared(store):
    matcher = Matcher(store, ExactIndex)
    admit(store, "a cat runs", unit(1, 0), namespace="them")
    admit(store, "a cat runs", unit(1, 0), recipe=OTHER)
    asked = query(store, "a cat runs", unit(1, 0))
    assert isinstance(matcher(asked, LOOK, 0.1), Rejection)
    shared = admit(store, "a cat runs", unit(1, 0), namespace="them", shared=True)
    found = matcher(asked, LOOK, 0.1)
    assert isinstance(found, Match) and found.head.id == shared


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("own_only", [False, True])
def test_what_others_share_hides_no_own_entry(store, shared, own_only):
    """However many nearer ones there are that are refused."""
    matcher = Matcher(store, ExactIndex, most=16)
    own = admit(store, "a cat sprints", unit(1, 0.1), shared=shared)
    for _ in range(40):
        admit(store, "a cat runs", unit(1, 0), namespace="them", shared=True)
    asked = query(store, "a cat runs", unit(1, 0), own_only=own_only)
    same = lambda found: "same" if found.difference.ordered == 1 else ""
    found = matcher(asked, LOOK, 0.5, same)
    assert isinstance(found, Match) and found.head.id == own
    theirs = matcher(replace(asked, namespace="else"), LOOK, 0.5, same)
    assert isinstance(theirs, Rejection)


def test_a_matcher_knows_what_was_there_before_it(store):
    id = admit(store, "a cat runs", unit(1, 0))
    found = Matcher(store, ExactIndex)(
        query(store, "a cat runs", unit(1, 0)), LOOK, 0.5
    )
    assert isinstance(found, Match) and found.head.id == id


def often_built(width):
    return ScannIndex(width, Rebuilds(least=20, growth=0.5))


@pytest.mark.parametrize(
    "admissions", [2_000, pytest.param(10_000, marks=pytest.mark.slow)]
)
def test_index_and_store_stay_in_step(admissions):
    with Store(64 * 2500) as store:
        change_often(store, ExactIndex, admissions)


@pytest.mark.parametrize(
    "admissions", [500, pytest.param(10_000, marks=pytest.mark.slow)]
)
def test_scann_a_folder_and_the_store_stay_in_step(unsynced, tmp_path, admissions):
    with Store(24 * 140, folder=tmp_path, disk_bytes=96 * 1000) as store:
        built = change_often(store, often_built, admissions)
    assert built > 10, "hardly ever was a searcher at work"


def change_often(store, make_index, admissions):
    """So many, with deletes and evictions between; at how many of 100 points there was
    a searcher."""
    rng, built = random.Random(0), 0
    matcher, foresight = Matcher(store, make_index), Foresight(store)
    for count in range(1, admissions + 1):
        vector = unit(*(rng.gauss(0, 1) for _ in range(16)))
        space = rng.choice(["us", "them"])
        sharing = rng.random() < 0.2
        admit(store, rng.choice(WORDS), vector, namespace=space, shared=sharing)
        if rng.random() < 0.2:
            assert store.delete(rng.choice([*matcher.shelves.places]))
        if count % (admissions // 100) == 0:
            check_in_step(store, matcher, foresight)
            indexes = matcher.shelves.indexes.values()
            built += any(getattr(index, "_built", None) for index in indexes)
    assert len(store) > 20
    matcher.shelves.close()
    check_in_step(store, matcher, foresight)
    return built


def check_in_step(store, matcher, foresight):
    heads = {head.id: head for head in store}
    shelves, items = matcher.shelves, list(store._tiers.catalogue)
    assert heads.keys() == {item.id for item in items} == foresight._places.keys()
    assert shelves.places.keys() == heads.keys() and len(store) == len(heads)
    places = [(id, shelf) for id, all_of in shelves.places.items() for shelf in all_of]
    assert all(id in shelves.indexes[shelf] for id, shelf in places)
    assert sum(map(len, shelves.indexes.values())) == len(places)
    assert len(places) == len(heads) + sum(head.shared for head in heads.values())
    for head in [*heads.values()][::20]:
        near = shelves.near(Query(RECIPE, head.namespace, head.embedding, (), NONE), 8)
        assert near[0][0] == head.id and {id for id, _ in near} <= heads.keys()
    if store._tiers.disk is not None:
        files = store._tiers.disk.folder.path.glob("*.record")
        sizes = {path.stem: path.stat().st_size for path in files}
        assert sizes == {item.id: item.disk for item in items if item.disk}


def test_a_matcher_finds_what_another_process_left(tmp_path):
    first, second = (Store(0, folder=tmp_path, disk_bytes=10**7) for _ in range(2))
    with first, second:
        matcher = Matcher(second, ExactIndex)
        asked = query(second, "a cat runs", unit(1, 0))
        assert isinstance(matcher(asked, LOOK, 0.5), Rejection)
        id = admit(first, "a cat runs", unit(1, 0))
        found = matcher(asked, LOOK, 0.5)
        assert isinstance(found, Match) and found.head.id == id
        first.delete(id)
        refused = matcher(asked, LOOK, 0.5)
        assert isinstance(refused, Rejection) and "no entry" in refused.reason


def test_a_shelf_that_is_empty_is_gone(store):
    matcher = Matcher(store, ExactIndex)
    for number in range(20):
        ids = [
            admit(store, "a cat", unit(1, 0), recipe=f"{number:064x}", namespace=name)
            for name in ("us", "them")
        ]
        for id in ids:
            assert store.delete(id)
    assert not matcher.shelves.indexes and not matcher.shelves.places


def test_closing_ends_the_threads_of_all_indexes(store):
    closed = []

    class Watched(ExactIndex):
        def close(self):
            closed.append(self)

    shelves = Matcher(store, Watched).shelves
    for recipe in (RECIPE, OTHER):
        admit(store, "a cat", unit(1, 0), recipe=recipe)
    shelves.close()
    assert closed == list(shelves.indexes.values())


def test_an_entry_of_other_widths_is_no_source_and_hides_none(store):
    """As a record that was made by hand, before or after a good one."""
    admit(store, "a cat sprints", unit(1, 0))
    good = admit(store, "a cat sprints", unit(1, 0.1, 0))
    admit(store, "a cat sprints", unit(1, 0, 0, 0))
    like = store.get(good, "us")
    odd = np.zeros((3, 4), np.float16)
    store.admit(replace(like, id=new_id(), exact="cd" * 32, meanings=odd))
    matcher = Matcher(store, ExactIndex)
    match = matcher(query(store, "a cat sprints", unit(1, 0, 0)), LOOK, 0.5)
    assert match.head.id == good
