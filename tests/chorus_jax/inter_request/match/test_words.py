"""A prompt's words, and where they were."""

import hashlib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus_jax.inter_request.match.words import Word, split_words, word_keys

SECRET = bytes(range(32))
prompts = st.one_of(
    st.text(max_size=30),
    st.text("aÉ ́猫が🐱,ﬁ½\u200d한ß", max_size=12),
    st.text("กเา\u0e33\u0e49๓ໜក្ស\u17ddက\u1039\u103aक\u094d a猫", max_size=12),
)


def texts(prompt):
    return [word.text for word in split_words(prompt)]


@pytest.mark.parametrize(
    "prompt, want",
    [
        ("", []),
        (" ,. —!", []),
        ("A Lion’s close-up, 3.5 m", ["a", "lion", "s", "close", "up", "3", "5", "m"]),
        ("STRASSE straße", ["strasse", "strasse"]),
        ("E\u0301TE\u0301 été", ["été", "été"]),
        ("ﬁne ｗｉｄｅ", ["fine", "wide"]),
        ("一只红狮子，跑。", list("一只红狮子跑")),
        ("カーが猫x走", ["カ", "ー", "が", "猫", "x", "走"]),
        ("ｶﾞ か\u3099", ["ガ", "が"]),
        ("한국어 사자", ["한국어", "사자"]),
        ("हिन्दी शेर", ["हिन्दी", "शेर"]),
        ("a cat🐱❤️,❤", ["a", "cat", "🐱", "❤", "❤"]),
        ("ele\u00adphant", ["elephant"]),
        ("´ ̈a", ["a"]),
        ("\ud800 a", ["a"]),
    ],
)
def test_words_are_told_apart_by_their_signs(prompt, want):
    assert texts(prompt) == want


@pytest.mark.parametrize(
    "prompt, want",
    [
        ("แมวสีแดงวิ่งบนหญ้า", "แม ว สี แด ง วิ่ ง บ น ห ญ้า"),
        ("เพราะเด็กๆ ไป เกาะ", "เพ ราะ เด็ ก ๆ ไป เกาะ"),
        ("แมว๓๕ตัว,cat", "แม ว ๓๕ ตั ว cat"),
        ("ແມວສີແດງແລ່ນເທິງຫຍ້າ", "ແມ ວ ສີ ແດ ງ ແລ່ ນ ເທິ ງ ຫ ຍ້າ"),
        ("ឆ្មាពណ៌ក្រហមរត់លើស្មៅ", "ឆ្មា ព ណ៌ ក្រ ហ ម រ ត់ លើ ស្មៅ"),
        ("ကြောင်အနီ ဗုဒ္ဓ အင်္ဂလိပ်", "ကြော င် အ နီ ဗု ဒ္ဓ အ င်္ဂ လိ ပ်"),
        ("ཞི་མི་དམར་པོ་ཞིག", "ཞི མི དམར པོ ཞིག"),
        ("ᨠ᩠ᩅᩣᨾ ꦏꦶꦠ꧀ꦠ ꀀꀁ", "ᨠ᩠ᩅᩣ ᨾ ꦏꦶ ꦠ꧀ꦠ ꀀ ꀁ"),
    ],
)
def test_without_spaces_letters_stand_for_themselves(prompt, want):
    assert texts(prompt) == want.split()


def test_a_vowel_that_is_written_behind_belongs_to_the_letter_before_it():
    assert texts("น\u0e49\u0e33") == ["น\u0e49\u0e4d\u0e32"]
    found = [(word.start, word.end) for word in split_words("ดำ น้ำ")]
    assert found == [(0, 2), (3, 6)]


def test_ranges_are_those_of_the_given_text():
    prompt = "Ein  ﬁnes E\u0301tui, 红猫 ½"
    words = split_words(prompt)
    pieces = [prompt[word.start : word.end] for word in words]
    assert pieces == ["Ein", "ﬁnes", "E\u0301tui", "红", "猫", "½", "½"]
    assert words[1] == Word("fines", 5, 9)


@given(prompts)
def test_ranges_rise_within_the_text(prompt):
    words = split_words(prompt)
    assert all(0 <= word.start < word.end <= len(prompt) for word in words)
    starts = [word.start for word in words]
    assert starts == sorted(starts)


@given(prompts)
def test_a_word_is_normal_and_its_only_word(prompt):
    for word in texts(prompt):
        assert texts(word) == [word]
        assert unicodedata.normalize("NFKC", word) == word


@given(prompts)
def test_the_form_of_the_text_does_not_matter(prompt):
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert texts(unicodedata.normalize(form, prompt)) == texts(prompt)


def test_keys_are_those_of_the_words_in_their_order():
    keys = word_keys(split_words("A cat, a  CAT"), SECRET)
    assert (
        keys == word_keys(split_words("a cat a cat"), SECRET) == (keys[0], keys[1]) * 2
    )
    want = hashlib.blake2b("cat".encode(), digest_size=8, key=SECRET).digest()
    assert keys[1] == want and len(want) == 8
    assert not set(keys) & set(word_keys(split_words("a cat"), bytes(32)))
    assert word_keys(split_words(""), SECRET) == ()


@pytest.mark.parametrize("size", [0, 15, 65])
def test_keys_need_a_secret(size):
    with pytest.raises(ValueError, match=f"has 16 to 64 bytes, got {size}"):
        word_keys(split_words("a"), bytes(size))
