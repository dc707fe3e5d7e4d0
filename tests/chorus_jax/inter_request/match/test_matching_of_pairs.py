"""Prompts that look alike and differ in what matters, and chains of them: nothing below
its limit is served.

The embedding is a small one of our own: a prompt is the mean of its words, so that one
word of ten hardly moves it and their order not at all; a word means itself and its
neighbours, as a text encoder has it. What is asked is that the limits hold for it, not
how well a real one tells prompts apart (`benchmarks.reuse.wrong_sources`).
"""

import functools
import hashlib
import random

import numpy as np
import pytest

from chorus_jax.inter_request.index import ExactIndex
from chorus_jax.inter_request.match.matching import Match, Matcher, Query
from chorus_jax.inter_request.match.second_look import SecondLook
from chorus_jax.inter_request.match.words import split_words, word_keys
from chorus_jax.inter_request.store import Entry, Store
from tests.chorus_jax.inter_request.match.pairs import (
    PAIRS,
    SAME,
    SYNONYMS,
    pairs,
    written,
)

RECIPE, SHAPE, WIDTH, NEIGHBOUR = "a" * 64, (1, 1, 1, 1), 64, 0.7
COSINE, LOOK = SecondLook(weight=0.0), SecondLook(weight=0.5)
LIMIT = 0.83
LIMITS = (0.5, 0.7, 0.8, 0.9)


@functools.cache
def vector(word):
    """A random direction of a word; synonyms have one."""
    word = SYNONYMS.get(word, word)
    seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest())
    drawn = np.random.default_rng(seed).normal(size=WIDTH)
    return drawn / np.linalg.norm(drawn)


def embedding(prompt):
    mean = sum(vector(word) for word in prompt.split())
    return (mean / np.linalg.norm(mean)).astype(np.float32)


def meanings(prompt):
    rows = np.stack([vector(word) for word in prompt.split()])
    gap = np.zeros((1, WIDTH))
    before, after = np.concatenate([gap, rows[:-1]]), np.concatenate([rows[1:], gap])
    read = rows + NEIGHBOUR * (np.roll(before, 1, axis=1) + np.roll(after, -1, axis=1))
    scale = np.sqrt((read**2).sum(1).mean())
    return (read / scale).astype(np.float16)


def similarity(first, second):
    """The second look at two prompts, written down once more."""
    one, other = (meanings(prompt).astype(float) for prompt in (first, second))
    apart = np.linalg.norm(one[:, None] - other[None], axis=2)
    risk = max(apart.min(1).max(), apart.min(0).max())
    cosine = float(embedding(first) @ embedding(second))
    return min(1.0, cosine - LOOK.weight * min(risk, 1.0))


def admit(store, prompt, score=1.0, shared=False):
    entry = Entry(
        namespace="us",
        recipe=RECIPE,
        exact=f"{random.getrandbits(256):064x}",
        noises=(0,),
        embedding=embedding(prompt),
        words=word_keys(split_words(prompt), store.secret.for_words),
        meanings=meanings(prompt),
        created=0.0,
        latents=np.zeros(SHAPE, np.float32),
        score=score,
        shared=shared,
    )
    assert store.admit(entry)
    return entry.id


def found(matcher, prompt, limit, look=LOOK, namespace="us"):
    words = word_keys(split_words(prompt), matcher.store.secret.for_words)
    query = Query(RECIPE, namespace, embedding(prompt), words, meanings(prompt))
    match = matcher(query, look, limit)
    return match if isinstance(match, Match) else None


@pytest.fixture
def matcher():
    with Store(10**7) as store:
        yield Matcher(store, ExactIndex)


def test_there_are_a_hundred_pairs_of_ten_kinds():
    assert {len(ten) for ten in PAIRS.values()} == {10} and len(PAIRS) == 10
    assert len({prompt for pair in pairs() for prompt in pair}) == 200


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("turned", [False, True])
def test_what_differs_in_what_matters_is_not_served(kind, turned):
    for template, *sides in PAIRS[kind]:
        source, target = (
            written(template, words) for words in sides[:: 1 - 2 * turned]
        )
        with Store(10**6) as store:
            matcher = Matcher(store, ExactIndex)
            admit(store, source, shared=True)
            for namespace in ("us", "them"):
                assert found(matcher, target, LIMIT, namespace=namespace) is None
                again = found(matcher, source, LIMIT, namespace=namespace)
                assert again is not None and again.score > 0.999


def test_the_pairs_are_alike_to_the_cosine_alone(matcher):
    """So the check can fail: without the second look most would be served."""
    served = 0
    for source, target in pairs():
        id = admit(matcher.store, source)
        served += found(matcher, target, LIMIT, COSINE) is not None
        matcher.store.delete(id)
    assert served > 50


def test_what_says_the_same_in_other_words_is_served(matcher):
    """So it does not hold because nothing is served at all."""
    for template, first, second in SAME:
        source = admit(matcher.store, written(template, first))
        match = found(matcher, written(template, second), LIMIT)
        assert match is not None and match.head.id == source


def below(matcher, chain, limit, admitted=lambda match: match.score):
    """Makes a chain of prompts, each from the nearest that is served; the scores of
    videos that are below the limit, by all links that led to them.

    The first is computed in full. A link that is not served is too.
    """
    true = {admit(matcher.store, chain[0]): (chain[0], 1.0)}
    wrong = []
    for prompt in chain[1:]:
        match = found(matcher, prompt, limit)
        if match is None:
            true[admit(matcher.store, prompt)] = (prompt, 1.0)
            continue
        source, score = true[match.head.id]
        score *= similarity(prompt, source)
        wrong += [score] if score < limit - 1e-3 else []
        true[admit(matcher.store, prompt, admitted(match))] = (prompt, score)
    return wrong


def chain_of(links, number):
    """A prompt in which one more word changes at every link."""
    template, first, second = [x for ten in PAIRS.values() for x in ten][number]
    words = written(template, first).split()
    words += f"while the evening light number {number} fades over all of it".split()
    chance, chain = random.Random(number), [" ".join(words)]
    for link in range(links):
        words[chance.randrange(len(words))] = f"other{link}"
        chain.append(" ".join(words))
    return chain


@pytest.mark.parametrize("links", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("limit", LIMITS)
def test_no_link_of_a_chain_is_below_its_limit(links, limit):
    for number in range(0, 100, 5):
        with Store(10**6) as store:
            assert not below(Matcher(store, ExactIndex), chain_of(links, number), limit)


def test_a_chain_whose_entries_say_nothing_of_their_sources_is_caught():
    """So the check can fail: if an entry stood for more than it is, links would add
    up unseen."""
    wrong = []
    for number in range(0, 100, 5):
        with Store(10**6) as store:
            matcher = Matcher(store, ExactIndex)
            wrong += below(matcher, chain_of(5, number), 0.4, lambda match: 1.0)
    assert wrong
