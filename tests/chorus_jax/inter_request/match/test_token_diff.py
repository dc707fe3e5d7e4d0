"""Where prompts differ, in words and in tokens."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus_jax.inter_request.match.token_diff import Difference, difference
from chorus_jax.inter_request.match.words import split_words, word_keys

SECRET = bytes(range(32))
prompts = st.lists(
    st.sampled_from(["a", "red", "Été", "猫", "红", "cat,", "🐱"]), max_size=10
).map(" ".join)


def texts(prompt):
    return [word.text for word in split_words(prompt)]


def compared(target, source):
    return difference(texts(target), texts(source))


def spans_of(*pairs):
    return np.array(pairs, np.int32).reshape(-1, 2)


@pytest.mark.parametrize(
    "target, source, added, missing",
    [
        ("a tiger runs on snow", "A lion runs, on snow!", [1], [1]),
        ("a red circle, a gray background", "a gray background, a red circle", [], []),
        ("a red cat and a red dog", "a red dog", {"a", "red", "cat", "and"}, []),
        ("一只红猫在跑", "一只黑猫在跑", [2], [2]),
        ("un été doux", "un ete doux", [1], [1]),
        ("un e\u0301te\u0301 doux", "Un été doux", [], []),
        ("แมวสีแดงวิ่งบนหญ้า", "แมวสีดำวิ่งบนหญ้า", [3, 4], [3]),
        ("ແມວສີແດງແລ່ນເທິງຫຍ້າ", "ແມວສີດຳແລ່ນເທິງຫຍ້າ", [3, 4], [3]),
        ("ឆ្មាពណ៌ក្រហមរត់លើស្មៅ", "ឆ្មាពណ៌ខ្មៅរត់លើស្មៅ", [3, 4, 5], [3]),
        ("ကြောင်အနီပြေးနေသည်", "ကြောင်အနက်ပြေးနေသည်", [3], [3, 4]),
        ("ཞི་མི་དམར་པོ་ཞིག", "ཞི་མི་ནག་པོ་ཞིག", [2], [2]),
        ("", "a cat", [], [0, 1]),
        ("a cat", "", [0, 1], []),
        ("", "", [], []),
    ],
)
def test_differing_words_are_found(target, source, added, missing):
    found = compared(target, source)
    if isinstance(added, set):
        assert len(found.added) == len(added)
        assert {texts(target)[i] for i in found.added} == added
    else:
        assert list(found.added) == added
    assert list(found.missing) == missing


def test_reordered_words_are_told_but_do_not_differ():
    found = compared("a red cat, a blue dog", "a blue cat, a red dog")
    assert found.same == 1.0 and found.added == found.missing == ()
    moved = {texts("a red cat, a blue dog")[i] for i in found.moved}
    assert moved & {"red", "blue"} and found.ordered == pytest.approx(2 / 3)


@given(prompts)
def test_identical_prompts_differ_nowhere(prompt):
    assert compared(prompt, prompt) == Difference((), (), (), 1.0, 1.0)


@given(prompts, prompts)
def test_words_are_counted_and_the_share_is_symmetric(target, source):
    found, back = compared(target, source), compared(source, target)
    ours, theirs = texts(target), texts(source)
    assert Counter(ours[i] for i in found.added) == Counter(ours) - Counter(theirs)
    assert Counter(theirs[i] for i in found.missing) == Counter(theirs) - Counter(ours)
    assert not set(found.moved) & set(found.added)
    assert found.same == back.same and 0 <= found.ordered <= found.same <= 1
    assert found.ordered == back.ordered
    assert (found.ordered == found.same) == (not found.moved)
    assert (found.same == 1) == (Counter(ours) == Counter(theirs))
    both = len(ours) + len(theirs)
    common = (Counter(ours) & Counter(theirs)).total()
    assert not both or found.same == pytest.approx(2 * common / both)


@given(prompts, prompts)
def test_keys_give_what_words_give(target, source):
    keys = difference(
        word_keys(split_words(target), SECRET), word_keys(split_words(source), SECRET)
    )
    assert keys == compared(target, source)


@given(prompts, prompts, st.data())
def test_tokens_are_those_that_touch_a_differing_word(target, source, data):
    place = st.integers(0, len(target))
    pairs = data.draw(st.lists(st.tuples(place, place).map(sorted), max_size=8))
    words, found = split_words(target), compared(target, source)
    mask = found.tokens(words, spans_of(*pairs))
    assert mask.shape == (len(pairs),) and mask.dtype == bool
    differing = {at for i in found.added for at in range(words[i].start, words[i].end)}
    assert mask.tolist() == [bool(differing & set(range(*pair))) for pair in pairs]


@pytest.mark.parametrize(
    "before, red, black, after",
    [
        ("แมวสี", "แดง", "ดำ", "วิ่งบนหญ้า"),
        ("ແມວສີ", "ແດງ", "ດຳ", "ແລ່ນເທິງຫຍ້າ"),
        ("ឆ្មាពណ៌", "ក្រហម", "ខ្មៅ", "រត់លើស្មៅ"),
        ("ကြောင်အ", "နီ", "နက်", "ပြေးနေသည်"),
    ],
    ids=["Thai", "Lao", "Khmer", "Burmese"],
)
def test_without_spaces_only_the_tokens_of_the_changed_word_differ(
    before, red, black, after
):
    target = before + red + after
    found = compared(target, before + black + after)
    cuts = np.cumsum([0, *map(len, (before, red, after))])
    spans = spans_of(*zip(cuts, cuts[1:]))
    assert found.tokens(split_words(target), spans).tolist() == [False, True, False]


def test_padding_never_differs_and_a_token_of_two_words_does():
    words, found = split_words("红猫 cat"), compared("红猫 cat", "黑猫 dog")
    spans = spans_of((0, 2), (1, 2), (2, 7), (3, 4), (4, 4), (0, 0), (0, 0))
    want = [True, False, True, True, False, False, False]
    assert found.tokens(words, spans).tolist() == want


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="got a text: split it"):
        difference("a cat", ["a"])
    with pytest.raises(ValueError, match=r"got both: \['bytes', 'str'\]"):
        difference(["a"], word_keys(split_words("a"), SECRET))
    with pytest.raises(ValueError, match="word 1 differs, but only 1 words came"):
        compared("a cat", "a").tokens(split_words("a"), spans_of((0, 1)))
