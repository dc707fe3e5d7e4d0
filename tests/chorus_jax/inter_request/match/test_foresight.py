"""Guesses of a source by words, within recipe and namespace, until it is gone."""

import numpy as np
import pytest

from chorus_jax.inter_request.match import foresight
from chorus_jax.inter_request.match.foresight import Foresight
from chorus_jax.inter_request.store import EntryHeader

CAT, DOG, OTHER, AWAY = (f"{number:032x}" for number in range(4))


class Heads:
    """A store of heads that loads nothing."""

    def __init__(self):
        self.watchers, self.loaded, self.others = [], [], []

    def watch(self, watcher):
        self.watchers.append(watcher)

    def refresh(self):
        while self.others:
            self.admit(*self.others.pop())

    def prefetch(self, id, namespace):
        self.loaded.append((id, namespace))

    def admit(self, id, prompt, recipe="ours", namespace="us", **fields):
        head = EntryHeader(
            **fields,
            id=id,
            recipe=recipe,
            exact=2 * id,
            namespace=namespace,
            noises=(0,),
            embedding=np.ones(1, np.float32),
            words=tuple(word.encode() for word in prompt.split()),
            meanings=np.ones((len(prompt.split()), 4), np.float16),
            created=0.0,
        )
        for watcher in self.watchers:
            watcher.admitted(head)


@pytest.fixture
def store():
    return Heads()


@pytest.fixture
def found(store):
    return Foresight(store)


def guess(found, prompt, recipe="ours", namespace="us"):
    return found.guess(recipe, namespace, [word.encode() for word in prompt.split()])


def test_the_entry_with_most_words_in_common_is_guessed(store, found):
    store.admit(CAT, "a red cat sleeps")
    store.admit(DOG, "a red dog runs")
    assert guess(found, "the red cat sleeps on") == CAT
    assert guess(found, "a dog runs") == DOG
    assert guess(found, "nothing of that") is None
    assert guess(found, "") is None


def test_other_recipes_and_namespaces_are_not_guessed(store, found):
    store.admit(CAT, "a cat")
    store.admit(OTHER, "a cat sleeps", recipe="theirs")
    store.admit(AWAY, "a cat sleeps", namespace="them")
    assert guess(found, "a cat sleeps") == CAT


def test_many_of_others_do_not_hide_ours(store, found):
    for number in range(20):
        store.admit(f"{number:032x}", "a cat sleeps", namespace="them")
    store.admit(f"{99:032x}", "a cat")
    assert guess(found, "a cat sleeps") == f"{99:032x}"


def test_what_is_shared_is_guessed_for_all(store, found):
    store.admit(CAT, "a cat", namespace="them", shared=True)
    assert guess(found, "a cat") == CAT


def test_an_entry_that_went_is_forgotten_with_its_words(store, found):
    store.admit(CAT, "a cat a cat")
    found.removed(CAT)
    found.removed(CAT)
    assert guess(found, "a cat") is None
    assert not found._entries and not found._places


def test_words_that_all_have_are_not_looked_at(store, found, monkeypatch):
    monkeypatch.setattr(foresight, "COMMON", 1)
    store.admit(CAT, "a cat")
    store.admit(DOG, "a dog")
    assert guess(found, "a") is None and guess(found, "a cat") == CAT


def test_what_another_process_left_is_guessed(store, found):
    store.others.append((CAT, "a cat"))
    assert guess(found, "a cat") == CAT


def test_what_is_guessed_is_loaded(store, found):
    store.admit(CAT, "a cat")
    found.prefetch("ours", "us", [b"cat"])
    found.prefetch("ours", "us", [b"dog"])
    assert store.loaded == [(CAT, "us")]


def test_entries_without_words_come_and_go(store, found):
    for id in (CAT, DOG):
        store.admit(id, "")
    for id in (CAT, DOG):
        found.removed(id)
    assert not found._entries and not found._places
