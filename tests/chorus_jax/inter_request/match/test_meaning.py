"""Meanings of words from tokens, and the distance of two prompts."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus_jax.inter_request.match.meaning import (
    WIDTH,
    gaps,
    projection,
    word_meanings,
)
from chorus_jax.inter_request.match.words import split_words

RNG = np.random.default_rng(0)
VECTORS = hnp.arrays(
    np.float16,
    st.tuples(st.integers(1, 5), st.just(3)),
    elements=st.floats(-2, 2, width=16, allow_subnormal=False),
)


def gap(target, source):
    """The largest, of both sides."""
    return max(float(each.max(initial=0)) for each in gaps(target, source))


def test_a_word_is_the_mean_of_its_tokens():
    words = split_words("blue cats")
    # "blue", "cat", "s", the end, padding
    spans = np.array([[0, 4], [5, 8], [8, 9], [0, 0], [0, 0]], np.int32)
    tokens = np.array([[2, 0], [0, 1], [0, 3], [9, 9], [9, 9]], np.float32)
    np.testing.assert_allclose(word_meanings(words, spans, tokens), [[1, 0], [0, 1]])


def test_the_mean_square_of_the_norms_is_one_whatever_the_scale():
    words = split_words("a b c")
    spans = np.array([[0, 1], [2, 3], [4, 5]], np.int32)
    tokens = RNG.normal(size=(3, 8)).astype(np.float32)
    found = word_meanings(words, spans, tokens)
    assert (found.astype(float) ** 2).sum(1).mean() == pytest.approx(1, abs=1e-2)
    again = word_meanings(words, spans, 100 * tokens)
    np.testing.assert_allclose(again, found, atol=2e-3)


def test_words_beyond_the_tokens_are_zero_and_do_not_count():
    words = split_words("a b c")
    found = word_meanings(words, np.array([[0, 1]], np.int32), np.ones((1, 2)))
    np.testing.assert_allclose(found, [[0.5**0.5] * 2, [0, 0], [0, 0]], atol=1e-3)
    assert gap(found, found[:1]) == 0


def test_no_words_are_as_far_from_words_as_can_be():
    none = word_meanings((), np.zeros((0, 2), np.int32), np.zeros((0, 4)))
    assert none.shape == (0, 4)
    assert gap(none, none) == 0 and gap(none, np.ones((1, 4), np.float16)) == 1


def test_the_word_that_is_lacked_most_decides_however_long_the_prompt():
    every = np.eye(40, dtype=np.float16)
    near = every.copy()
    near[7] = 0.9 * near[7]  # a synonym
    assert gap(every, near) == pytest.approx(0.1, abs=1e-3)
    other = every.copy()
    other[7] = -other[7]  # an opposite
    assert gap(every, other) == 1
    assert gap(every, every[:39]) == 1 == gap(every[:39], every)


def test_order_does_not_count_by_itself():
    """It does in what a word means where it stands."""
    words = RNG.normal(size=(5, 8)).astype(np.float16)
    assert gap(words, words[::-1]) < 1e-2


@given(VECTORS, VECTORS)
def test_it_is_symmetric_and_a_share(first, second):
    found = gap(first, second)
    assert 0 <= found <= 1
    assert found == pytest.approx(gap(second, first), abs=1e-3)


@given(VECTORS)
def test_a_prompt_has_no_gap_to_itself(words):
    assert gap(words, words) < 5e-3


def test_meanings_of_two_models_are_refused():
    with pytest.raises(ValueError, match="two models"):
        gaps(np.ones((1, 4), np.float16), np.ones((1, 8), np.float16))


def test_the_projection_is_fixed_and_keeps_distances_nearly():
    onto = projection(1536)
    assert onto.shape == (1536, WIDTH)
    # Of the stream that numpy has frozen: entries on disk must stay comparable.
    assert np.sign(onto[0, :8]).tolist() == [-1, 1, 1, -1, 1, 1, 1, 1]
    points = RNG.normal(size=(200, 1536)).astype(np.float32)
    kept = ((points @ onto) ** 2).sum(1) / (points**2).sum(1)
    assert abs(kept.mean() - 1) < 0.05 and kept.std() < 0.25
