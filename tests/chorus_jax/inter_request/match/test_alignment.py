"""The alignment is a longest common subsequence."""

from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from chorus_jax.inter_request.match.alignment import aligned

few_words = st.text("abc", max_size=12)


def longest(a, b):
    """The length of a longest common subsequence, from its definition."""

    @cache
    def length(i, j):
        if not (i and j):
            return 0
        both = length(i - 1, j - 1) + 1 if a[i - 1] == b[j - 1] else 0
        return max(both, length(i - 1, j), length(i, j - 1))

    return length(len(a), len(b))


@given(few_words, few_words)
def test_pairs_are_equal_rise_and_are_as_many_as_can_be(a, b):
    pairs = aligned(a, b)
    assert all(a[i] == b[j] for i, j in pairs)
    assert all(p[0] < q[0] and p[1] < q[1] for p, q in zip(pairs, pairs[1:]))
    assert len(pairs) == longest(a, b)


def test_a_new_word_in_the_middle_is_left_out():
    pairs = aligned("a red circle".split(), "a big red circle".split())
    assert pairs == [(0, 0), (1, 2), (2, 3)]
