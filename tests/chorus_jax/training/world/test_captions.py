"""Wordings: the canonical one, paraphrases, and the list of all words."""

import itertools

import numpy as np
import pytest

from chorus_jax.training.world.attributes import Attributes, combinations
from chorus_jax.training.world.captions import (
    ADJECTIVES,
    NOUNS,
    PLAIN,
    TEMPLATES,
    VERBS,
    caption,
    paraphrase,
    vocabulary,
)

RED_CIRCLE = Attributes("red", "circle", "small", "left", "gray")
BLUE_SQUARE = Attributes("blue", "square", "small", "still", "gray")


def test_canonical_captions():
    assert caption(RED_CIRCLE) == "a small red circle moves left on a gray background"
    assert caption(RED_CIRCLE.unsized()) == (
        "a red circle moves left on a gray background"
    )
    assert caption(RED_CIRCLE.unsized(), BLUE_SQUARE.unsized()) == (
        "a red circle moves left and a blue square stays still on a gray background"
    )


def test_canonical_captions_tell_all_combinations_apart():
    assert len(set(map(caption, combinations()))) == len(combinations())


def test_no_wording_has_two_meanings():
    synonyms = [
        *itertools.chain.from_iterable(ADJECTIVES.values()),
        *itertools.chain.from_iterable(NOUNS.values()),
        *itertools.chain.from_iterable(does for does in VERBS.values()),
    ]
    assert len(set(synonyms)) == len(synonyms)


def test_paraphrases_differ_and_come_from_the_seed():
    def some(seed):
        rng = np.random.default_rng(seed)
        return [paraphrase(RED_CIRCLE, rng) for _ in range(200)]

    assert some(1) == some(1)
    assert len(set(some(1))) > 150
    assert PLAIN in TEMPLATES  # the canonical caption is one of them


def test_captions_keep_to_the_vocabulary():
    rng, words = np.random.default_rng(0), set(vocabulary())
    assert len(words) == len(vocabulary()) < 128
    used = set()
    for each in combinations()[::7]:
        second = Attributes("pink", "star", "small", "up", each.background)
        for text in (paraphrase(each, rng), paraphrase(each, rng, second)):
            assert text == " ".join(text.split()).lower()
            used |= set(text.split())
    assert used == words


def test_every_attribute_is_said():
    rng = np.random.default_rng(0)
    for each in combinations()[::7]:
        text = paraphrase(each, rng)
        for value in (each.colour, each.size, each.background):
            assert set(ADJECTIVES[value]) & set(text.split())
        assert set(NOUNS[each.shape]) & set(text.split())
        forms = itertools.chain.from_iterable(VERBS[each.motion])
        assert any(form in text for form in forms)


def test_articles():
    emerald = [
        paraphrase(Attributes("green", "star", None, "up", "brown"), rng)
        for rng in map(np.random.default_rng, range(60))
    ]
    assert any("an emerald" in text for text in emerald)
    assert not any("a emerald" in text or "a earthy" in text for text in emerald)


def test_two_objects_share_a_background():
    other = Attributes("blue", "square", "small", "still", "white")
    with pytest.raises(ValueError, match="share one background, got gray and white"):
        caption(RED_CIRCLE, other)
